"""Contracts as a person reads them on a terminal: figures with units, states with a word, tables that fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hanse.contracts.units import (
    NBSP,
    format_gpu_hours,
)

if TYPE_CHECKING:
    from datetime import datetime

    from hanse.client.summary import RunSummary
    from hanse.contracts.decision import Decision
    from hanse.contracts.programme import Allocation, Application

TONES = {
    "queued": "yellow", "running": "blue", "cancelling": "yellow", "finished": "green", "failed": "red",
    "cancelled": "dim", "granted": "green", "declined": "dim", "in-review": "blue", "sent": "blue", "allow": "green",
    "condition": "yellow", "review": "magenta", "deny": "red", "planned": "yellow", "unknown": "magenta",
    "stopped": "dim", "away": "magenta", "draining": "yellow", "open": "green",
}  # fmt: skip
SIGNS = {
    "queued": "○", "running": "▸", "cancelling": "▪", "finished": "✓", "failed": "✗", "cancelled": "▪",
    "granted": "✓", "declined": "–", "in-review": "◑", "sent": "→", "allow": "✓", "condition": "!", "review": "?",
    "deny": "✗", "planned": "○", "unknown": "?", "stopped": "▪", "away": "‖", "draining": "○", "open": "✓",
}  # fmt: skip


def state(word: str) -> Text:
    """A state as shape, word and colour; never by colour alone."""
    return Text(f"{SIGNS.get(word, '·')} {word}", style=TONES.get(word, ""))


def pairs(rows: Iterable[tuple[str, RenderableType]], indent: int = 2) -> RenderableType:
    """Names and their values in two columns."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for name, value in rows:
        grid.add_row(name, value)
    return Padding(grid, (0, 0, 0, indent))


def table(*columns: str, right: Sequence[str] = (), whole: Sequence[str] = ()) -> Table:
    """An open table: a header in bold, no rules; it stays readable in a pipe.

    Figures (`right`) and what is typed again or looked for (`whole`) are never cut; other text folds where it must.
    """
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column in right or column in whole,
            overflow="fold",
        )
    return made


def sentences(lines: Iterable[str], indent: int = 2) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim")
    grid.add_column()
    for line in lines:
        grid.add_row("·", line)
    return Padding(grid, (0, 0, 0, indent))


def when(moment: datetime | None) -> str:
    """'22 Nov, 17:04' in the reader's own time zone."""
    return f"{moment.astimezone():%-d %b, %H:%M}" if moment else "–"


def decision(made: Decision) -> RenderableType:
    """Each finding with its verdict, reason and what would change it."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for finding in made.findings:
        text = Text(finding.reason)
        if finding.condition:
            text.append(f"\nCondition: {finding.condition}")
        if finding.what_would_change_it and finding.verdict != "allow":
            text.append(f"\nWhat would change it: {finding.what_would_change_it}", style="dim")
        grid.add_row(state(finding.verdict), text)
    return Padding(grid, (0, 0, 0, 2))


def runs(listed: Sequence[RunSummary]) -> Table:
    """An id and a state are never cut: the one is typed, the other looked for."""
    names = ("Run", "Name", "State", "Steps", "GPU-hours", "Machine", "Launched")
    shown = table(*names, right=("Steps", "GPU-hours"), whole=("Run", "State", "Launched"))
    shown.padding = (0, 1, 0, 0)
    for run in listed:
        steps = f"{run.step:,}/{run.steps:,}" if run.steps else "–"
        used = format_gpu_hours(run.used_accelerator_seconds).partition(NBSP)[0]
        shown.add_row(run.id, run.name, state(run.state), steps, used, ", ".join(run.machines), when(run.created_at))
    return shown


def allocations(listed: Sequence[Allocation]) -> Table:
    shown = table(
        "Allocation",
        "Project",
        "Machine",
        "Free",
        "Granted",
        "Until",
        right=("Free", "Granted"),
        whole=("Allocation", "Until"),
    )
    for one in listed:
        free, granted = (
            format_gpu_hours(amount) for amount in (one.free_accelerator_seconds, one.granted_accelerator_seconds)
        )
        shown.add_row(one.id, one.project, one.machine, free, granted, f"{one.ends:%-d %b %Y}")
    return shown


def application(shown: Application) -> RenderableType:
    rows: list[tuple[str, RenderableType]] = [("State", state(shown.state))]
    if shown.reason:
        rows.append(("Reason", shown.reason))
    if shown.state in ("sent", "in-review") and shown.decide_by:
        rows.append(("Decided by", f"{shown.decide_by.astimezone():%A %-d %B %Y, %H:%M}"))
    if shown.allocation_id:
        rows.append(("Allocation", shown.allocation_id))
    form = shown.form
    rows.append(("Asked for", f"{form.gpu_hours:,}{NBSP}GPU-hours on {form.machine} for {form.duration_months} months"))
    return Group(Text(f"{form.title} ({shown.id})", style="bold"), pairs(rows))
