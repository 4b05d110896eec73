"""Tables and figures of the pages, drawn with the same pieces as the run report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from django.urls import reverse

from hanse.contracts.base import now
from hanse.contracts.event import Event
from hanse.contracts.programme import Allocation
from hanse.contracts.run import Run, RunState
from hanse.contracts.units import format_percent
from hanse.reporting.bars import meter, meter_key
from hanse.reporting.happenings import told
from hanse.reporting.markup import Child, Html, h, join
from hanse.reporting.measured import hours
from hanse.reporting.tables import Column, Happening, table, timeline
from hanse.reporting.words import (
    APPLICATION_LOOKS,
    RUN_LOOKS,
    Look,
    badge,
    full_date,
    plain_date,
    plural,
    sentence,
    short_time,
    when,
)
from hanse.rules import gate
from hanse.service.portal import standing
from hanse.service.portal.briefly import Brief
from hanse.service.runs.glance import Line

_GONE_WRONG = {
    "failed": "tone-bad",
    "away": "tone-ask",
    "unknown": "tone-ask",
    "refused": "tone-bad",
    "declined": "tone-off",
}
_GONE_WELL = {"finished", "granted", "opened", "back"}


def runs_table(runs: Iterable[Line]) -> Html:
    """One line a run."""
    rows: list[tuple[Child, ...]] = []
    for run in runs:
        link = h("a", run.name, href=reverse("portal:run", args=[run.public_id]))
        rows.append((
            join(link, h("small", run.purpose or ("A program of the user's" if run.is_program else ""))),
            badge(RUN_LOOKS[run.state]),
            share(run),
            ", ".join(run.places),
            hours(run.used_accelerator_seconds),
            when(run.ended_at) if run.ended_at else "",
        ))  # fmt: skip
    columns = ("Run", "State", Column("Progress", True), "Where", Column("GPU-hours", True), "Ended")
    return table(columns, rows)


def applications_table(applications: Iterable[Brief]) -> Html:
    rows: list[tuple[Child, ...]] = []
    for application in applications:
        who, by = standing.application_next(application)
        link = h("a", application.title, href=reverse("portal:application", args=[application.public_id]))
        about = f"{application.call}, {application.gpu_hours:,} GPU-hours"
        step = f"{who}, by {full_date(by)}" if by else who
        rows.append((join(link, h("small", about)), badge(APPLICATION_LOOKS[application.state]), sentence(step)))
    return table(("Application", "State", "What happens next"), rows)


def answers(application: Any) -> Html | None:
    """What the applicant answered, under the gate's questions as they read on the day it was sent."""
    given = application.form.answers
    if not given:
        return None
    asked = {one.id: one.text for one in gate.questions((application.sent_at or now()).date())}
    spoken = {True: "yes", False: "no"}
    shown = {key: spoken[value] if isinstance(value, bool) else str(value) for key, value in given.items()}
    rows = [(_asked(asked, key), value) for key, value in shown.items()]
    return table(("Question", "Answer"), rows, keep=True)


def _asked(asked: Mapping[str, str], key: str) -> Html:
    """The rules' own words stand in English until a person has checked a translation."""
    return h("span", asked.get(key, key.replace("-", " ").capitalize()), lang="en")


def usage_table(entries: Any, *, used: int) -> Html:
    """A page of an allocation's debits and corrections; the last line is the sum of all (`used`, in its seconds)."""
    with_run = entries.select_related("attempt__leg__run").only(
        *("recorded_at", "kind", "accelerator_seconds", "site_amount", "note"),
        *("attempt__number", "attempt__leg__run__name", "attempt__leg__run__public_id"),
    )
    rows: list[tuple[Child, ...]] = [
        (
            when(e.recorded_at),
            _run_of(e),
            e.kind.capitalize(),
            hours(e.accelerator_seconds),
            e.site_amount or "",
            sentence(e.note),
        )
        for e in with_run
    ]
    columns = ("Recorded", "Run", "Kind", Column("GPU-hours", True), "The site's own record", "Note")
    return table(columns, rows, foot=("Sum", "", "", hours(used), "", ""))


def allocation_card(allocation: Any) -> tuple[Any, Html, Html]:
    """An allocation with its figure and whether a run can start on it now. Needs `with_balance`."""
    return allocation, allocation_figure(allocation.contract()), allocation_badge(allocation)


def allocation_figure(allocation: Allocation) -> Html:
    """The large figure, the meter with the pace of time, its key and a sentence on the pace."""
    spent, granted = allocation.used_accelerator_seconds, allocation.granted_accelerator_seconds
    held, free, today = allocation.reserved_accelerator_seconds, allocation.free_accelerator_seconds, now().date()
    gone, left_days = _gone(allocation, today), (allocation.ends - today).days
    when_over = full_date(allocation.ends)
    ends = f"ends {when_over}, in {plural(left_days, 'day')}" if left_days > 0 else f"ended {when_over}"
    finding = f"{hours(spent)} GPU-hours used, {hours(held)} reserved, {hours(free)} free of {hours(granted)}"
    pace = f"{finding}; {format_percent(gone)} of the time has passed"
    return join(
        h("p", h("b", hours(max(0, granted - spent)), " ", h("small", "GPU-hours left")),
          h("span", f"of {hours(granted)} · {ends}"), class_="stat"),
        meter(pace, total=granted, used=spent, reserved=held, pace=gone),
        meter_key(("used", f"{hours(spent)} used"), ("reserved", f"{hours(held)} reserved"),
                  ("free", f"{hours(max(0, free))} free"), ("today", "today")),
        h("p", _pace(spent / granted if granted else 0.0, gone), class_="small muted"),
    )  # fmt: skip


def allowance(run: Run, names: dict[str, str]) -> Html:
    """What the run used of what it may use, by its own cap."""
    cap, used = run.spec.where.max_gpu_hours * 3600, run.used_accelerator_seconds
    going = run.plan is not None and run.state in (RunState.QUEUED, RunState.RUNNING)
    expected = max(0, run.plan.accelerator_seconds - used) if run.plan and going else 0
    spare = max(0, cap - used - expected)
    machines = ", ".join(names.get(leg.machine, leg.machine) for leg in run.legs)
    told = h("span", f"{hours(used)} of {hours(cap)} GPU-hours", class_="num")
    finding = f"{hours(used)} used, about {hours(expected)} to come, of {hours(cap)} GPU-hours allowed"
    return join(
        h("p", h("b", machines), told, class_="row row--between small"),
        meter(finding, total=cap, used=used, reserved=expected),
        meter_key(
            ("used", f"{hours(used)} used"),
            ("reserved", f"{hours(expected)} expected to the end"),
            ("free", f"{hours(spare)} spare"),
        ),
    )


def progress_meter(run: Run) -> Html | None:
    if not run.steps:
        return None
    return meter(
        f"{share(run)} of the steps are done",
        total=run.steps,
        used=run.steps if run.state is RunState.FINISHED else run.step,
        large=True,
    )


def share(run: Run | Line) -> str:
    """Progress as a percentage; empty for a program of the user's."""
    if run.state is RunState.FINISHED:
        return "100\N{NO-BREAK SPACE}%"
    if not run.steps:
        return ""
    return format_percent(min(1.0, run.step / run.steps)) if run.step else "0\N{NO-BREAK SPACE}%"


def events(
    happened: Sequence[Event],
    *,
    numbers: Mapping[str, int] | None = None,
    places: Mapping[str, str] | None = None,
    expected: tuple[datetime | None, str] = (None, ""),
    limit: int = 40,
) -> Html:
    """Oldest first, of very many the latest, and last what is expected. `numbers` and `places` are attempts', by id."""
    lines = []
    for event in happened[-limit:]:
        action = event.name.rpartition(":")[2]
        tone = _GONE_WRONG.get(action, "tone-ok" if action in _GONE_WELL else "")
        number = (numbers or {}).get(event.subject_id)
        place = (places or {}).get(event.subject_id)
        reason = sentence(event.reason)
        lines.append(
            Happening(
                event.at,
                join(
                    h("b", told(event, number), f", on {place}" if place else None, ". "),
                    reason + " " if reason else None,
                    h("span", f"By {event.actor}.", class_="muted"),
                ),
                tone,
            )
        )
    if expected[0]:
        lines.append(Happening(expected[0], expected[1], "is-next"))
    return timeline(lines, seconds=True)


def allocation_badge(allocation: Any) -> Html:
    """Whether something can start on it now, and if not, why."""
    today, machine = now().date(), allocation.machine
    if allocation.ends < today:
        return badge(Look("is-cancelled", "Ended"))
    if allocation.starts > today:
        return badge(Look("is-draft", "Not begun"))
    if allocation.used >= allocation.granted_accelerator_seconds:
        return badge(Look("is-declined", "Used up"))
    if machine.away:
        return badge(Look("is-away", "Agent away"))
    return badge(Look("is-queued", "Draining")) if machine.draining else badge(Look("is-done", "Open"))


def heard(machine: Any) -> str:
    if machine.last_heard_at is None:
        return "Its agent has never spoken yet."
    return f"Its agent was last heard from {short_time(machine.last_heard_at)}."


def lasting(start: date, end: date) -> str:
    return f"{plain_date(start)} to {plain_date(end)}"


def _gone(allocation: Allocation, today: date) -> float:
    days = (allocation.ends - allocation.starts).days
    return min(1.0, max(0.0, (today - allocation.starts).days / days)) if days else 1.0


def _pace(used: float, gone: float) -> str:
    figures = f"{format_percent(used)} used after {format_percent(gone)} of the time."
    if used > 1:
        return f"Overdrawn: {figures} Nothing new can start."
    if used > gone + 0.1:
        return f"Faster than the time: {figures}"
    return (
        f"Behind the time: {figures} Hours that are not used by the end are lost."
        if gone > used + 0.25
        else f"On pace: {figures}"
    )


def _run_of(entry: Any) -> Html | str:
    if entry.attempt is None:
        return ""
    run = entry.attempt.leg.run
    return join(h("a", run.name, href=reverse("portal:run", args=[run.public_id])), f", attempt {entry.attempt.number}")
