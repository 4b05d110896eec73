"""Rounds of a call and the day on which an answer is promised: pure functions of the call's terms and a moment.

What arrives at the very moment of a cut-off is in its round; a minute later is the next. Moments are compared in UTC:
two times of Brussels would be compared by their faces, and once a year the same face comes twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Literal

from hanse.contracts.programme import CallTerms
from hanse.programme import clock

YEARS_AHEAD = 2
"""A rule's next cut-off is never further away: it has a day in at least one month of each year."""
SOON_WORKING_DAYS = 2

State = Literal["no promise", "running", "due soon", "late", "kept", "missed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """When an answer to an application is promised. Moments are in Brussels' time."""

    cut_off: datetime | None
    """The round's end; None where applications are taken as they come, or where no later cut-off is known."""
    decide_by: datetime | None
    """None: no time is promised, or it hangs on a cut-off that is not known."""
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a promise stands. `working_days` are left (or were left), or negative: over."""

    state: State
    working_days: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How promises were kept: of `decided` with a promise, `in_time` came in time."""

    decided: int
    in_time: int
    latest_working_days_over: int

    @property
    def share(self) -> float | None:
        """In [0, 1]; None where nothing was decided yet."""
        return self.in_time / self.decided if self.decided else None


def in_rounds(terms: CallTerms) -> bool:
    """Whether the call collects applications until cut-offs."""
    return terms.counted_from == "cut-off" or bool(terms.cut_offs) or terms.cut_off_rule is not None


def moment(terms: CallTerms, day: date) -> datetime:
    """The cut-off on `day`, in Brussels' time."""
    return datetime.combine(day, time.fromisoformat(terms.cut_off_time), tzinfo=clock.ZONE)


def closing(terms: CallTerms) -> datetime | None:
    """The last moment to apply at: the cut-off on its closing day where there is one, else that day's end."""
    if terms.closes is None:
        return None
    if terms.closes in terms.cut_offs:
        return moment(terms, terms.closes)
    return datetime.combine(terms.closes, time.max, tzinfo=clock.ZONE)


def cut_offs(terms: CallTerms, since: date) -> Iterator[datetime]:
    """The known cut-offs from the day `since` on, in order; those of a rule for two years."""
    days = {day for day in terms.cut_offs if day >= since}
    rule = terms.cut_off_rule
    if rule is not None:
        years = range(since.year, since.year + YEARS_AHEAD + 1)
        ruled = (date(year, month, day) for year in years for month in rule.months for day in rule.days)
        days.update(day for day in ruled if day >= since)
    for day in sorted(days):
        if terms.opens <= day and (terms.closes is None or day <= terms.closes):
            yield moment(terms, day)


def next_cut_off(terms: CallTerms, at: datetime) -> datetime | None:
    """The first cut-off not before `at`; None where none is known.

    Raises:
        ValueError: `at` has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError("a round is told by a moment with a time zone")
    since = at.astimezone(clock.ZONE).date()
    now = at.astimezone(UTC)
    return next((one for one in cut_offs(terms, since) if one.astimezone(UTC) >= now), None)


def promise(terms: CallTerms, sent_at: datetime) -> Promise:
    """The round that what is sent at `sent_at` falls into, and when its answer is promised."""
    cut_off = next_cut_off(terms, sent_at) if in_rounds(terms) else None
    start = sent_at if terms.counted_from == "sent" else cut_off
    span = _span(terms)
    if start is None:
        said = "No later cut-off is known, so no day for the answer is either."
        return Promise(cut_off=None, decide_by=None, sentence=said)
    decide_by = _after(terms, start)
    round_ends = f"The round closes on {spoken(cut_off)}. " if cut_off else ""
    if decide_by is None:
        return Promise(cut_off=cut_off, decide_by=None, sentence=f"{round_ends}No time for the answer is promised.")
    since = "the cut-off" if terms.counted_from == "cut-off" else "it is sent"
    said = f"{round_ends}An answer is promised by {spoken(decide_by)}, {span} after {since}."
    return Promise(cut_off=cut_off, decide_by=decide_by, sentence=said)


def _span(terms: CallTerms) -> str:
    if terms.decision_working_days is not None:
        return f"{terms.decision_working_days} working day{'s' if terms.decision_working_days > 1 else ''}"
    return f"{terms.decision_months} month{'s' if terms.decision_months != 1 else ''}"


def _after(terms: CallTerms, start: datetime) -> datetime | None:
    """The end of the promised time; months end on a working day too."""
    if terms.decision_working_days is not None:
        return clock.add_working_days(start, terms.decision_working_days, terms.calendar)
    if terms.decision_months is None:
        return None
    local = start.astimezone(clock.ZONE)
    day = clock.add_months(local.date(), terms.decision_months)
    if not clock.is_working_day(day, terms.calendar):
        day = clock.next_working_day(day, terms.calendar)
    return datetime.combine(day, local.timetz())


def standing(terms: CallTerms, decide_by: datetime | None, decided_at: datetime | None, at: datetime) -> Standing:
    """How the promise `decide_by` stands at the moment `at`."""
    if decide_by is None:
        return Standing(state="no promise", working_days=None)
    end = decided_at or at
    days = clock.working_days_between(_day(end), _day(decide_by), terms.calendar)
    in_time = end.astimezone(UTC) <= decide_by.astimezone(UTC)
    if decided_at is not None:
        return Standing(state="kept" if in_time else "missed", working_days=days)
    if not in_time:
        return Standing(state="late", working_days=days)
    return Standing(state="due soon" if days <= SOON_WORKING_DAYS else "running", working_days=days)


def kept(terms: CallTerms, decisions: Iterable[tuple[datetime | None, datetime]]) -> Kept:
    """How the promises of `decisions` (promised by, decided at) were kept; those without a promise are not counted."""
    outcomes = [standing(terms, due, at, at) for due, at in decisions if due is not None]
    over = [-(one.working_days or 0) for one in outcomes if one.state == "missed"]
    return Kept(
        decided=len(outcomes),
        in_time=sum(one.state == "kept" for one in outcomes),
        latest_working_days_over=max(over, default=0),
    )


def spoken(at: datetime) -> str:
    """'Friday 29 January 2027 at 10:00 Brussels time'."""
    local = at.astimezone(clock.ZONE)
    return f"{local:%A} {local.day} {local:%B %Y} at {local:%H:%M} Brussels time"


def _day(at: datetime) -> date:
    return at.astimezone(clock.ZONE).date()
