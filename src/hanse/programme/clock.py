"""Deadlines in working days, on the programme's clock: Europe/Brussels.

The public holidays are those of Luxembourg, the seat of the EuroHPC Joint Undertaking, whose clock is the same. The
EU's institutions close on a few days more (Good Friday, around New Year): an answer may come later, not earlier.
The day of the event is not counted (the EU's own way with periods, Regulation 1182/71).
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

ZONE = ZoneInfo("Europe/Brussels")
SATURDAY = 5


@lru_cache(maxsize=64)
def _holidays(year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays("LU", years=year))


def is_working_day(day: date) -> bool:
    """Whether `day` is neither a weekend nor a public holiday."""
    return day.weekday() < SATURDAY and day not in _holidays(day.year)


def _next_working_day(day: date) -> date:
    day += timedelta(days=1)
    while not is_working_day(day):
        day += timedelta(days=1)
    return day


def add_working_days(start: datetime, days: int) -> datetime:
    """`days` working days after `start`, at the same time of day in Brussels.

    What starts on a free day counts from the beginning of the next working day. The result is on a working day always.

    Raises:
        ValueError: `start` has no time zone, or `days` is negative.
    """
    if start.tzinfo is None or days < 0:
        raise ValueError("working days count forward from a moment with a time zone")
    local = start.astimezone(ZONE)
    day, clock = local.date(), local.timetz()
    if not is_working_day(day):
        day, clock = _next_working_day(day), time(tzinfo=ZONE)
    for _ in range(days):
        day = _next_working_day(day)
    return datetime.combine(day, clock)
