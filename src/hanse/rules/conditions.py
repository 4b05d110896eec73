"""When a rule triggers: a small grammar over answers and facts, written in YAML and never executed as code.

A condition is true, false, or undecided for want of answers or facts (Kleene's three values): `all` with one false part
is false whatever the rest, so nobody is asked what does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from hanse.contracts.base import Contract, Identifier

Value = bool | str | int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a condition may look at. `at_most` bounds facts that are not known themselves."""

    answers: Mapping[str, Value]
    facts: Mapping[str, Value]
    at_most: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`holds` is None while undecided; then `questions` and `facts` are what it hangs on."""

    holds: bool | None
    questions: frozenset[str] = frozenset()
    facts: frozenset[str] = frozenset()


class AnswerIs(Contract):
    """A yes/no question was answered with `is`."""

    answer: Identifier
    is_: bool = Field(alias="is")

    def decide(self, known: Known) -> Outcome:
        if self.answer not in known.answers:
            return Outcome(None, questions=frozenset({self.answer}))
        return Outcome(known.answers[self.answer] is self.is_)


class FactIs(Contract):
    """A fact compared with exactly one of: `above` or `below` a number (exclusive), `is` a value, `one_of` several."""

    fact: Identifier
    above: float | None = Field(None, allow_inf_nan=False)
    below: float | None = Field(None, allow_inf_nan=False)
    is_: bool | str | None = Field(None, alias="is")
    one_of: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _one_comparison(self) -> FactIs:
        if sum(one is not None for one in (self.above, self.below, self.is_, self.one_of)) != 1:
            raise ValueError("a fact needs exactly one of above, below, is, one_of")
        return self

    @property
    def compares_numbers(self) -> bool:
        return self.above is not None or self.below is not None

    def decide(self, known: Known) -> Outcome:
        value = known.facts.get(self.fact)
        if value is None:
            return self._decide_by_bound(known.at_most.get(self.fact))
        if self.above is not None:
            return Outcome(float(value) > self.above)
        if self.below is not None:
            return Outcome(float(value) < self.below)
        return Outcome(value == self.is_ if self.one_of is None else value in self.one_of)

    def _decide_by_bound(self, at_most: float | None) -> Outcome:
        if at_most is not None:
            if self.above is not None and at_most <= self.above:
                return Outcome(False)
            if self.below is not None and at_most < self.below:
                return Outcome(True)
        return Outcome(None, facts=frozenset({self.fact}))


class All(Contract):
    """Every part holds."""

    all: tuple[Condition, ...] = Field(min_length=1)

    def decide(self, known: Known) -> Outcome:
        return _combine([part.decide(known) for part in self.all], decisive=False)


class AnyOf(Contract):
    """At least one part holds."""

    any: tuple[Condition, ...] = Field(min_length=1)

    def decide(self, known: Known) -> Outcome:
        return _combine([part.decide(known) for part in self.any], decisive=True)


class Not(Contract):
    """The part does not hold."""

    not_: Condition = Field(alias="not")

    def decide(self, known: Known) -> Outcome:
        outcome = self.not_.decide(known)
        return outcome if outcome.holds is None else Outcome(not outcome.holds)


def _combine(outcomes: list[Outcome], *, decisive: bool) -> Outcome:
    """One decisive part decides; otherwise undecided parts leave the whole undecided."""
    if any(outcome.holds is decisive for outcome in outcomes):
        return Outcome(decisive)
    undecided = [outcome for outcome in outcomes if outcome.holds is None]
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
