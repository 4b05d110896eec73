"""The rules as data: what a rule file holds, and how several files become one checked rule set.

A new rule is a new entry in a YAML file (`hanse.rules.files` reads them). What is wrong with one is said with the file,
the rule and the key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from hanse.contracts.base import Contract, Identifier
from hanse.contracts.compliance import Confidence, Risk, Role
from hanse.contracts.decision import Verdict
from hanse.rules.conditions import AnswerIs, Condition, FactIs, parts

QuestionKind = Literal["yes-no", "choice", "choices", "date"]


class Choice(Contract):
    """One answer of several; where it stands, if a rule speaks because of it."""

    id: Identifier
    label: str
    citation: str = ""


class Question(Contract):
    """A question to the applicant. One that `follows` another matters only where that was answered with yes.

    `unless_answered` is what counts while nobody answers: an exception that nobody claims does not apply. Without it
    the question has to be answered where it matters.
    """

    id: Identifier
    text: str = Field(min_length=1)
    help: str = ""
    group: str = ""
    follows: Identifier | None = None
    kind: QuestionKind = "yes-no"
    choices: tuple[Choice, ...] = ()
    unless_answered: bool | str | None = None
    strict: bool | None = True
    """Of yes and no the answer that never makes the outcome milder; None: neither does always."""
    in_form: bool = True
    """An application asks it; the others are for who wants to be precise."""

    @model_validator(mode="after")
    def _whole(self) -> Question:
        if bool(self.choices) != (self.kind in ("choice", "choices")):
            raise ValueError("choices are needed where the kind is choice or choices, and only there")
        if self.kind != "yes-no" and isinstance(self.unless_answered, bool):
            raise ValueError("unless_answered must be one of the answers")
        return self

    @property
    def allowed(self) -> tuple[str, ...]:
        """The answers it takes, in words."""
        if self.kind == "yes-no":
            return ("yes", "no")
        return ("YYYY-MM-DD",) if self.kind == "date" else tuple(choice.id for choice in self.choices)


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
    sum_of: tuple[Identifier, ...] = ()
    """Made of other facts, and known where all of them are."""
    unit: str = ""
    help: str = ""
    group: str = ""


class Duty(Contract):
    """What somebody has to do where the rule triggers. Another rule can ease it by its `id`."""

    id: Identifier
    what: str = Field(min_length=1)
    citation: str = ""
    """Where it stands, if more exactly than its rule."""
    roles: tuple[Role, ...] = ()
    within_days: int | None = Field(None, gt=0)
    after: Identifier | None = None
    """With `within_days`: the question whose date starts the clock."""
    due_text: str = ""


class Easing(Contract):
    """A duty of another rule made lighter, or (`lifts`) taken away, where this rule triggers."""

    duty: Identifier
    how: str
    lifts: bool = False


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
    roles: tuple[Role, ...] = ()
    """It speaks to these only; empty: to everybody."""
    assigns: tuple[Role, ...] = ()
    """Who it concerns is this too."""
    risk: Risk | None = None
    silent: bool = False
    """It adds roles, duties or easings, and no finding of its own."""
    duties: tuple[Duty, ...] = ()
    eases: tuple[Easing, ...] = ()
    replaced_by: Identifier | None = None
    """Speaks in its place from `until` on."""
    citation: str
    source: str = Field(pattern=r"^https://")
    """What was read."""
    link: str = Field("", pattern=r"^(https://|$)")
    """The official text, where it is another page."""
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
        if self.silent and self.verdict != "allow":
            raise ValueError("only a rule that allows may be silent")
        if self.until is not None and self.until <= self.effective:
            raise ValueError("until must be after effective")
        return self

    def in_force(self, on: date) -> bool:
        return self.effective <= on and (self.until is None or on < self.until)

    @property
    def questions(self) -> tuple[str, ...]:
        return tuple(part.answer for part in parts(self.when) if isinstance(part, AnswerIs))


class Contradiction(Contract):
    """Answers that cannot all be true."""

    when: Condition
    what: str
    fix: str


class RuleFile(Contract):
    """One topic's part of the rules."""

    name: Identifier
    version: date
    begins: date | None = None
    """Before this day there was no such law; nothing is checked then."""
    facts: tuple[FactDeclared, ...] = ()
    questions: tuple[Question, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()
    rules: tuple[Rule, ...] = ()


class RuleSet(RuleFile):
    """All of them, checked as a whole."""

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
        for problem in self._loose_ends():
            raise ValueError(problem)
        return self

    def _loose_ends(self) -> Iterator[str]:
        questions = {question.id: question for question in self.questions}
        conditions = [(f"rule {rule.id}", rule.when) for rule in self.rules]
        conditions += [("a contradiction", one.when) for one in self.contradictions]
        used: set[str] = set()
        for who, condition in conditions:
            for part in parts(condition):
                yield from self._loose_part(who, part)
                used |= {part.answer} if isinstance(part, AnswerIs) else set()
        for question in self.questions:
            if question.follows is not None and question.follows not in questions:
                yield f"question {question.id} follows an unknown question: {question.follows}"
        yield from self._loose_facts()
        yield from self._loose_duties(questions)
        used |= {duty.after for rule in self.rules for duty in rule.duties if duty.after}
        if idle := questions.keys() - used:
            yield f"no rule needs the question {', '.join(sorted(idle))}"

    def _loose_part(self, who: str, part: AnswerIs | FactIs) -> Iterator[str]:
        if isinstance(part, AnswerIs):
            question = next((one for one in self.questions if one.id == part.answer), None)
            if question is None:
                yield f"{who} asks for an unknown question: {part.answer}"
            elif question.kind not in part.fits:
                yield f"{who} compares {part.answer} as what it is not"
            elif wrong := [word for word in part.words if word not in question.allowed]:
                yield f"{who} looks for an answer that {part.answer} does not have: {wrong[0]}"
            return
        facts = {fact.id: fact for fact in self.facts}
        for id in (part.fact, *([part.above_part_of.fact] if part.above_part_of else [])):
            if id not in facts:
                yield f"{who} asks for an unknown fact: {id}"
            elif part.compares_numbers != (facts[id].kind == "number"):
                yield f"{who} compares {id} as what it is not"

    def _loose_facts(self) -> Iterator[str]:
        numbers = {fact.id for fact in self.facts if fact.kind == "number"}
        for fact in self.facts:
            if fact.at_most and not {fact.id, fact.at_most.fact} <= numbers:
                yield f"fact {fact.id} is bounded by what is no number: {fact.at_most.fact}"
            if fact.sum_of and not {fact.id, *fact.sum_of} <= numbers:
                yield f"fact {fact.id} is a sum of what is no number"

    def _loose_duties(self, questions: dict[str, Question]) -> Iterator[str]:
        known = {rule.id for rule in self.rules}
        duties: dict[str, str] = {}
        for duty in (duty for rule in self.rules for duty in rule.duties):
            if duties.setdefault(duty.id, duty.what) != duty.what:
                yield f"the duty {duty.id} is worded in two ways"
        for rule in self.rules:
            if rule.replaced_by is not None and rule.replaced_by not in known:
                yield f"rule {rule.id} is replaced by an unknown rule: {rule.replaced_by}"
            for easing in rule.eases:
                if easing.duty not in duties:
                    yield f"rule {rule.id} eases an unknown duty: {easing.duty}"
            for duty in rule.duties:
                if duty.after is not None and (duty.after not in questions or questions[duty.after].kind != "date"):
                    yield f"duty {duty.id} counts from what is no date: {duty.after}"
