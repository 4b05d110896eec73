"""A lane of applications taken in order of arrival: who is next, and how the promise was kept so far."""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from statistics import median

from hanse.contracts.programme import CallTerms
from hanse.programme import clock, rounds

Key = tuple[float, str]


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
    every = sorted(arrivals, key=key)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How a lane was answered so far, whoever waits now."""

    decided: int
    share_in_time: float | None
    median_working_days: float | None
    rounds: Mapping[datetime | None, tuple[Sequence[Key], Sequence[int]]]
    """By cut-off: who was decided, by arrival, and how many up to each before one that came earlier."""

    def overtaken(self, first: Mapping[datetime | None, Key]) -> int:
        """How many were decided before one that came earlier; `first` are those that wait the longest."""
        count = 0
        for cut_off, (keys, before) in self.rounds.items():
            at = bisect(keys, first[cut_off]) if cut_off in first else len(keys)
            count += (before[at - 1] if at else 0) + len(keys) - at
        return count


def record(terms: CallTerms, decided: Iterable[tuple[datetime | None, Arrival]]) -> Record:
    """Of who was decided, each with its cut-off."""
    every = list(decided)
    found = lane(terms, (one for _, one in every), datetime.min.replace(tzinfo=UTC))
    by_round: dict[datetime | None, list[Arrival]] = defaultdict(list)
    for cut_off, one in every:
        by_round[cut_off].append(one)
    rounds = {}
    for cut_off, arrivals in by_round.items():
        arrivals.sort(key=key)
        rounds[cut_off] = ([key(one) for one in arrivals], list(accumulate(_late(arrivals))))
    return Record(
        decided=len(every), share_in_time=found.share_in_time, median_working_days=found.median_working_days,
        rounds=rounds,
    )  # fmt: skip


def key(one: Arrival) -> Key:
    """Who came first is first."""
    return (one.sent_at.timestamp(), one.id)


def _late(arrivals: Iterable[Arrival]) -> Iterator[bool]:
    """Of each, in order, whether it was decided before one that had come earlier."""
    latest: datetime | None = None
    for one in arrivals:
        if one.decided_at is not None:
            yield latest is not None and one.decided_at < latest
            latest = one.decided_at if latest is None else max(latest, one.decided_at)


def overtaken(arrivals: Iterable[Arrival]) -> int:
    """How many were decided while one that had come earlier still waited: 0 where first in was first out."""
    latest: datetime | None = None
    waits, count = False, 0
    for one in sorted(arrivals, key=key):
        if one.decided_at is None:
            waits = True
            continue
        count += waits or (latest is not None and one.decided_at < latest)
        latest = one.decided_at if latest is None else max(latest, one.decided_at)
    return count
