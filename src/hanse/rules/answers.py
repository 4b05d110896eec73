"""Answers as people write them, made into what conditions look at: ids however hyphened, yes for true, 1e25 as text.

What nobody answered counts as its question says, a `yes` to a question that follows another answers that one too, and
what cannot all be true is refused with one message.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Any, Final

from hanse.contracts.compliance import Given
from hanse.contracts.errors import UsageError
from hanse.rules.conditions import Known, Value
from hanse.rules.ruleset import FactDeclared, Question, RuleSet

REST: Final = "everything-else"
HARMLESS: Final = "harmless"

_YES: Final = frozenset({"yes", "y", "true"})
_NO: Final = frozenset({"no", "n", "false"})
_SUPERSCRIPTS: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_POWER: Final = re.compile(r"(?:([0-9.]+)\s*[*x×·]\s*)?10\s*(?:\^|\*\*)\s*([0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """`known` is what is judged; `given` what was answered, as understood; `assumed` what counts without an answer."""

    known: Known
    given: Mapping[str, Value]
    assumed: Mapping[str, Value]


def read(answers: Mapping[str, Any], facts: Mapping[str, Any], rules: RuleSet, *, as_of: date) -> Read:
    """Answers and facts, checked. Facts that no rule knows are ignored; a fact stands above what was stated.

    Raises:
        UsageError: an unknown question (the nearest is named), an answer of the wrong kind, or a contradiction.
    """
    rest_is_harmless = _rest(answers)
    named = {key: value for key, value in answers.items() if _folded(key) != REST and value is not None}
    questions = {question.id: question for question in rules.questions}
    numbers = {_folded(fact.id): fact for fact in rules.facts}
    given: dict[str, Value] = {}
    stated: dict[str, Value] = {}
    for key, value in named.items():
        folded = _folded(key)
        if folded in given or (folded in numbers and numbers[folded].id in stated):
            raise UsageError(f"{key} is answered twice", where="answers", fix="Give each question one answer.")
        if folded in questions:
            given[folded] = _answer(questions[folded], value)
        elif folded in numbers and numbers[folded].may_be_stated:
            stated[numbers[folded].id] = _fact(numbers[folded], value, where="answer")
        else:
            raise _unknown(key, [*questions, *(id for id, fact in numbers.items() if fact.may_be_stated)])
    _imply_parents(given, questions)
    given = {id: value for id, value in given.items() if value != frozenset() or given.get(questions[id].follows or "")}
    for key, value in facts.items():
        if _folded(key) in numbers:
            stated[numbers[_folded(key)].id] = _fact(numbers[_folded(key)], value, where="fact")
    assumed = _assumed(given, questions, rest_is_harmless=rest_is_harmless)
    known = Known(
        answers={**assumed, **given}, facts=_with_sums(stated, rules), at_most=_bounds(stated, rules),
        stated=frozenset({*given, *stated}), today=as_of,
    )  # fmt: skip
    for one in rules.contradictions:
        if one.when.decide(known).holds:
            raise UsageError(f"these answers contradict each other: {one.what}", where="answers", fix=one.fix)
    return Read(known=known, given={**given, **stated}, assumed=assumed)


def harmless(question: Question) -> bool | None:
    """The answer that never makes the outcome stricter, of a question with such a one."""
    return None if question.kind != "yes-no" or question.strict is None else not question.strict


def plain(value: Value) -> Given:
    """As a contract and JSON hold it."""
    if isinstance(value, frozenset):
        return tuple(sorted(value))
    return value.isoformat() if isinstance(value, date) else value


def _folded(key: object) -> str:
    return str(key).strip().lower().replace("_", "-").replace(" ", "-")


def _rest(answers: Mapping[str, Any]) -> bool:
    for key, value in answers.items():
        if _folded(key) == REST:
            if str(value).strip().lower() != HARMLESS:
                raise UsageError(
                    f"{value!r} cannot be the answer to everything else", where=REST, fix=f"Write {REST}: {HARMLESS}."
                )
            return True
    return False


def _unknown(key: str, known: Iterable[str]) -> UsageError:
    nearest = get_close_matches(_folded(key), sorted(known), n=1, cutoff=0)
    return UsageError(
        f"the gate has no question {key!r}",
        where="answers",
        fix=f"Did you mean {nearest[0]}? 'hanse comply questions' lists all.",
    )


def _answer(question: Question, value: Any) -> Value:
    """Raises UsageError for what is not one of the answers."""
    where = f"answer {question.id}"
    if question.kind == "yes-no":
        word = str(value).strip().lower()
        if isinstance(value, bool) or word in _YES | _NO:
            return value if isinstance(value, bool) else word in _YES
        raise UsageError(f"{value!r} is neither yes nor no", where=where, fix="Answer yes or no.")
    if question.kind == "date":
        return _date(value, where)
    if question.kind == "choices" and str(value).strip().lower() in _NO | {"none", ""}:
        return frozenset()
    several = value if isinstance(value, list | tuple | set | frozenset) else str(value).split(",")
    chosen = [_folded(one) for one in several if str(one).strip()]
    for one in chosen:
        if one not in question.allowed:
            nearest = get_close_matches(one, question.allowed, n=1, cutoff=0)
            raise UsageError(
                f"{one!r} is not one of its answers", where=where,
                fix=f"Did you mean {nearest[0]}? Allowed: {', '.join(question.allowed)}.",
            )  # fmt: skip
    if question.kind == "choice":
        if len(chosen) != 1:
            raise UsageError("one answer is needed", where=where, fix=f"Allowed: {', '.join(question.allowed)}.")
        return chosen[0]
    return frozenset(chosen)


def _date(value: Any, where: str) -> date:
    try:
        return date.fromisoformat(str(value).strip()[:10])
    except ValueError:
        raise UsageError(f"{value!r} is not a date", where=where, fix="Write it as 2026-12-02.") from None


def _fact(fact: FactDeclared, value: Any, *, where: str) -> Value:
    """Raises UsageError for what the fact cannot be."""
    made = value
    if fact.kind == "number" and isinstance(value, str):
        made = _number(value)
    elif fact.kind == "yes-no" and isinstance(value, str):
        made = {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False)}.get(value.strip().lower())
    fits = {
        "number": isinstance(made, int | float) and not isinstance(made, bool) and made >= 0 and math.isfinite(made),
        "text": isinstance(made, str),
        "yes-no": isinstance(made, bool),
    }[fact.kind]
    if not fits:
        need = "a number that is not negative" if fact.kind == "number" else f"a {fact.kind}"
        raise UsageError(f"{value!r} cannot be {fact.label}", where=f"{where} {fact.id}", fix=f"Give {need}.")
    return made  # type: ignore[no-any-return]


def _number(text: str) -> float | None:
    """As people write large numbers: 5e23, 10^25, 3.3 × 10²², 1_000_000."""
    plain_text = re.sub(r"10([⁰¹²³⁴⁵⁶⁷⁸⁹]+)", r"10^\1", text).translate(_SUPERSCRIPTS)
    plain_text = plain_text.replace("_", "").replace(",", "")
    power = _POWER.fullmatch(plain_text.strip())
    try:
        return float(f"{power[1] or 1}e{power[2]}") if power else float(plain_text)
    except ValueError:
        return None


def _imply_parents(given: dict[str, Value], questions: Mapping[str, Question]) -> None:
    """Who answers what follows a yes has said that yes, unless they said no: then one of the two is wrong."""
    for id, value in list(given.items()):
        question = questions[id]
        while question.follows is not None and _says_something(question, value):
            parent = questions[question.follows]
            if given.get(parent.id) is False:
                raise UsageError(
                    f"these answers contradict each other: {parent.id} is no, and {id} says more about it",
                    where="answers", fix=f"Answer {parent.id} with yes, or leave {id} out.",
                )  # fmt: skip
            value = given.setdefault(parent.id, True)
            question = parent


def _says_something(question: Question, value: Value) -> bool:
    return value is not False and value != frozenset() and value != question.unless_answered


def _assumed(
    given: Mapping[str, Value], questions: Mapping[str, Question], *, rest_is_harmless: bool
) -> dict[str, Value]:
    """What counts without an answer; what follows a no does not arise, and is counted the harmless way."""
    assumed: dict[str, Value] = {}
    for question in questions.values():
        if question.id in given:
            continue
        best, parent = harmless(question), question.follows
        if question.unless_answered is not None:
            value = question.unless_answered
            assumed[question.id] = frozenset({value}) if question.kind == "choices" else value  # type: ignore[arg-type]
        elif best is not None and (rest_is_harmless or (parent and {**assumed, **given}.get(parent) is False)):
            assumed[question.id] = best
    return assumed


def _with_sums(stated: Mapping[str, Value], rules: RuleSet) -> dict[str, Value]:
    facts = dict(stated)
    for fact in rules.facts:
        if fact.sum_of and all(id in stated for id in fact.sum_of):
            facts[fact.id] = math.fsum(float(stated[id]) for id in fact.sum_of)  # type: ignore[arg-type]
    return facts


def _bounds(stated: Mapping[str, Value], rules: RuleSet) -> dict[str, float]:
    bounded = {fact.id: fact.at_most for fact in rules.facts if fact.at_most and fact.at_most.fact in stated}
    return {id: float(stated[bound.fact]) * bound.times for id, bound in bounded.items()}  # type: ignore[arg-type]
