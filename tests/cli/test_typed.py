"""What people type for counts, durations and dates."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.cli import typed
from hanse.contracts.errors import UsageError

ROME = timezone(timedelta(hours=1))
NOON = datetime(2027, 2, 26, 12, 0, tzinfo=ROME)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1024", 1024),
        ("2T", 2 * 10**12),
        ("1.5b", 1_500_000_000),
        ("15e12", 15 * 10**12),
        ("1_024", 1024),
        ("8k", 8000),
    ],
)
def test_a_count_is_read_as_it_is_said(text: str, value: int) -> None:
    assert typed.count(text, "--tokens") == value


@pytest.mark.parametrize("text", ["", "-4", "0", "many", "2X", "1.5", "nan", "inf", "1e99", "0x10"])
def test_what_is_no_count_is_refused_by_its_option(text: str) -> None:
    with pytest.raises(UsageError, match="--batch"):
        typed.count(text, "--batch")


@given(st.integers(1, 10**15))
def test_every_whole_number_is_its_own_count(value: int) -> None:
    assert typed.count(str(value), "--tokens") == value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10d", 864_000),
        ("1d12h", 129_600),
        ("90 min", 5_400),
        ("2w", 1_209_600),
        ("2027-02-26", 12 * 3600),
        ("2027-02-26T18:00", 6 * 3600),
        ("2027-02-26T18:00+00:00", 7 * 3600),
    ],
)
def test_a_duration_or_a_date_becomes_seconds_from_now_in_the_readers_zone(text: str, seconds: float) -> None:
    assert typed.seconds_until(text, "--finish-by", now=NOON) == seconds


@pytest.mark.parametrize(
    ("text", "said"), [("2027-02-25", "has passed"), ("soon", "neither a date"), ("0d", "no time"), ("", "neither")]
)
def test_a_date_that_cannot_be_met_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        typed.seconds_until(text, "--finish-by", now=NOON)
