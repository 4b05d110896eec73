"""Contracts as a person reads them on a terminal: figures with units, states with a word, tables that fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hanse.contracts.units import (
    NBSP,
    format_bytes,
    format_count,
    format_gpu_hours,
    format_percent,
    format_seconds,
    significant,
)

if TYPE_CHECKING:
    from datetime import datetime

    from hanse.client.summary import RunSummary
    from hanse.contracts.decision import Decision
    from hanse.contracts.machine import Machine
    from hanse.contracts.plan import Interval, Plan
    from hanse.contracts.programme import Allocation, Application
    from hanse.contracts.run import Run

TONES = {
    "queued": "yellow", "running": "blue", "cancelling": "yellow", "finished": "green", "failed": "red",
    "cancelled": "dim", "granted": "green", "declined": "dim", "in-review": "blue", "sent": "blue", "allow": "green",
    "condition": "yellow", "review": "magenta", "deny": "red",
}  # fmt: skip
SIGNS = {
    "queued": "○", "running": "▸", "cancelling": "▪", "finished": "✓", "failed": "✗", "cancelled": "▪",
    "granted": "✓", "declined": "–", "in-review": "◑", "sent": "→", "allow": "✓", "condition": "!", "review": "?",
    "deny": "✗",
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


def interval(value: Interval, unit: str = "s") -> str:
    """'0.69 s (80 %: 0.55 s to 0.83 s)'."""
    shown = format_seconds if unit == "s" else lambda figure: f"{format_count(figure)}{NBSP}{unit}"
    return f"{shown(value.expected)} (80{NBSP}% likely {shown(value.low)} to {shown(value.high)})"


def when(moment: datetime | None) -> str:
    """'22 Nov, 17:04' in the reader's own time zone."""
    return f"{moment.astimezone():%-d %b, %H:%M}" if moment else "–"


def plan(made: Plan, machine: Machine) -> RenderableType:
    """The plan's answer, its figures, and why."""
    from hanse.planning.explain import sentences as explain

    work = made.workload
    size = f"{format_count(work.parameters)} parameters, {format_count(work.total_tokens)} tokens"
    title = Text.assemble((work.name, "bold"), f" on {machine.name}: ", (made.layout.describe(), "bold"))
    rows: list[tuple[str, RenderableType]] = [
        ("Model", f"{size} in {made.steps:,} {'step' if made.steps == 1 else 'steps'}"),
        ("Step time", interval(made.step_time.total_s)),
        ("Throughput", interval(made.tokens_per_s, "tokens/s")),
        ("Memory", f"{format_bytes(made.memory.total)} of {format_bytes(made.memory.limit)} on the fullest rank"),
        ("Wall time", interval(made.wall_time_s)),
        ("Cost", f"about {format_gpu_hours(made.accelerator_seconds)}"),
        ("Efficiency", f"{format_percent(made.mfu)} MFU"),
    ]
    why = explain(made)
    parts: list[RenderableType] = [title, pairs(rows), "", Text("Why", style="bold"), sentences(why)]
    if made.estimates:
        parts += ["", Text("Estimates this rests on", style="bold"), sentences(made.estimates)]
    return Group(*parts)


def plan_line(made: Plan) -> RenderableType:
    """The plan in one sentence."""
    return (
        f"{made.layout.describe()}: {made.steps:,} steps of about {format_seconds(made.step_time.total_s.expected)}, "
        f"in all about {format_seconds(made.wall_time_s.expected)} and {format_gpu_hours(made.accelerator_seconds)}."
    )


def candidates(made: Plan) -> RenderableType:
    """The layouts that were weighed, best first."""
    shown = table("Layout", "Step time", "Tokens/s", "Memory", "", right=("Step time", "Tokens/s", "Memory"))
    for one in made.considered:
        shown.add_row(
            one.layout.describe(),
            format_seconds(one.step_time_s),
            format_count(one.tokens_per_s),
            format_bytes(one.memory_bytes),
            one.note or ("" if one.fits else "does not fit"),
        )
    head = Text(f"{made.searched:,} layouts were weighed; the best, and the nearest that did not fit:")
    return Group(head, Padding(shown, (0, 0, 0, 2)))


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


def run(shown: Run) -> RenderableType:
    """One run: its state and what became of each attempt."""
    rows: list[tuple[str, RenderableType]] = [("State", state(shown.state))]
    if shown.reason:
        rows.append(("Reason", shown.reason))
    if shown.steps:
        rows.append(("Steps", f"{shown.step:,} of {shown.steps:,}"))
    if shown.plan:
        rows.append(("Layout", shown.plan.layout.describe()))
    limit = f"{significant(shown.spec.where.max_gpu_hours)}{NBSP}GPU-hours at most"
    rows.append(("Used", f"{format_gpu_hours(shown.used_accelerator_seconds)}, {limit}"))
    rows.append(("Started", f"{when(shown.created_at)} by {shown.created_by}"))
    if shown.ended_at:
        rows.append(("Ended", when(shown.ended_at)))
    for leg in shown.legs:
        for attempt in leg.attempts:
            said = f" · {attempt.reason}" if attempt.reason else ""
            job = f" · job {attempt.job_id}" if attempt.job_id else ""
            rows.append((f"Attempt {attempt.number}", f"{attempt.state} on {leg.machine}{job}{said}"))
    return Group(Text(shown.id, style="bold"), pairs(rows))


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


def machines(listed: Sequence[Machine]) -> Table:
    shown = table(
        "Id", "Nodes", "Per node", "Accelerator", "Site", "Status", right=("Nodes", "Per node"), whole=("Id",)
    )
    for one in listed:
        shown.add_row(
            one.id,
            f"{one.nodes:,}" if one.nodes else "–",
            str(one.accelerators_per_node),
            one.accelerator.name,
            f"{one.site}, {one.country}" if one.country else one.site,
            one.status,
        )
    return shown


def machine(shown: Machine) -> RenderableType:
    device = shown.accelerator
    peaks = ", ".join(f"{significant(rate / 1e12)}{NBSP}TFLOP/s {name}" for name, rate in device.peak_flops.items())
    rows: list[tuple[str, RenderableType]] = [
        ("Site", f"{shown.site}{f', {shown.country}' if shown.country else ''} ({shown.status})"),
        (
            "Nodes",
            f"{f'{shown.nodes:,}' if shown.nodes else 'unknown'} with {shown.accelerators_per_node} accelerators each",
        ),
        ("Accelerator", f"{device.name}, {format_bytes(device.memory_bytes)}, {peaks}"),
        ("Memory", f"{format_bytes(device.memory_bytes_per_s)}/s"),
    ]
    for name, link in (("In the node", shown.in_node), ("Between nodes", shown.between_nodes)):
        if link:
            rows.append((name, f"{link.name}, {format_bytes(link.bytes_per_s)}/s, {format_seconds(link.latency_s)}"))
    if shown.partitions:
        names = [part.name + (f" ({part.qos})" if part.qos else "") for part in shown.partitions]
        rows.append(("Partitions", ", ".join(dict.fromkeys(names))))
    rows.append(("Scheduler", shown.scheduler.kind))
    if shown.billing:
        unit = re.sub(r"hour\b", "hours", shown.billing.unit, count=1)
        rows.append(("Billing", f"{significant(shown.billing.units_per_node_hour)} {unit} a node-hour"))
    if shown.calibration:
        fastest = max(shown.calibration.matmul.y)
        rows.append(
            ("Measured", f"{when(shown.calibration.measured_at)}: {significant(fastest / 1e9)}{NBSP}GFLOP/s a rank")
        )
    parts: list[RenderableType] = [Text(f"{shown.name} ({shown.id})", style="bold"), pairs(rows)]
    if shown.unknown:
        parts += ["", Text("Not known", style="bold"), sentences(shown.unknown)]
    if shown.notes:
        parts += ["", Text("Notes", style="bold"), sentences(shown.notes)]
    if shown.sources:
        parts += ["", Text("Sources", style="bold")]
        parts.append(
            sentences(
                f"{s.part}{f': {s.url}' if s.url else ''} ({s.confidence}, read {s.read_on})" for s in shown.sources
            )
        )
    return Group(*parts)
