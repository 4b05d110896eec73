"""One file of answers, checked as of a day: outcome, roles, risk, duties, what is to come, and why. Pure; no Django."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from hanse.contracts.compliance import (
    ENDINGS,
    RISKS,
    SEVERITY,
    Because,
    Change,
    Check,
    Citation,
    Ending,
    Given,
    Obligation,
    Risk,
    Upcoming,
)
from hanse.contracts.decision import Finding, worst
from hanse.contracts.errors import UsageError
from hanse.rules import gate
from hanse.rules.answers import HARMLESS, REST, Read, harmless, plain, read
from hanse.rules.catalogue import require_law
from hanse.rules.conditions import AnswerIs, parts
from hanse.rules.files import shipped
from hanse.rules.judge import Judged, judge, verdict_of
from hanse.rules.ruleset import Choice, Duty, Rule, RuleSet


def check(
    answers: Mapping[str, Any], *, as_of: date, facts: Mapping[str, Any] | None = None, rules: RuleSet | None = None
) -> Check:
    """What the rules say of these answers on that day.

    Raises:
        UsageError: a day before there was such a law, or answers that cannot be read or contradict each other.
    """
    rules = rules or shipped()
    require_law(as_of, rules)
    given = read(answers, facts or {}, rules, as_of=as_of)
    judged = judge(given.known, rules, as_of)
    found = gate.findings(judged.now, rules, as_of)
    outcome = ENDINGS[worst(found)]
    held = [rule for rule, decided in judged.now if decided.holds]
    opened = tuple(_open(judged, rules))
    risks = _risks(held)
    by_id = {rule.id: rule for rule in rules.rules}
    return Check(
        as_of=as_of,
        outcome=outcome,
        roles=judged.roles,
        risk=risks[0],
        risks=risks,
        obligations=_obligations(held, given, judged.roles),
        upcoming=_upcoming(judged),
        citations=_citations([by_id[one.rule] for one in found if one.rule in by_id], given, rules),
        because=tuple(
            _because(one, by_id.get(one.rule), given)
            for one in found
            if outcome == "pass" or not one.rule.startswith("gate.")
        ),
        conditions=tuple(dict.fromkeys(one.condition for one in found if one.condition)),
        would_change=tuple(_would_change(answers, facts or {}, as_of, rules, held, given, outcome)),
        open_questions=opened,
        outcome_if_open_are_harmless=_ending({**answers, REST: HARMLESS}, facts or {}, as_of, rules)
        if opened
        else None,
        answers={id: plain(value) for id, value in given.given.items()},
        assumed={id: plain(given.assumed[id]) for id in _looked_at(judged) if id in given.assumed},
        rules=rules.label,
    )


def _ending(answers: Mapping[str, Any], facts: Mapping[str, Any], as_of: date, rules: RuleSet) -> Ending | None:
    """Only the outcome; None where the answers contradict each other."""
    try:
        known = read(answers, facts, rules, as_of=as_of).known
    except UsageError:
        return None
    return ENDINGS[worst(gate.findings(judge(known, rules, as_of).now, rules, as_of))]


def _open(judged: Judged, rules: RuleSet) -> Iterator[str]:
    asked = {id for _, decided in judged.now if decided.holds is None for id in decided.questions}
    yield from (question.id for question in rules.questions if question.id in asked)


def _looked_at(judged: Judged) -> tuple[str, ...]:
    """The questions on which the rules that spoke rest."""
    return tuple(dict.fromkeys(id for rule, decided in judged.now if decided.holds for id in rule.questions))


def _risks(held: Iterable[Rule]) -> tuple[Risk, ...]:
    found = {rule.risk for rule in held if rule.risk}
    return tuple(risk for risk in RISKS if risk in found) or ("minimal",)


def _obligations(held: list[Rule], given: Read, roles: Iterable[str]) -> tuple[Obligation, ...]:
    lifted = {easing.duty for rule in held for easing in rule.eases if easing.lifts}
    eased = [(easing.duty, f"{easing.how} ({rule.citation})") for rule in held for easing in rule.eases]
    made: dict[str, Obligation] = {}
    for rule in held:
        for duty in rule.duties:
            if duty.id in lifted or duty.id in made or (duty.roles and set(duty.roles).isdisjoint(roles)):
                continue
            made[duty.id] = Obligation(
                id=duty.id,
                what=duty.what,
                roles=duty.roles or rule.roles,
                citation=duty.citation or rule.citation,
                link=rule.link or rule.source,
                since=rule.effective,
                due=_due(duty, given),
                due_text=duty.due_text,
                confidence=rule.confidence,
                rule=rule.id,
                eased=tuple(how for id, how in eased if id == duty.id),
            )
    return tuple(made.values())


def _due(duty: Duty, given: Read) -> date | None:
    start = given.known.answers.get(duty.after) if duty.after else None
    return start + timedelta(days=duty.within_days) if isinstance(start, date) and duty.within_days else None


def _upcoming(judged: Judged) -> tuple[Upcoming, ...]:
    """Rules that will speak of the same answers, each on its day."""
    held_now = [rule for rule, decided in judged.now if decided.holds]
    made = []
    for rule, decided in judged.later:
        if not decided.holds or (rule.silent and not rule.duties):
            continue
        lifted = {easing.duty for one in held_now for easing in one.eases if easing.lifts}
        duties = [duty for duty in rule.duties if duty.id not in lifted]
        made.append(
            Upcoming(
                on=rule.effective,
                outcome=ENDINGS[verdict_of(rule)],
                rule=rule.id,
                what=rule.reason,
                obligations=tuple(duty.id for duty in duties),
                citation=rule.citation,
                link=rule.link or rule.source,
                confidence=rule.confidence,
            )
        )
    return tuple(sorted(made, key=lambda one: (one.on, one.rule)))


def _citations(spoke: list[Rule], given: Read, rules: RuleSet) -> tuple[Citation, ...]:
    """Where the rules that spoke stand, and the points of the answers they name, the most exact first."""
    made: dict[str, Citation] = {}
    for rule in spoke:
        chosen = [choice.citation for choice in _chosen(rule, given, rules) if choice.citation]
        duties = [duty.citation for duty in rule.duties if duty.citation]
        for text in (rule.citation, *chosen, *duties):
            made.setdefault(
                text,
                Citation(
                    citation=text, link=rule.link or rule.source, source=rule.source, confidence=rule.confidence,
                    last_verified=rule.last_verified,
                ),
            )  # fmt: skip
    return tuple(made.values())


def _chosen(rule: Rule, given: Read, rules: RuleSet) -> Iterator[Choice]:
    """The choices somebody made in the questions this rule looks at."""
    asked = set(rule.questions)
    for question in rules.questions:
        answer = given.known.answers.get(question.id)
        if question.choices and question.id in asked and answer is not None:
            chosen = answer if isinstance(answer, frozenset) else {answer}
            yield from (one for one in question.choices if one.id in chosen)


def _because(found: Finding, rule: Rule | None, given: Read) -> Because:
    asked = rule.questions if rule else ()
    facts = [part.fact for part in parts(rule.when) if not isinstance(part, AnswerIs)] if rule else []
    known = {**given.known.answers, **given.known.facts}
    told: dict[str, Given] = {id: plain(known[id]) for id in dict.fromkeys((*asked, *facts)) if id in known}
    return Because(
        rule=found.rule,
        outcome=ENDINGS[found.verdict],
        reason=found.reason,
        condition=found.condition,
        answers=told,
        citation=found.citation,
        confidence=found.confidence,
        what_would_change_it=found.what_would_change_it,
    )


def _would_change(
    answers: Mapping[str, Any], facts: Mapping[str, Any], as_of: date, rules: RuleSet, held: list[Rule], given: Read,
    outcome: Ending,
) -> Iterator[Change]:  # fmt: skip
    """Single yes/no answers that, given otherwise, change the outcome: of the rules that decide it only."""
    deciding = [rule for rule in held if SEVERITY[ENDINGS[verdict_of(rule)]] == SEVERITY[outcome]]
    looked = dict.fromkeys(id for rule in deciding for id in rule.questions)
    for question in (one for one in rules.questions if one.id in looked and one.kind == "yes-no"):
        now = given.known.answers.get(question.id)
        if not isinstance(now, bool) or (question.follows is None and now is harmless(question)):
            continue
        if question.id in given.assumed and (question.follows is None or question.strict is None):
            continue  # an exception of the whole law, or no step towards a milder outcome
        others = {key: value for key, value in answers.items() if key.replace("_", "-") != question.id}
        if now:  # what follows a yes falls with it
            followers = _followers(question.id, rules)
            others = {key: value for key, value in others.items() if key.replace("_", "-") not in followers}
        other = _ending({**others, question.id: not now}, facts, as_of, rules)
        if other is not None and other != outcome:
            yield Change(question=question.id, answer=not now, outcome=other)


def _followers(id: str, rules: RuleSet) -> set[str]:
    """The questions that follow this one, and those that follow them."""
    direct = {one.id for one in rules.questions if one.follows == id}
    return direct | {further for one in direct for further in _followers(one, rules)}
