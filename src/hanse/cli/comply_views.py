"""A check, the rules and the questions as a person reads them on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from hanse.cli.views import pairs, sentences, table

if TYPE_CHECKING:
    from datetime import date

    from hanse.contracts.compliance import AskedQuestion, Because, Check, Given, Obligation, ToldRule

_LOOKS = {"pass": ("✓", "green"), "conditions": ("!", "yellow"), "review": ("?", "magenta"), "stop": ("✗", "red")}
_MEANS = {
    "pass": "nothing stands against it",
    "conditions": "it may go ahead if the conditions below hold",
    "review": "a person decides",
    "stop": "it may not go ahead",
}
_SHOWN = 6
_CONFIDENCE = {"read": "", "secondary": "from a secondary source", "unread": "source not read; a person decides"}


def outcome(word: str) -> Text:
    """As shape, word and colour; never by colour alone."""
    sign, colour = _LOOKS[word]
    return Text(f"{sign} {word}", style=colour)


def check(found: Check) -> Iterator[RenderableType]:
    yield Text.assemble(outcome(found.outcome), f", as of {found.as_of:%-d %B %Y}: {_MEANS[found.outcome]}.")
    yield pairs([("Risk", ", ".join(found.risks)), ("You are", ", ".join(found.roles) or "not said")])
    for one in found.because:
        if not one.rule.startswith("unanswered."):
            yield from _because(one)
    if found.open_questions and found.outcome != "stop":
        yield from _open(found)
    if found.obligations:
        yield Text("\nYour duties", style="bold")
        yield sentences(_duty(one) for one in found.obligations)
    if found.upcoming:
        yield Text("\nWhat is to come", style="bold")
        yield sentences(f"{one.on:%-d %B %Y}: {one.what} → {one.outcome}. {one.citation}" for one in found.upcoming)
    if found.would_change:
        yield Text("\nWhat would change the outcome", style="bold")
        yield sentences(f"{one.question}: {_word(one.answer)} → {one.outcome}" for one in found.would_change)
    if found.assumed:
        yield Text("\nNot answered, and counted so", style="bold")
        yield sentences([", ".join(f"{id}: {_word(value)}" for id, value in found.assumed.items())])
    yield Text(f"\nRules: {found.rules}. Not legal advice.", style="dim")


def _because(one: Because) -> Iterator[RenderableType]:
    yield Text.assemble("\n", outcome(one.outcome), f"  {one.reason}")
    rows: list[tuple[str, RenderableType]] = []
    if one.condition:
        rows.append(("Condition", one.condition))
    if one.what_would_change_it:
        rows.append(("What would change it", one.what_would_change_it))
    rows.append(("Rule", one.rule + (f", {_CONFIDENCE[one.confidence]}" if _CONFIDENCE[one.confidence] else "")))
    if one.citation:
        rows.append(("Where it stands", one.citation))
    yield pairs(rows)


def _open(found: Check) -> Iterator[RenderableType]:
    shown, more = found.open_questions[:_SHOWN], len(found.open_questions) - _SHOWN
    rest = f" and {more} more" if more > 0 else ""
    yield Text.assemble("\n", outcome("review"), f"  Not answered, and it matters: {', '.join(shown)}{rest}.")
    ending = found.outcome_if_open_are_harmless
    lines = ["'hanse comply questions' says what each asks; 'everything-else: harmless' answers the rest."]
    yield sentences([f"With all of them answered the harmless way: {ending}.", *lines] if ending else lines)


def _duty(one: Obligation) -> str:
    until = f" By {one.due:%-d %B %Y}." if one.due else f" When: {one.due_text}." if one.due_text else ""
    eased = f" Lighter: {'; '.join(one.eased)}." if one.eased else ""
    return f"{one.what}{until}{eased} {one.citation}, since {one.since:%-d %B %Y}"


def _word(value: Given) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def rules(found: Sequence[ToldRule], as_of: date) -> Iterator[RenderableType]:
    shown = table("Rule", "Outcome", "What it is about", "Where it stands", "Since", whole=("Rule", "Since"))
    for one in found:
        shown.add_row(one.id, outcome(one.outcome), one.title, one.citation, str(one.effective))
    yield shown
    read = sum(one.confidence == "read" for one in found)
    unread = sum(one.confidence == "unread" for one in found)
    yield Text(
        f"\n{len(found)} rules in force on {as_of:%-d %B %Y}. Of {read} the official text was read, "
        f"{len(found) - read - unread} rest on secondary sources, and the {unread} whose source was not read never "
        "alone pass or stop. --json has the links.",
        style="dim",
    )


def questions(found: Sequence[AskedQuestion]) -> Iterator[RenderableType]:
    group = ""
    for one in found:
        if one.group != group:
            group = one.group
            yield Text(f"\n{group}", style="bold")
        yield Text.assemble((one.id, "bold"), f": {' | '.join(one.allowed)}")
        yield Padding(Text(one.text), (0, 0, 0, 4))
        if one.follows:
            yield Padding(Text(f"Where {one.follows} is yes.", style="dim"), (0, 0, 0, 4))
    yield Text(
        "\nIn a file of answers, 'everything-else: harmless' answers what it leaves out; --template begins one.",
        style="dim",
    )
