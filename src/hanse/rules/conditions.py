"""When a rule triggers: a small grammar over answers and facts, written in YAML and never executed as code.

A condition is true, false, or undecided for want of answers or facts (Kleene's three values): `all` with one false part
is false whatever the rest, so nobody is asked what does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from hanse.contracts.base import Contract, Identifier

Value = bool | str | int | float | date | frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a condition may look at. `at_most` bounds facts that are not known themselves.

    `answers` holds what counts, `stated` the ids that somebody answered; `today` is the day that is judged.
    """

    answers: Mapping[str, Value]
    facts: Mapping[str, Value]
    at_most: Mapping[str, float]
    stated: frozenset[str] = frozenset()
    today: date = date.min


@dataclass(frozen=True, slots=True)
class Outcome:
    """`holds` is None while undecided; then `questions` and `facts` are what it hangs on."""

    holds: bool | None
    questions: frozenset[str] = frozenset()
    facts: frozenset[str] = frozenset()


class AnswerIs(Contract):
    """An answer compared with exactly one of: `is` a value, `any_of` several, `before` a day, whether it was `given`.

    `if_missing` is what counts where it was not answered; without it the question stays open.
    """

    answer: Identifier
    is_: bool | str | None = Field(None, alias="is")
    any_of: tuple[str, ...] | None = None
    before: date | Literal["today"] | None = None
    given: bool | None = None
    if_missing: bool | None = None

    @model_validator(mode="after")
    def _one_comparison(self) -> AnswerIs:
        if sum(one is not None for one in (self.is_, self.any_of, self.before, self.given)) != 1:
            raise ValueError("an answer needs exactly one of is, any_of, before, given")
        return self

    @property
    def fits(self) -> tuple[str, ...]:
        """The kinds of question it can compare."""
        if self.given is not None:
            return ("yes-no", "choice", "choices", "date")
        if self.before is not None:
            return ("date",)
        return ("yes-no",) if isinstance(self.is_, bool) else ("choice", "choices")

    @property
    def words(self) -> tuple[str, ...]:
        """The choices it names."""
        return self.any_of or ((self.is_,) if isinstance(self.is_, str) else ())

    def decide(self, known: Known) -> Outcome:
        if self.given is not None:
            return Outcome((self.answer in known.stated) is self.given)
        value = known.answers.get(self.answer)
        if value is None:
            if self.if_missing is not None:
                return Outcome(self.if_missing)
            return Outcome(None, questions=frozenset({self.answer}))
        if isinstance(value, date):
            limit = known.today if self.before == "today" else self.before
            return Outcome(isinstance(limit, date) and value < limit)
        if isinstance(value, bool):
            return Outcome(value is self.is_)
        chosen = value if isinstance(value, frozenset) else frozenset({str(value)})
        return Outcome(not chosen.isdisjoint(self.words))


class PartOf(Contract):
    """A share of another fact: that fact divided by `over`."""

    fact: Identifier
    over: float = Field(gt=0, allow_inf_nan=False)


class FactIs(Contract):
    """A fact compared with exactly one of: `above` or `below` a number (exclusive), `above_part_of` another fact, `is`
    a value, `one_of` several. `if_missing` is what counts where it is not known.
    """

    fact: Identifier
    above: float | None = Field(None, allow_inf_nan=False)
    below: float | None = Field(None, allow_inf_nan=False)
    above_part_of: PartOf | None = None
    is_: bool | str | None = Field(None, alias="is")
    one_of: tuple[str, ...] | None = None
    if_missing: bool | None = None

    @model_validator(mode="after")
    def _one_comparison(self) -> FactIs:
        compared = (self.above, self.below, self.above_part_of, self.is_, self.one_of)
        if sum(one is not None for one in compared) != 1:
            raise ValueError("a fact needs exactly one of above, below, above_part_of, is, one_of")
        return self

    @property
    def compares_numbers(self) -> bool:
        return self.above is not None or self.below is not None or self.above_part_of is not None

    def decide(self, known: Known) -> Outcome:
        above, value = self.above, known.facts.get(self.fact)
        if self.above_part_of is not None:
            other = known.facts.get(self.above_part_of.fact)
            if other is None:
                return self._unknown(self.above_part_of.fact)
            # A third of 9e23 is 3e23, whatever binary fractions make of it.
            above = float(other) / self.above_part_of.over * (1 + 1e-12)  # type: ignore[arg-type]
        if value is None:
            return self._decide_by_bound(known.at_most.get(self.fact), above)
        if above is not None:
            return Outcome(float(value) > above)  # type: ignore[arg-type]
        if self.below is not None:
            return Outcome(float(value) < self.below)  # type: ignore[arg-type]
        return Outcome(value == self.is_ if self.one_of is None else value in self.one_of)

    def _decide_by_bound(self, at_most: float | None, above: float | None) -> Outcome:
        if at_most is not None:
            if above is not None and at_most <= above:
                return Outcome(False)
            if self.below is not None and at_most < self.below:
                return Outcome(True)
        return self._unknown(self.fact)

    def _unknown(self, fact: str) -> Outcome:
        return Outcome(None, facts=frozenset({fact})) if self.if_missing is None else Outcome(self.if_missing)


class All(Contract):
    """Every part holds."""

    all: tuple[Condition, ...] = Field(min_length=1)

    def decide(self, known: Known) -> Outcome:
        return _combine((part.decide(known) for part in self.all), decisive=False)


class AnyOf(Contract):
    """At least one part holds."""

    any: tuple[Condition, ...] = Field(min_length=1)

    def decide(self, known: Known) -> Outcome:
        return _combine((part.decide(known) for part in self.any), decisive=True)


class Not(Contract):
    """The part does not hold."""

    not_: Condition = Field(alias="not")

    def decide(self, known: Known) -> Outcome:
        outcome = self.not_.decide(known)
        return outcome if outcome.holds is None else Outcome(not outcome.holds)


def _combine(outcomes: Iterable[Outcome], *, decisive: bool) -> Outcome:
    """The first decisive part decides; otherwise undecided parts leave the whole undecided."""
    undecided = []
    for outcome in outcomes:
        if outcome.holds is decisive:
            return Outcome(decisive)
        if outcome.holds is None:
            undecided.append(outcome)
    if not undecided:
        return Outcome(not decisive)
    return Outcome(
        None,
        questions=frozenset().union(*(outcome.questions for outcome in undecided)),
        facts=frozenset().union(*(outcome.facts for outcome in undecided)),
    )


_KEYS: Mapping[type[Contract], str] = {AnswerIs: "answer", FactIs: "fact", All: "all", AnyOf: "any", Not: "not"}


def _kind(value: Any) -> str | None:
    if isinstance(value, Mapping):
        return next((key for key in _KEYS.values() if key in value), None)
    return _KEYS.get(type(value))


Condition = Annotated[
    Annotated[AnswerIs, Tag("answer")]
    | Annotated[FactIs, Tag("fact")]
    | Annotated[All, Tag("all")]
    | Annotated[AnyOf, Tag("any")]
    | Annotated[Not, Tag("not")],
    Discriminator(
        _kind,
        custom_error_type="condition",
        custom_error_message="a condition is written with answer, fact, all, any or not",
    ),
]
for _model in (All, AnyOf, Not):
    _model.model_rebuild()


def parts(condition: Condition) -> tuple[AnswerIs | FactIs, ...]:
    """The comparisons a condition is made of, from left to right."""
    if isinstance(condition, All):
        return tuple(leaf for part in condition.all for leaf in parts(part))
    if isinstance(condition, AnyOf):
        return tuple(leaf for part in condition.any for leaf in parts(part))
    return parts(condition.not_) if isinstance(condition, Not) else (condition,)
