"""The gate: answers and facts in, findings and a verdict out, as of any date. Rules are data; no verdict is a model's.

A rule whose source was not read never alone allows or denies: its denial becomes a review, and where only such rules
stayed silent, a person looks. What is not answered, and matters, is looked at by a person too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from hanse.contracts.base import now
from hanse.contracts.decision import SEVERITY, Decision, Finding, Verdict, worst
from hanse.rules.answers import read
from hanse.rules.conditions import Outcome
from hanse.rules.files import shipped
from hanse.rules.judge import judge, verdict_of
from hanse.rules.ruleset import Question, Rule, RuleSet

__all__ = ["Question", "evaluate", "questions"]


def questions(as_of: date, *, rules: RuleSet | None = None) -> tuple[Question, ...]:
    """The yes/no questions of an application that rules in force need, in reading order.

    One with `follows` need only be asked where the question it follows was answered with yes.
    """
    rules = rules or shipped()
    needed = {id for rule in rules.in_force(as_of) for id in rule.questions}
    return tuple(one for one in rules.questions if one.id in needed and one.kind == "yes-no" and one.in_form)


def evaluate(
    answers: Mapping[str, Any],
    facts: Mapping[str, Any],
    *,
    subject: str,
    as_of: date,
    rules: RuleSet | None = None,
    at: datetime | None = None,
) -> Decision:
    """What the rules in force on `as_of` say; the worst verdict wins. Facts that no rule knows are ignored.

    Raises:
        UsageError: an answer to a question there is not, of the wrong kind, or against another answer.
    """
    rules = rules or shipped()
    known = read(answers, facts, rules, as_of=as_of).known
    ordered = findings(judge(known, rules, as_of).now, rules, as_of)
    return Decision(
        subject=subject,
        verdict=worst(ordered),
        findings=ordered,
        decided_at=at or now(),
        decided_by=f"{rules.label}, as of {as_of.isoformat()}",
    )


def findings(outcomes: Sequence[tuple[Rule, Outcome]], rules: RuleSet, as_of: date) -> tuple[Finding, ...]:
    """What the rules say, the worst first."""
    found = [*_triggered(outcomes, rules), *_unanswered(outcomes, rules), *_clear(outcomes, as_of)]
    return tuple(sorted(found, key=lambda one: (-SEVERITY[one.verdict], one.rule)))


def _triggered(outcomes: Sequence[tuple[Rule, Outcome]], rules: RuleSet) -> Iterator[Finding]:
    labels = {fact.id: fact.label for fact in rules.facts}
    for rule, outcome in outcomes:
        if rule.silent:
            continue
        if outcome.holds:
            yield _finding(rule, rule.verdict, rule.reason)
        elif outcome.holds is None and not outcome.questions:
            lacking = " and ".join(sorted(labels[fact] for fact in outcome.facts))
            reason = f"Not known yet: {lacking}. So this may apply: {rule.reason}"
            yield _finding(rule, rule.if_unknown, reason)


def _finding(rule: Rule, verdict: Verdict, reason: str) -> Finding:
    if verdict == rule.verdict and verdict_of(rule) != verdict:
        reason = f"{reason} (The rule alone would say {verdict}; its source was not read, so a person decides.)"
        verdict = verdict_of(rule)
    return Finding(
        rule=rule.id,
        verdict=verdict,
        reason=reason,
        citation=f"{rule.citation} · {rule.link or rule.source} · verified {rule.last_verified.isoformat()}",
        confidence=rule.confidence,
        condition=rule.condition if verdict == "condition" else "",
        what_would_change_it=rule.what_would_change_it,
    )


def _unanswered(outcomes: Sequence[tuple[Rule, Outcome]], rules: RuleSet) -> Iterator[Finding]:
    """One finding for each question on which a rule hangs, however many rules do."""
    for question in rules.questions:
        hanging = [rule for rule, outcome in outcomes if outcome.holds is None and question.id in outcome.questions]
        if hanging:
            yield Finding(
                rule=f"unanswered.{question.id}"[:63],
                verdict="review",
                reason=f"Not answered: “{question.text}” It decides on: {'; '.join(rule.title for rule in hanging)}.",
                citation=hanging[0].citation,
                what_would_change_it="An answer.",
            )


def _clear(outcomes: Sequence[tuple[Rule, Outcome]], as_of: date) -> Iterator[Finding]:
    """What may allow: rules known from a source that was read, and silent."""
    silent = [rule for rule, outcome in outcomes if outcome.holds is False]
    known = [rule for rule in silent if rule.confidence != "unread"]
    if known:
        yield Finding(
            rule="gate.clear",
            verdict="allow",
            reason=f"{len(silent)} of {len(outcomes)} rules in force on {as_of.isoformat()} do not apply to this.",
            confidence="read" if all(rule.confidence == "read" for rule in known) else "secondary",
        )
    elif not any(outcome.holds is not False and rule.confidence != "unread" for rule, outcome in outcomes):
        yield Finding(
            rule="gate.no-ground",
            verdict="review",
            reason=f"No rule whose source was read allows this as of {as_of.isoformat()}.",
            what_would_change_it="A rule in force whose source was read.",
        )
