"""Rules and questions as they are told: what is in force on a day, and what may be answered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from hanse.contracts.compliance import ENDINGS, AskedQuestion, ToldRule
from hanse.contracts.errors import UsageError
from hanse.rules.answers import HARMLESS, REST, harmless
from hanse.rules.files import shipped
from hanse.rules.judge import verdict_of
from hanse.rules.ruleset import Question, RuleSet


def require_law(as_of: date, rules: RuleSet) -> None:
    """Nothing if there was such a law on that day. Raises UsageError."""
    if rules.begins is not None and as_of < rules.begins:
        raise UsageError(
            f"{as_of} is before the law: the AI Act entered into force on {rules.begins}",
            where="--as-of",
            fix=f"Ask for {rules.begins} or a later day.",
        )


def rules_of(as_of: date, *, rules: RuleSet | None = None) -> tuple[ToldRule, ...]:
    """The rules in force on that day. Raises UsageError for a day before the law."""
    rules = rules or shipped()
    require_law(as_of, rules)
    return tuple(
        ToldRule(
            id=rule.id,
            title=rule.title,
            outcome=ENDINGS[verdict_of(rule)],
            reason=rule.reason,
            condition=rule.condition,
            questions=tuple(dict.fromkeys(rule.questions)),
            roles=rule.roles,
            for_whom=rule.for_whom,
            risk=rule.risk,
            obligations=tuple(duty.what for duty in rule.duties),
            what_would_change_it=rule.what_would_change_it,
            citation=rule.citation,
            link=rule.link or rule.source,
            source=rule.source,
            confidence=rule.confidence,
            effective=rule.effective,
            until=rule.until,
            last_verified=rule.last_verified,
        )
        for rule in rules.in_force(as_of)
    )


def questions_of(*, rules: RuleSet | None = None) -> tuple[AskedQuestion, ...]:
    """Every question there is, whatever the day, in reading order; the numbers stand last."""
    rules = rules or shipped()
    asked = [_asked(question) for question in rules.questions]
    numbers = [
        AskedQuestion(
            id=fact.id.replace("_", "-"), kind="number", text=f"How much is {fact.label}?", help=fact.help,
            group=fact.group, allowed=(f"a number, in {fact.unit}" if fact.unit else "a number",), in_application=False,
        )
        for fact in rules.facts
        if fact.may_be_stated
    ]  # fmt: skip
    return (*asked, *numbers)


def _asked(question: Question) -> AskedQuestion:
    best, default = harmless(question), question.unless_answered
    return AskedQuestion(
        id=question.id,
        kind=question.kind,
        text=question.text,
        help=question.help,
        group=question.group,
        allowed=question.allowed,
        labels={choice.id: choice.label for choice in question.choices},
        follows=question.follows,
        unless_answered=_word(default),
        harmless=_word(best) if default is None else _word(default),
        in_application=question.in_form and question.kind == "yes-no",
    )


def _word(value: bool | str | None) -> str | None:
    return ("yes" if value else "no") if isinstance(value, bool) else value


def template(*, rules: RuleSet | None = None) -> str:
    """A file of answers to begin with: what has to be answered, with what is left out as comments."""
    return "\n".join(_template_lines(rules or shipped())) + "\n"


def _template_lines(rules: RuleSet) -> Iterator[str]:
    yield "# Answers for 'hanse comply check'. Change what is not true; what begins with # is optional."
    yield f"# Instead of answering all, write  {REST}: {HARMLESS}  and only what differs."
    group = ""
    for one in questions_of(rules=rules):
        if one.group != group:
            group = one.group
            yield f"\n# {group}"
        yield f"# {one.text}" + (f" (If {one.follows} is yes.)" if one.follows else "")
        shown = ", ".join(one.allowed)
        needed = one.kind == "yes-no" and one.unless_answered is None and one.follows is None
        yield f"{one.id}: {one.harmless}" if needed else f"# {one.id}: {one.harmless or ''}  # {shown}"
