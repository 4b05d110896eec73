"""Working days: laws, and dates that were looked up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.programme.clock import ZONE, add_working_days, is_working_day

FIRST, LAST = datetime.fromisoformat("2024-01-01"), datetime.fromisoformat("2031-01-01")
moments = st.datetimes(FIRST, LAST, timezones=st.sampled_from([UTC, ZONE]))
counts = st.integers(0, 40)


@given(moments, counts)
@settings(max_examples=100, deadline=None)
def test_a_deadline_is_a_working_day_and_not_before_its_start(start: datetime, days: int) -> None:
    end = add_working_days(start, days)
    assert is_working_day(end.date())
    assert end.tzinfo is ZONE
    assert end.astimezone(UTC) >= start.astimezone(UTC)


@given(moments, counts, counts)
@settings(max_examples=100, deadline=None)
def test_days_add_up(start: datetime, first: int, second: int) -> None:
    assert add_working_days(add_working_days(start, first), second) == add_working_days(start, first + second)


@given(moments, moments, counts, counts)
@settings(max_examples=100, deadline=None)
def test_who_sends_later_or_promises_more_is_never_due_earlier(a: datetime, b: datetime, m: int, n: int) -> None:
    (early, late), (few, many) = sorted((a, b)), sorted((m, n))
    assert add_working_days(early, few) <= add_working_days(late, few)
    assert add_working_days(early, few) <= add_working_days(early, many)
    if few < many:
        assert add_working_days(early, few) < add_working_days(early, many)


@pytest.mark.parametrize(
    ("start", "days", "end"),
    [
        ("2026-11-19T10:00", 2, "2026-11-23T10:00"),  # Thursday to Monday
        ("2026-11-21T15:00", 2, "2026-11-25T00:00"),  # Saturday: Monday and Tuesday are the two days
        ("2026-12-23T10:00", 2, "2026-12-28T10:00"),  # 25 is a holiday, 26 a Saturday, 27 a Sunday
        ("2026-05-13T09:00", 1, "2026-05-15T09:00"),  # Ascension
        ("2026-06-22T09:00", 1, "2026-06-24T09:00"),  # Luxembourg's national day
        ("2026-11-20T23:59", 0, "2026-11-20T23:59"),
    ],
)
def test_known_dates(start: str, days: int, end: str) -> None:
    begun, due = (datetime.fromisoformat(text).replace(tzinfo=ZONE) for text in (start, end))
    assert add_working_days(begun, days) == due


def test_the_evening_in_utc_is_already_the_next_day_in_brussels() -> None:
    friday_evening = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    assert add_working_days(friday_evening, 1) == datetime(2026, 11, 24, 0, 0, tzinfo=ZONE)


def test_the_time_of_day_is_kept_over_the_change_of_clocks() -> None:
    start = datetime(2026, 10, 23, 10, 0, tzinfo=ZONE)
    end = add_working_days(start, 1)
    assert end.hour == 10
    assert end.astimezone(UTC) - start.astimezone(UTC) == timedelta(days=3, hours=1)


@pytest.mark.parametrize(("start", "days"), [(FIRST, 1), (FIRST.replace(tzinfo=UTC), -1)])
def test_a_moment_without_zone_or_days_back_are_refused(start: datetime, days: int) -> None:
    with pytest.raises(ValueError, match="working days"):
        add_working_days(start, days)
