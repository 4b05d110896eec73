"""The rules as data: what a rule file holds, and how the files of this folder become one checked rule set.

A new rule is a new entry in a YAML file. What is wrong with one is said with the file, the rule and the key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from hanse.contracts.base import Contract, Identifier
from hanse.contracts.decision import Verdict
from hanse.contracts.errors import SpecError
from hanse.rules.conditions import AnswerIs, Condition, FactIs, parts

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Confidence = Literal["read", "secondary", "unread"]


class Question(Contract):
    """A yes/no question to the applicant. One that `follows` another matters only where that was answered with yes."""

    id: Identifier
    text: str = Field(min_length=1)
    help: str = ""
    group: str = ""
    follows: Identifier | None = None


class Bound(Contract):
    """A fact is at most `times` the other fact: enough to rule out a threshold before a plan exists."""

    fact: Identifier
    times: float = Field(gt=0, allow_inf_nan=False)
    why: str


class FactDeclared(Contract):
    """A fact that rules may look at: who asks the gate passes it, or (`may_be_stated`) the applicant states it."""

    id: Identifier
    label: str
    kind: Literal["number", "text", "yes-no"]
    may_be_stated: bool = False
    at_most: Bound | None = None


class Rule(Contract):
    """When it triggers, what follows, where that stands, and how well we know it."""

    id: Identifier
    title: str
    when: Condition
    verdict: Verdict
    reason: str
    condition: str = ""
    if_unknown: Literal["condition", "review"] = "review"
    """What follows while a fact it needs is not known."""
    what_would_change_it: str
    for_whom: str
    citation: str
    source: str = Field(pattern=r"^https://")
    confidence: Confidence
    effective: date
    until: date | None = None
    """The first day it does not apply any more."""
    last_verified: date

    @model_validator(mode="after")
    def _whole(self) -> Rule:
        needs_condition = "condition" in (self.verdict, self.if_unknown)
        if needs_condition != bool(self.condition):
            raise ValueError(
                "a condition's text is needed where the verdict (or if_unknown) is condition, and only there"
            )
        if self.until is not None and self.until <= self.effective:
            raise ValueError("until must be after effective")
        return self

    def in_force(self, on: date) -> bool:
        return self.effective <= on and (self.until is None or on < self.until)

    @property
    def questions(self) -> tuple[str, ...]:
        return tuple(part.answer for part in parts(self.when) if isinstance(part, AnswerIs))


class RuleSet(Contract):
    """One file, or several as one."""

    name: Identifier
    version: date
    facts: tuple[FactDeclared, ...] = ()
    questions: tuple[Question, ...]
    rules: tuple[Rule, ...] = Field(min_length=1)

    @property
    def label(self) -> str:
        return f"{self.name} of {self.version.isoformat()}"

    def in_force(self, on: date) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.in_force(on))

    @model_validator(mode="after")
    def _consistent(self) -> RuleSet:
        named = [*(question.id for question in self.questions), *(fact.id for fact in self.facts)]
        for what, ids in (("rules", [rule.id for rule in self.rules]), ("questions and facts", named)):
            twice = [id for id, count in Counter(ids).items() if count > 1]
            if twice:
                raise ValueError(f"{what} of the same id: {', '.join(twice)}")
        self._references_exist()
        return self

    def _references_exist(self) -> None:
        questions = {question.id for question in self.questions}
        facts = {fact.id: fact for fact in self.facts}
        for rule in self.rules:
            for part in parts(rule.when):
                if isinstance(part, AnswerIs) and part.answer not in questions:
                    raise ValueError(f"rule {rule.id} asks for an unknown question: {part.answer}")
                if isinstance(part, FactIs):
                    if part.fact not in facts:
                        raise ValueError(f"rule {rule.id} asks for an unknown fact: {part.fact}")
                    if part.compares_numbers != (facts[part.fact].kind == "number"):
                        raise ValueError(f"rule {rule.id} compares {part.fact} as what it is not")
        for question in self.questions:
            if question.follows is not None and question.follows not in questions:
                raise ValueError(f"question {question.id} follows an unknown question: {question.follows}")
        for fact in self.facts:
            other = facts.get(fact.at_most.fact) if fact.at_most else None
            if fact.at_most and (other is None or other.kind != "number" or fact.kind != "number"):
                raise ValueError(f"fact {fact.id} is bounded by what is no number: {fact.at_most.fact}")
        idle = questions - {id for rule in self.rules for id in rule.questions}
        if idle:
            raise ValueError(f"no rule needs the question {', '.join(sorted(idle))}")


def parse(text: str, *, where: str) -> RuleSet:
    """The rule set written in `text`. Raises SpecError naming `where`, the rule and the key."""
    try:
        raw = _LOADER(text).get_single_data()
    except yaml.YAMLError as error:
        raise SpecError("this is not YAML", where=where, fix=str(error)) from None
    try:
        return RuleSet.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        raise SpecError(message, where=f"{where}: {_place(first['loc'], raw)}", fix="Correct the rule file.") from None


def _place(loc: tuple[int | str, ...], raw: object) -> str:
    """`rules.3.verdict` with the rule's own id in place of its number, where it has one."""
    words: list[str] = []
    for part in loc:
        if isinstance(raw, Mapping):
            raw = raw.get(part, raw)
        elif isinstance(raw, list) and isinstance(part, int):
            raw = raw[part]
            part = raw["id"] if isinstance(raw, Mapping) and "id" in raw else part
        words.append(str(part))
    return ".".join(words) or "the whole file"


def merge(sets: Iterable[RuleSet]) -> RuleSet:
    """Several files as one; the newest date is the whole's."""
    every = tuple(sets)
    return RuleSet(
        name="gate",
        version=max(one.version for one in every),
        facts=tuple(fact for one in every for fact in one.facts),
        questions=tuple(question for one in every for question in one.questions),
        rules=tuple(rule for one in every for rule in one.rules),
    )


@lru_cache
def shipped() -> RuleSet:
    """The rules that come with this version of Hanse."""
    folder = files("hanse.rules")
    found = sorted((one for one in folder.iterdir() if one.name.endswith(".yaml")), key=lambda one: one.name)
    return merge(parse(one.read_text("utf-8"), where=one.name) for one in found)
