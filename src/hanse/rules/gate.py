"""The gate: answers and facts in, findings and a verdict out, as of any date. Rules are data; no verdict is a model's.

A rule whose source was not read never alone allows or denies: its denial becomes a review, and where only such rules
stayed silent, a person looks. What is not answered, and matters, is looked at by a person too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from difflib import get_close_matches

from hanse.contracts.base import now
from hanse.contracts.decision import SEVERITY, Decision, Finding, Verdict, worst
from hanse.contracts.errors import UsageError
from hanse.rules.conditions import Known, Outcome, Value
from hanse.rules.ruleset import FactDeclared, Question, Rule, RuleSet, shipped

__all__ = ["Question", "evaluate", "questions"]


def questions(as_of: date, *, rules: RuleSet | None = None) -> tuple[Question, ...]:
    """The yes/no questions that rules in force need, in reading order.

    One with `follows` need only be asked where the question it follows was answered with yes.
    """
    rules = rules or shipped()
    needed = {id for rule in rules.in_force(as_of) for id in rule.questions}
    return tuple(question for question in rules.questions if question.id in needed)


def evaluate(
    answers: Mapping[str, Value],
    facts: Mapping[str, Value],
    *,
    subject: str,
    as_of: date,
    rules: RuleSet | None = None,
    at: datetime | None = None,
) -> Decision:
    """What the rules in force on `as_of` say; the worst verdict wins. Facts that no rule knows are ignored.

    Raises:
        UsageError: an answer to a question there is not, or of the wrong kind; the nearest question is named.
    """
    rules = rules or shipped()
    known = _known(answers, facts, rules)
    in_force = rules.in_force(as_of)
    outcomes = [(rule, rule.when.decide(known)) for rule in in_force]
    findings = [*_triggered(outcomes, rules), *_unanswered(outcomes, rules), *_clear(outcomes, as_of)]
    ordered = tuple(sorted(findings, key=lambda one: (-SEVERITY[one.verdict], one.rule)))
    return Decision(
        subject=subject,
        verdict=worst(ordered),
        findings=ordered,
        decided_at=at or now(),
        decided_by=f"{rules.label}, as of {as_of.isoformat()}",
    )


def _known(answers: Mapping[str, Value], facts: Mapping[str, Value], rules: RuleSet) -> Known:
    declared = {fact.id: fact for fact in rules.facts}
    stated = {id: fact for id, fact in declared.items() if fact.may_be_stated}
    asked = {question.id for question in rules.questions}
    for id, value in answers.items():
        if id in asked:
            if not isinstance(value, bool):
                raise UsageError(f"{value!r} is neither yes nor no", where=f"answer {id}", fix="Answer yes or no.")
        elif id not in stated:
            nearest = get_close_matches(id, sorted(asked | stated.keys()), n=1, cutoff=0)
            raise UsageError(f"the gate has no question {id!r}", where="answers", fix=f"Did you mean {nearest[0]}?")
    # A plan's figure stands above what the applicant stated.
    given = {**{id: answers[id] for id in stated if id in answers}, **{id: facts[id] for id in declared if id in facts}}
    for id, value in given.items():
        _require_kind(declared[id], value)
    bounds = {id: fact.at_most for id, fact in declared.items() if fact.at_most and fact.at_most.fact in given}
    return Known(
        answers={id: answers[id] for id in asked if id in answers},
        facts=given,
        at_most={id: float(given[bound.fact]) * bound.times for id, bound in bounds.items()},
    )


def _require_kind(fact: FactDeclared, value: Value) -> None:
    fits = {
        "number": isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"),
        "text": isinstance(value, str),
        "yes-no": isinstance(value, bool),
    }[fact.kind]
    if not fits:
        raise UsageError(f"{value!r} cannot be {fact.label}", where=f"fact {fact.id}", fix=f"Give a {fact.kind}.")


def _triggered(outcomes: list[tuple[Rule, Outcome]], rules: RuleSet) -> Iterator[Finding]:
    labels = {fact.id: fact.label for fact in rules.facts}
    for rule, outcome in outcomes:
        if outcome.holds:
            yield _finding(rule, rule.verdict, rule.reason)
        elif outcome.holds is None and not outcome.questions:
            lacking = " and ".join(sorted(labels[fact] for fact in outcome.facts))
            reason = f"Not known yet: {lacking}. So this may apply: {rule.reason}"
            yield _finding(rule, rule.if_unknown, reason)


def _finding(rule: Rule, verdict: Verdict, reason: str) -> Finding:
    if rule.confidence == "unread" and verdict in ("allow", "deny"):
        reason = f"{reason} (The rule alone would say {verdict}; its source was not read, so a person decides.)"
        verdict = "review"
    return Finding(
        rule=rule.id,
        verdict=verdict,
        reason=reason,
        citation=f"{rule.citation} · {rule.source} · verified {rule.last_verified.isoformat()}",
        confidence=rule.confidence,
        condition=rule.condition if verdict == "condition" else "",
        what_would_change_it=rule.what_would_change_it,
    )


def _unanswered(outcomes: list[tuple[Rule, Outcome]], rules: RuleSet) -> Iterator[Finding]:
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


def _clear(outcomes: list[tuple[Rule, Outcome]], as_of: date) -> Iterator[Finding]:
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
