"""A lane of applications taken in order of arrival: who is next, and how the promise was kept so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from hanse.contracts.programme import CallTerms
from hanse.programme import clock, rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    id: str
    sent_at: datetime
    decide_by: datetime | None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    waiting: tuple[tuple[Arrival, rounds.Standing], ...]
    """First in, first out."""
    share_in_time: float | None
    """Of those decided under a promise; None: none was."""
    median_working_days: float | None
    """From sending to the decision, of all that were decided."""


def lane(terms: CallTerms, arrivals: Iterable[Arrival], at: datetime) -> Lane:
    """The lane of a call at the moment `at`."""
    every = sorted(arrivals, key=lambda one: (one.sent_at.timestamp(), one.id))
    done = [(one, one.decided_at) for one in every if one.decided_at is not None]
    kept = rounds.kept(terms, [(one.decide_by, decided) for one, decided in done])
    days = [
        clock.working_days_between(
            one.sent_at.astimezone(clock.ZONE).date(), decided.astimezone(clock.ZONE).date(), terms.calendar
        )
        for one, decided in done
    ]
    return Lane(
        waiting=tuple(
            (one, rounds.standing(terms, one.decide_by, None, at)) for one in every if one.decided_at is None
        ),
        share_in_time=kept.in_time / kept.decided if kept.decided else None,
        median_working_days=float(median(days)) if days else None,
    )


def overtaken(arrivals: Iterable[Arrival]) -> int:
    """How many were decided while one that had come earlier still waited: 0 where first in was first out."""
    latest: datetime | None = None
    waits, count = False, 0
    for one in sorted(arrivals, key=lambda one: (one.sent_at.timestamp(), one.id)):
        if one.decided_at is None:
            waits = True
            continue
        count += waits or (latest is not None and one.decided_at < latest)
        latest = one.decided_at if latest is None else max(latest, one.decided_at)
    return count
