"""Tables of its pages, drawn with the pieces every page shares."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.urls import reverse

from hanse.contracts.awarding import CapacityMonth, Duty, DutyFigures
from hanse.reporting.markup import Child, Html, h, join
from hanse.reporting.measured import hours
from hanse.reporting.tables import Column, facts, table
from hanse.reporting.words import Look, badge, full_date, plain_date, sentence, when
from hanse.service.awarding.paying import euro

HOURS = Column("GPU-hours", True)
STATES = {
    "waiting": Look("is-queued", "Waits for another officer"), "asked": Look("is-sent", "Asked"),
    "proposed": Look("is-queued", "Waits for another officer"), "granted": Look("is-done", "Granted"),
    "declined": Look("is-declined", "Not granted"), "withdrawn": Look("is-cancelled", "Withdrawn"),
    "open": Look("is-draft", "Open"), "sent": Look("is-sent", "Sent"), "sent-back": Look("is-outside", "Sent back"),
    "accepted": Look("is-done", "Accepted"), "waived": Look("is-cancelled", "Waived"),
}  # fmt: skip
KINDS = {
    "extension": "A later end", "supplement": "More hours", "transfer": "To another allocation",
    "machine": "To another machine",
}  # fmt: skip


def proposals(rows: Iterable[Any]) -> Html | None:
    lines: list[tuple[Child, ...]] = []
    for one in rows:
        asked = one.application
        link = h("a", asked.form.title, href=reverse("portal:application", args=[asked.public_id]))
        amount = sum(part.gpu_hours for part in one.terms.parts) or one.terms.gpu_hours or asked.form.gpu_hours
        lines.append((
            join(link, h("small", str(asked.organisation))), "Grant" if one.decision == "grant" else "Decline",
            f"{amount:,}" if one.decision == "grant" else "", one.proposed_by.display_name, when(one.proposed_at),
        ))  # fmt: skip
    return table(("Application", "Proposed", HOURS, "By", "On"), lines) if lines else None


def requests(rows: Iterable[Any]) -> Html | None:
    lines: list[tuple[Child, ...]] = []
    for one in rows:
        place = f"{one.allocation.machine} {one.allocation.partition}".strip()
        link = h("a", KINDS[one.kind], href=reverse("awarding:requests", args=[one.allocation.public_id]))
        said = [sentence(one.explained), *([f"Answer: {sentence(one.reason)}"] if one.reason else [])]
        lines.append((
            join(link, h("small", place)), badge(STATES[one.state]), sentence(one.asked.reason), " ".join(said),
            join(one.asked_by.display_name, ", ", when(one.asked_at)),
        ))  # fmt: skip
    return table(("Request", "State", "Why", "What it comes to", "Asked"), lines) if lines else None


def duties(rows: Iterable[Any]) -> Html | None:
    lines: list[tuple[Child, ...]] = []
    for one in rows:
        link = h("a", name_of(one), href=reverse("awarding:duty", args=[one.public_id]))
        state = badge(Look("is-failed", "Overdue")) if one.overdue else badge(STATES[one.state])
        lines.append((
            join(link, h("small", str(one.award.project))), state,
            plain_date(one.due) if one.due else "no day set", one.text,
        ))  # fmt: skip
    return table(("Duty", "State", "Due", "What it asks"), lines) if lines else None


def name_of(duty: Any) -> str:
    return str(duty.name).replace("-", " ").capitalize()


def capacity(rows: Iterable[CapacityMonth]) -> Html | None:
    lines = [
        (
            f"{one.machine} {one.partition}".strip(), one.month, hours(one.offered_accelerator_seconds),
            hours(one.taken_accelerator_seconds), hours(one.left_accelerator_seconds),
        )
        for one in rows
    ]  # fmt: skip
    columns = ("Machine", "Month", Column("Offered", True), Column("Awarded", True), Column("Left", True))
    return table(columns, lines) if lines else None


def movements(rows: Iterable[Any]) -> Html | None:
    lines = [
        (one.kind.replace("-", " ").capitalize(), hours(one.accelerator_seconds), one.actor, when(one.at), one.reason)
        for one in rows
    ]
    return table(("Movement", HOURS, "By", "On", "Why"), lines) if lines else None


def statements(rows: Iterable[Any]) -> Html | None:
    lines: list[tuple[Child, ...]] = []
    for one in rows:
        files = [
            h("a", kind.upper(), href=reverse("awarding:statement-file", args=[one.public_id, kind]))
            for kind in ("csv", "json")
        ]
        lines.append((
            f"{one.month}, {one.organisation}", euro(one.total_cents), when(one.issued_at), one.issued_by.display_name,
            join(files[0], " ", files[1]),
        ))  # fmt: skip
    return table(("Statement", Column("Euro", True), "Issued", "By", "Take away"), lines) if lines else None


def prices(rows: Iterable[Any]) -> Html | None:
    lines = [(one.machine.public_id, plain_date(one.from_day), euro(one.cents_per_gpu_hour)) for one in rows]
    return table(("Machine", "From", Column("Euro a GPU-hour", True)), lines) if lines else None


def figures(told: DutyFigures) -> Html:
    """What the records say, as a report starts from."""
    months = "; ".join(f"{month}: {hours(amount)}" for month, amount in told.by_month.items()) or "none"
    machines = "; ".join(f"{name}: {hours(amount)}" for name, amount in told.by_machine.items()) or "none"
    energy = f"{told.energy_joules / 3.6e6:,.1f}\N{NO-BREAK SPACE}kWh" if told.energy_joules else "not told"
    return facts(
        ("Granted", f"{hours(told.granted_accelerator_seconds)} GPU-hours"),
        ("Used", f"{hours(told.used_accelerator_seconds)} GPU-hours"),
        ("Returned", f"{hours(told.returned_accelerator_seconds)} GPU-hours"),
        ("Runs", f"{told.runs:,}, of them {told.runs_finished:,} finished"),
        ("By month", months),
        ("By machine", machines),
        ("Energy", energy),
        ("As of", full_date(told.made_at)),
    )


def answers(told: Duty) -> Html | None:
    """What was handed in, as an officer reads it."""
    if told.answers is None:
        return None
    given = {name: value for name, value in told.answers.model_dump().items() if value}
    lines = [(name.replace("_", " ").capitalize().replace("sha256", "SHA-256"), str(v)) for name, v in given.items()]
    return table(("Part", "Answer"), lines, keep=True) if lines else None
