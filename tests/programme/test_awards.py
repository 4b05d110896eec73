"""Arithmetic of awards: months sum to the whole, hours are conserved, prices round once, dates follow calls."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.machine import Billing
from hanse.contracts.programme import CallObligation
from hanse.programme import awards, obligations
from hanse.programme.awards import PATTERNS, hours, price_cents, short_of, spread
from tests.service.fixtures import a_machine

DAYS = st.dates(date(2024, 1, 1), date(2030, 12, 31))


@given(st.integers(0, 10**13), DAYS, st.integers(0, 800), st.sampled_from(PATTERNS))
def test_what_the_months_take_sums_to_the_award(amount: int, starts: date, days: int, pattern: awards.Pattern) -> None:
    shares = spread(amount, starts, starts + timedelta(days=days), pattern)
    assert sum(shares.values()) == amount
    assert all(share >= 0 for share in shares.values())
    assert list(shares) == sorted(shares)


def test_a_pattern_says_which_months_take_more() -> None:
    year = (date(2026, 1, 1), date(2026, 12, 31))
    even, falling, rising = (list(spread(365 * 3600, *year, pattern).values()) for pattern in PATTERNS)
    assert even == [days * 3600 for days in (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)]
    assert falling[0] > even[0] > rising[0]
    assert rising[-1] > even[-1] > falling[-1]
    with pytest.raises(ValueError, match="ends before"):
        spread(1, date(2026, 2, 1), date(2026, 1, 1))


def test_a_month_nobody_offered_has_no_room() -> None:
    short = short_of({"2026-01": 5, "2026-02": 5}, {"2026-01": 9}, {"2026-01": 4})
    assert [(one.month, one.wanted, one.left) for one in short] == [("2026-02", 5, 0)]


MOVES = st.lists(
    st.tuples(st.sampled_from(["opened", "supplement", "moved-in", "stated"]), st.integers(0, 10**9))
    | st.tuples(st.sampled_from(["moved-out", "returned"]), st.integers(-(10**9), 0))
)


@given(MOVES, st.lists(st.integers(-(10**9), 10**9)), st.integers(0, 10**9))
def test_granted_is_used_and_returned_and_left(moves: list[tuple[str, int]], usage: list[int], reserved: int) -> None:
    told = hours(moves, usage, reserved)
    assert told.granted == told.used + told.returned + told.left
    assert told.left == sum(amount for _, amount in moves) - sum(usage), "what the allocation holds, less its use"
    assert told.free == told.left - reserved


@given(st.lists(st.integers(-(10**8), 10**8), max_size=6), st.integers(0, 10**5))
def test_a_price_is_rounded_once_and_symmetric(amounts: list[int], cents: int) -> None:
    together = price_cents(sum(amounts), cents)
    assert abs(together - sum(amounts) * cents / 3600) <= 0.5 + 1e-6 * abs(together)
    assert price_cents(-sum(amounts), cents) == -together


def test_hours_are_told_in_the_machines_own_unit_too() -> None:
    leonardo = a_machine("leonardo", accelerators_per_node=4, name="Leonardo").model_copy(
        update={"billing": Billing(unit="core-hour", units_per_node_hour=32, rule="A node has 32 cores.")}
    )
    assert awards.site_amount(5000 * 3600, leonardo) == "40,000 core-hours"
    told = awards.conversion(5000 * 3600, leonardo, a_machine("bare", billing=None))
    assert "5,000\N{NO-BREAK SPACE}GPU-hours stay" in told and "there they were 40,000 core-hours of Leonardo" in told
    assert awards.site_amount(3600, None) == ""


@pytest.mark.parametrize(
    ("one", "kind", "day", "after_end"),
    [
        (CallObligation(id="final-report", text="x", months_after_end=3), "final-report", date(2027, 3, 31), True),
        (CallObligation(id="progress-report", text="x"), "progress-report", date(2026, 11, 30), False),
        (CallObligation(id="release", text="x", months_after_start=1), "obligation", date(2026, 11, 30), False),
        (CallObligation(id="final-report", text="x"), "final-report", None, False),
    ],
)
def test_a_duty_is_due_when_its_call_says(one: CallObligation, kind: str, day: date | None, after_end: bool) -> None:
    (due,) = obligations.duties((one,), date(2026, 10, 31), date(2026, 12, 31))
    assert (due.kind, due.day, due.after_end) == (kind, day, after_end)


@given(DAYS, st.integers(-60, 60))
def test_reminders_come_nearer_and_the_due_day_itself_is_in_time(due: date, before: int) -> None:
    told = obligations.stage(due, due - timedelta(days=before))
    assert told == ("overdue" if before < 0 else "7-days" if before <= 7 else "30-days" if before <= 30 else "")
    assert obligations.stage(None, due) == ""
