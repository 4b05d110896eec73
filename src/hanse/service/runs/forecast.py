"""When an allocation's hours run out, who hears of it before, and the stop that lets a last checkpoint finish.

Attempts of ours fit in the hours they reserved. Jobs that others submit to the same account may eat into those: when
what is left no longer covers the reservations, running attempts are asked to stop while a checkpoint still fits in.
Nothing is killed here; what is used beyond the grant is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db import models, transaction

from hanse.client.usage import Forecast
from hanse.contracts.base import now
from hanse.contracts.run import AttemptState
from hanse.contracts.units import format_gpu_hours
from hanse.service.access.awards import Allocation
from hanse.service.runs.attempts import Attempt
from hanse.service.runs.events import Event
from hanse.service.runs.metering import unentered_accelerator_seconds, unentered_of

PACE_DAYS: Final = 14
A_QUERY: Final = 500
"""So many allocations are named in one query."""
NEARLY: Final = ((95, 0.95), (80, 0.80))
ENDING: Final = timedelta(days=14)
CHECKPOINT_S: Final = 300.0
"""For a checkpoint whose time no plan says."""
NEWS_S: Final = 120.0
"""Till an agent has heard it, the trainer has seen it and the step in hand is done."""


class StopAsked(models.Model):
    """An attempt that was asked to write a checkpoint and end, once."""

    attempt = models.OneToOneField("runs.Attempt", on_delete=models.PROTECT, related_name="stop_asked")
    at = models.DateTimeField()
    because = models.TextField()

    class Meta:
        app_label = "runs"

    def __str__(self) -> str:
        return f"{self.attempt} asked to stop"

    @classmethod
    def because_of(cls, attempt: Attempt) -> str:
        """Why it was asked to stop; '' if it was not."""
        return cls.objects.filter(attempt=attempt).values_list("because", flat=True).first() or ""


def forecast(
    *, granted: int, used: int, reserved: int, by_day: Mapping[date, int], starts: date, ends: date, today: date
) -> Forecast:
    """Pure: amounts in accelerator-seconds, use by day."""
    over_days = max(1, min(PACE_DAYS, (today - starts).days + 1))
    first = today - timedelta(days=over_days - 1)
    pace = max(0, sum(amount for day, amount in by_day.items() if first <= day <= today) // over_days)
    left, days_left = granted - used, max(0, (ends - today).days)
    coming = max(pace * days_left, reserved)
    runs_out_on = None
    if left <= 0:
        runs_out_on = today
    elif pace and pace * days_left > left:
        runs_out_on = today + timedelta(days=left // pace)
    unused = 0 if runs_out_on else max(0, left - coming)
    words = []
    if runs_out_on == today:
        words.append("The hours are used up.")
    elif runs_out_on:
        words.append(
            f"At {format_gpu_hours(pace)} a day ({_mean_of(over_days)}) the hours run out on "
            f"{runs_out_on:%d %B %Y}, {(ends - runs_out_on).days} days before the allocation ends."
        )
    elif unused:
        words.append(
            f"At {format_gpu_hours(pace)} a day ({_mean_of(over_days)}) {format_gpu_hours(unused)} are left "
            f"unused when the allocation ends on {ends:%d %B %Y}."
        )
    return Forecast(
        pace_accelerator_seconds_a_day=pace, over_days=over_days, runs_out_on=runs_out_on,
        unused_accelerator_seconds=unused, sentences=tuple(words),
    )  # fmt: skip


def _mean_of(days: int) -> str:
    return f"the mean of {days} days" if days > 1 else "its first day"


def warn(at: datetime | None = None) -> int:
    """Say once that an allocation is 80 % and 95 % used, overshot, or ends in two weeks; how many warnings were new."""
    moment = at or now()
    today = moment.date()
    new, due = 0, list[tuple[Allocation, str, str, dict[str, int]]]()
    for row in Allocation.objects.with_balance().filter(starts__lte=today, ends__gte=today):
        share = row.used / row.granted_accelerator_seconds if row.granted_accelerator_seconds else 0.0
        reached = next((percent for percent, least in NEARLY if share >= least), None)
        if reached is not None:
            due.append((row, f"used-{_WORDS[reached]}", f"{reached} % of the hours are used.", {"used": row.used}))
        if row.used > row.granted_accelerator_seconds:
            over = row.used - row.granted_accelerator_seconds
            told = f"{format_gpu_hours(over)} more than granted are used."
            due.append((row, "overshot", told, {"accelerator_seconds": over}))
        if row.ends - today <= ENDING:
            left = max(0, row.granted_accelerator_seconds - row.used)
            told = f"The allocation ends on {row.ends:%d %B %Y} with {format_gpu_hours(left)} left."
            due.append((row, "ending", told, {"left": left}))
    before = _told([row.public_id for row, *_ in due])
    for row, what, told, data in due:
        if (row.public_id, _name(what)) not in before:
            new += _once(row, what, told, **data)
    return new


def stop_in_time(at: datetime | None = None) -> int:
    """Ask running attempts to stop with a checkpoint where the hours no longer cover them; how many were asked."""
    moment = at or now()
    running = Attempt.objects.filter(state=AttemptState.RUNNING, stop_asked=None)
    held = list(Allocation.objects.with_balance().filter(pk__in=running.values("leg__allocation")))
    others = unentered_of([row.pk for row in held], moment)
    # Looked at without a lock first, all in two queries: of few the hours are short.
    short = [row for row in held if row.free_accelerator_seconds < others.get(row.pk, (0, 0))[0]]
    return sum(_stop_of(allocation, moment) for allocation in short)


def _stop_of(allocation: Allocation, at: datetime) -> int:
    with transaction.atomic():
        held = Allocation.locked(allocation.public_id)
        others, theirs = unentered_accelerator_seconds(held, at)
        if held.free_accelerator_seconds - others >= 0:
            return 0  # every open attempt may use all it reserved
        running = list(
            Attempt.objects.filter(leg__allocation=held, state=AttemptState.RUNNING).select_related("leg__run")
        )
        ours = sum(_held_so_far(attempt, at) for attempt in running)
        rate = theirs + sum(_accelerators(attempt) for attempt in running)
        left = held.granted_accelerator_seconds - held.used - others - ours
        lead_s = NEWS_S + max((_checkpoint_s(attempt) for attempt in running), default=0.0)
        if left > rate * lead_s:
            return 0
        because = f"The hours of {held.public_id} are nearly used up: {format_gpu_hours(max(0, left))} are left."
        return sum(_ask_to_stop(attempt, because, at) for attempt in running)


def _ask_to_stop(attempt: Attempt, because: str, at: datetime) -> int:
    _, new = StopAsked.objects.get_or_create(attempt=attempt, defaults={"at": at, "because": because})
    if new:
        Event.record("tick:attempt:stop-asked", attempt.public_id, by="tick", reason=because)
        attempt.wish_changed()
    return int(new)


def _accelerators(attempt: Attempt) -> int:
    return int(attempt.reserved_accelerator_seconds // max(1, attempt.job.wall_time_s))


def _held_so_far(attempt: Attempt, at: datetime) -> int:
    """As it was last observed, or as the clock has it: the larger, but never more than it reserved."""
    since_s = (at - attempt.started_at).total_seconds() if attempt.started_at else 0.0
    held = max(attempt.accelerator_seconds, int(since_s) * _accelerators(attempt))
    return int(min(held, attempt.reserved_accelerator_seconds))


def _checkpoint_s(attempt: Attempt) -> float:
    plan = attempt.leg.run.plan
    return plan.goodput.checkpoint_s if plan is not None and plan.goodput is not None else CHECKPOINT_S


def _name(what: str) -> str:
    return f"tick:allocation:{what}"


def _told(names: list[str]) -> set[tuple[str, str]]:
    """Of these allocations, which warnings were given already."""
    found: set[tuple[str, str]] = set()
    for begin in range(0, len(names), A_QUERY):
        rows = Event.objects.filter(subject_id__in=names[begin : begin + A_QUERY], name__startswith=_name(""))
        found |= set(rows.values_list("subject_id", "name"))
    return found


def _once(row: Any, what: str, reason: str, **data: int) -> int:
    name = _name(what)
    with transaction.atomic():
        Allocation.objects.select_for_update().get(pk=row.pk)
        if Event.objects.filter(name=name, subject_id=row.public_id).exists():
            return 0
        Event.record(name, row.public_id, by="tick", reason=reason, **data)
    return 1


_WORDS: Final = {80: "four-fifths", 95: "nineteen-twentieths"}
"""Names of events hold letters only."""

__all__ = ["StopAsked", "forecast", "stop_in_time", "warn"]
