"""One run on a terminal: what it waits for and what to do about it, its legs, and each attempt of them in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from hanse.cli import placed
from hanse.cli.views import pairs, state, table, when
from hanse.contracts.base import now
from hanse.contracts.units import NBSP, format_gpu_hours, significant
from hanse.machines import pending, waiting

if TYPE_CHECKING:
    from datetime import datetime

    from hanse.contracts.outer import OuterTerms
    from hanse.contracts.run import Attempt, Run

NODES_SHOWN = 3


def run(shown: Run, at: datetime | None = None) -> RenderableType:
    """One run: its state, why it waits where it does, and what became of each attempt."""
    at = at or now()
    rows: list[tuple[str, RenderableType]] = [("State", state(shown.state))]
    if shown.reason:
        rows.append(("Reason", shown.reason))
    rows += _why_it_waits(shown, at)
    if shown.steps:
        rows.append(("Steps", f"{shown.step:,} of {shown.steps:,}"))
    if shown.across:
        rows.append(("Across", _across(shown.across)))
    elif shown.plan:
        rows.append(("Layout", shown.plan.layout.describe()))
    limit = f"{significant(shown.spec.where.max_gpu_hours)}{NBSP}GPU-hours at most"
    rows.append(("Used", f"{format_gpu_hours(shown.used_accelerator_seconds)}, {limit}"))
    rows.append(("Launched", f"{when(shown.created_at)} by {shown.created_by}"))
    if shown.ended_at:
        rows.append(("Ended", when(shown.ended_at)))
    parts: list[RenderableType] = [Text(shown.id, style="bold"), pairs(rows)]
    for number, leg in enumerate(shown.legs, start=1):
        several = f"Leg {number}: " if len(shown.legs) > 1 else ""
        parts += ["", Text(f"{several}{leg.machine}, charged to {leg.allocation_id}", style="bold")]
        if leg.left_because:
            parts.append(Text(f"  {'Lost' if shown.across else 'Left'}: {leg.left_because}"))
        if leg.attempts:
            parts.append(_attempts(leg.attempts))
    if shown.placement is not None:
        parts += ["", Text("Why this machine", style="bold"), Padding(placed.view(shown.placement), (0, 0, 0, 2))]
    return Group(*parts)


def _across(terms: OuterTerms) -> str:
    steps = " / ".join(str(terms.inner_steps_of(leg.name)) for leg in terms.legs)
    return f"{len(terms.legs)} legs at once, which exchange as {terms.codec} after {steps} steps of their own"


def _why_it_waits(shown: Run, at: datetime) -> list[tuple[str, RenderableType]]:
    found = waiting.of_run(shown, now=at)
    if found is None:
        return []
    attempt, told = found
    words = f"{told.words}{f' ({told.quoted})' if told.quoted else ''}"
    rows: list[tuple[str, RenderableType]] = [("Waits", words)]
    if attempt.expected_start_at:
        rows.append(("Expected start", f"{when(attempt.expected_start_at)}, by the scheduler's estimate"))
    rows.append(("To do", told.what_you_can_do))
    return rows


def in_words(shown: Run, at: datetime) -> str:
    """Why a run waits, short enough for a line of a list; '' where it does not."""
    found = waiting.of_run(shown, now=at)
    if found is None:
        return ""
    _, told = found
    advice = told.what_you_can_do if told.what_you_can_do != pending.NOTHING else ""
    return " ".join(part for part in (told.words, told.estimate, advice) if part)


def _attempts(attempts: tuple[Attempt, ...]) -> RenderableType:
    made = table(
        "Attempt", "State", "Job", "Nodes", "Since", "Reason", right=("Attempt",), whole=("State", "Job", "Since")
    )
    for one in attempts:
        since = one.ended_at or one.started_at or one.planned_at
        made.add_row(str(one.number), state(one.state), one.job_id or "–", _nodes(one), when(since), one.reason)
    return made


def _nodes(attempt: Attempt) -> str:
    names = attempt.nodes
    more = len(names) - NODES_SHOWN
    return ", ".join(names[:NODES_SHOWN]) + (f" and {more} more" if more > 0 else "") or "–"
