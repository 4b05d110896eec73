"""Tables of its pages, drawn with the pieces every page shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from hanse.contracts.imports import ImportReport, RowEffect, RowError
from hanse.reporting.markup import Child, Html, h, join
from hanse.reporting.tables import Column, table
from hanse.reporting.words import Look, badge, plural, when
from hanse.service.imports.batches import Batch

STATES = {
    "waiting": Look("is-queued", "Waits for another officer"), "confirmed": Look("is-done", "Confirmed"),
    "refused": Look("is-declined", "Refused"), "taken-back": Look("is-cancelled", "Taken back"),
    "nothing-to-do": Look("is-draft", "Nothing to do"),
}  # fmt: skip
EFFECTS = {
    "create": Look("is-done", "Makes it"), "change": Look("is-running", "Changes it"),
    "same": Look("is-cancelled", "As it is"), "waits": Look("is-queued", "Waits for you"),
    "refused": Look("is-failed", "Refused"),
}  # fmt: skip
DONE = EFFECTS | {
    "create": Look("is-done", "Made"), "change": Look("is-done", "Changed"), "waits": Look("is-queued", "Left out"),
}  # fmt: skip
"""Once it is confirmed."""
MOST_SHOWN = 200
_FIRST = ("waits", "refused", "change", "create", "same")


def imports(rows: Iterable[Any]) -> Html | None:
    lines: list[tuple[Child, ...]] = [
        (
            h("a", one.name, href=reverse("imports:batch", args=[one.public_id])), badge(STATES[one.state]),
            join(one.prepared_by.display_name, ", ", when(one.prepared_at)),
            join(one.decided_by.display_name, ", ", when(one.decided_at)) if one.decided_by else "",
        )
        for one in rows
    ]  # fmt: skip
    return table(("Import", "State", "Prepared", "Decided"), lines) if lines else None


def effects(report: ImportReport, *, confirmed: bool = False) -> Html | None:
    """What needs a look first; a long list's rest is in its CSV."""
    looks = DONE if confirmed else EFFECTS
    ordered = sorted(report.rows, key=lambda one: (_FIRST.index(one.effect), one.line))
    lines = [_line(one, looks) for one in ordered[:MOST_SHOWN]]
    columns = ("Award", "Effect", "Where", Column("GPU-hours", True), "What it does")
    return table(columns, lines) if lines else None


def _line(one: RowEffect, looks: dict[str, Look]) -> tuple[Child, ...]:
    said = [h("p", text, class_="small") for text in (one.reason, *one.says) if text]
    return (
        join(one.reference, h("small", f"{one.organisation}, {one.source}, line {one.line}")),
        badge(looks[one.effect]),
        " ".join((one.machine, one.partition)).strip(),
        f"{one.gpu_hours:,}" if one.gpu_hours else "",
        join(*said) if said else "",
    )


def unread(errors: Sequence[RowError]) -> Html | None:
    lines = [(f"Line {one.line}", one.column, f"{one.what[:1].upper()}{one.what[1:]}.", one.fix) for one in errors]
    return table(("Where", "Column", "What is wrong", "What to do"), lines[:MOST_SHOWN]) if lines else None


def summary(report: ImportReport, *, confirmed: bool = False) -> str:
    """One sentence of what comes of it."""
    counts = report.counts
    told = {
        "made" if confirmed else "new": counts.get("create", 0),
        "changed": counts.get("change", 0),
        "as they are": counts.get("same", 0),
        "left out" if confirmed else "to be told apart": counts.get("waits", 0),
        "refused": counts.get("refused", 0) + len(report.unread),
    }
    parts = [f"{count:,} {word}" for word, count in told.items() if count]
    rows = plural(len(report.rows) + len(report.unread), "row")
    return f"{rows}: {', '.join(parts)}." if parts else "It has no rows."


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A row's effect as a line of CSV."""

    line: int
    source: str
    reference: str
    organisation: str
    machine: str
    partition: str
    effect: str
    gpu_hours: int | None
    allocation: str
    says: str


def sheet(report: ImportReport) -> Iterable[Sheet]:
    for one in report.rows:
        yield Sheet(
            line=one.line, source=one.source, reference=one.reference, organisation=one.organisation,
            machine=one.machine, partition=one.partition, effect=one.effect, gpu_hours=one.gpu_hours,
            allocation=one.allocation or "", says=" ".join(text for text in (one.reason, *one.says) if text),
        )  # fmt: skip
    for error in report.unread:
        yield Sheet(
            line=error.line, source="", reference="", organisation="", machine="", partition="", effect="unread",
            gpu_hours=None, allocation="", says=f"{error.column}: {error.what}. {error.fix}".removeprefix(": "),
        )  # fmt: skip


def to_tell_apart(batch: Batch, report: ImportReport) -> list[RowEffect]:
    """One row of each organisation that waits for who prepared it."""
    if batch.state != "waiting":
        return []
    found: dict[str, RowEffect] = {}
    for one in report.rows:
        if one.effect == "waits" and one.candidates:
            found.setdefault(one.organisation, one)
    return list(found.values())
