"""An import as a person reads it on a terminal: every row that does something, what was refused and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.text import Text

from hanse.cli.views import table

if TYPE_CHECKING:
    from hanse.contracts.imports import ImportBatch, ImportReport, RowEffect, RowError

MOST: Final = 60
_WORDS: Final = {"create": "new", "change": "changed", "same": "as it is", "waits": "which?", "refused": "refused"}
_ORDER: Final = ("waits", "refused", "change", "create", "same")


def batch(one: ImportBatch) -> RenderableType:
    head = f"{one.id} · {one.name} · {one.state}" if one.id else one.name
    parts: list[RenderableType] = [Text(head, style="bold")]
    if one.report is not None:
        parts += list(_report(one.report))
    if one.reason:
        parts.append(Text(f"The reason given: {one.reason}"))
    return Group(*parts)


def batches(rows: Iterable[ImportBatch]) -> RenderableType:
    shown = table("Import", "From", "State", "Prepared by", "Decided by")
    for one in rows:
        shown.add_row(one.id or "", one.name, one.state, one.prepared_by, one.decided_by)
    return shown


def _report(report: ImportReport) -> Iterable[RenderableType]:
    counts = [f"{count:,} {_WORDS[effect]}" for effect in _ORDER[::-1] if (count := report.counts.get(effect, 0))]
    if report.unread:
        counts.append(f"{len(report.unread):,} not read")
    yield Text(", ".join(counts) or "no rows")
    if report.blocked:
        yield Text(report.blocked)
    rows = sorted(
        (one for one in report.rows if one.effect != "same"), key=lambda one: (_ORDER.index(one.effect), one.line)
    )
    if rows:
        shown = table("Line", "Effect", "Award", "Where", "GPU-hours", "What it does", right=("Line", "GPU-hours"))
        for one in rows[:MOST]:
            shown.add_row(*_cells(one))
        yield shown
        if len(rows) > MOST:
            yield Text(f"and {len(rows) - MOST:,} more: --json shows all")
    for error in report.unread[:MOST]:
        yield Text(unread(error))
    if report.missing:
        yield Text(f"No longer told of, though they run here: {', '.join(report.missing)}. Nothing was changed.")


def _cells(one: RowEffect) -> tuple[str, ...]:
    said = " ".join(text for text in (one.reason, *one.says) if text)
    if one.candidates:
        said += f" ({'; '.join(f'{each.id}: {each.name}' for each in one.candidates)})"
    where = " ".join((one.machine, one.partition)).strip()
    hours = f"{one.gpu_hours:,}" if one.gpu_hours else ""
    return str(one.line), _WORDS[one.effect], f"{one.reference}, {one.organisation}", where, hours, said


def unread(error: RowError) -> str:
    place = f"Line {error.line}{f', {error.column}' if error.column else ''}"
    return f"{place}: {error.what}. {error.fix}".rstrip()
