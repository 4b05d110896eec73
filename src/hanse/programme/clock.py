"""Deadlines in working days, on the programme's clock: Europe/Brussels.

The public holidays are those of the call's calendar: Luxembourg unless it says otherwise, the seat of the EuroHPC Joint
Undertaking, whose clock is the same. The EU's institutions close on a few days more (Good Friday, around New Year): an
answer may come later, not earlier.
The day of the event is not counted (the EU's own way with periods, Regulation 1182/71).
"""

from __future__ import annotations

from calendar import isleap, monthrange
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import accumulate
from zoneinfo import ZoneInfo

import holidays

ZONE = ZoneInfo("Europe/Brussels")
SATURDAY = 5
SEAT = "LU"


@lru_cache(maxsize=64)
def _holidays(year: int, calendar: str) -> frozenset[date]:
    return frozenset(holidays.country_holidays(calendar, years=year))


def is_working_day(day: date, calendar: str = SEAT) -> bool:
    """Whether `day` is neither a weekend nor a public holiday of the country `calendar`."""
    return day.weekday() < SATURDAY and day not in _holidays(day.year, calendar)


def next_working_day(day: date, calendar: str = SEAT) -> date:
    """The first working day after `day`."""
    day += timedelta(days=1)
    while not is_working_day(day, calendar):
        day += timedelta(days=1)
    return day


def add_working_days(start: datetime, days: int, calendar: str = SEAT) -> datetime:
    """`days` working days after `start`, at the same time of day in Brussels.

    What starts on a free day counts from the beginning of the next working day. The result is on a working day always.

    Raises:
        ValueError: `start` has no time zone, or `days` is negative.
    """
    if start.tzinfo is None or days < 0:
        raise ValueError("working days count forward from a moment with a time zone")
    local = start.astimezone(ZONE)
    day, clock = local.date(), local.timetz()
    if not is_working_day(day, calendar):
        day, clock = next_working_day(day, calendar), time(tzinfo=ZONE)
    for _ in range(days):
        day = next_working_day(day, calendar)
    return datetime.combine(day, clock)


def working_days_between(first: date, last: date, calendar: str = SEAT) -> int:
    """Working days after `first` up to and with `last`; negative where `last` comes first."""
    between = _since_new_year(last, calendar) - _since_new_year(first, calendar)
    for year in range(first.year, last.year):
        between += _sums(year, calendar)[-1]
    for year in range(last.year, first.year):
        between -= _sums(year, calendar)[-1]
    return between


def _since_new_year(day: date, calendar: str) -> int:
    """Working days of its year up to and with `day`."""
    return _sums(day.year, calendar)[day.timetuple().tm_yday - 1]


@lru_cache(maxsize=64)
def _sums(year: int, calendar: str) -> tuple[int, ...]:
    """By day of the year: three years of answers are counted from these, and not day by day."""
    days = (date(year, 1, 1) + timedelta(days=n) for n in range(366 if isleap(year) else 365))
    return tuple(accumulate(is_working_day(day, calendar) for day in days))


def add_months(day: date, months: int) -> date:
    """The same day of a later month, or that month's last day (Regulation 1182/71, Article 3(2)(c))."""
    index = day.year * 12 + day.month - 1 + months
    year, month = index // 12, index % 12 + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))
