"""Rounds and promises: laws over years of moments, and dates that were looked up."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.programme import CallTerms, CutOffRule
from hanse.programme import calls, rounds
from hanse.programme.clock import ZONE, add_months, is_working_day, working_days_between

LARGE, BENCHMARK, PLAYGROUND = (calls.load(name) for name in ("large-scale", "benchmark", "playground"))
FRONTIER = calls.load("frontier-ai-grand-challenge")
EVERY_RULE = LARGE.model_copy(
    update={"cut_offs": (), "cut_off_rule": CutOffRule(days=(1, 15)), "opens": date(2020, 1, 1)}
)
moments = st.datetimes(datetime(2024, 1, 1), datetime(2031, 1, 1), timezones=st.sampled_from([UTC, ZONE]))  # noqa: DTZ001
times = st.sampled_from(["00:00", "02:30", "10:00", "17:00", "23:59"])


def brussels(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


@given(moments, times)
@settings(max_examples=80, deadline=None)
def test_the_next_cut_off_is_never_past_and_none_lies_between(at: datetime, clock: str) -> None:
    terms = EVERY_RULE.model_copy(update={"cut_off_time": clock})
    found = rounds.next_cut_off(terms, at)
    assert found is not None
    assert found.astimezone(UTC) >= at.astimezone(UTC)
    before = rounds.cut_offs(terms, at.astimezone(ZONE).date() - timedelta(days=40))
    assert not [one for one in before if at.astimezone(UTC) <= one.astimezone(UTC) < found.astimezone(UTC)]


@given(moments, times)
@settings(max_examples=80, deadline=None)
def test_at_the_cut_off_is_in_time_and_a_minute_later_is_the_next_round(at: datetime, clock: str) -> None:
    terms = EVERY_RULE.model_copy(update={"cut_off_time": clock})
    found = rounds.next_cut_off(terms, at)
    assert found is not None
    assert rounds.next_cut_off(terms, found) == found
    later = rounds.next_cut_off(terms, found.astimezone(UTC) + timedelta(minutes=1))
    assert later is not None
    assert later.astimezone(UTC) > found.astimezone(UTC)


@given(moments, moments)
@settings(max_examples=80, deadline=None)
def test_who_sends_later_is_never_promised_an_earlier_answer(a: datetime, b: datetime) -> None:
    for terms in (
        EVERY_RULE,
        PLAYGROUND,
        EVERY_RULE.model_copy(update={"decision_working_days": None, "decision_months": 1}),
    ):
        early, late = sorted((a.astimezone(UTC), b.astimezone(UTC)))
        first, second = rounds.promise(terms, early), rounds.promise(terms, late)
        assert first.decide_by is not None
        assert second.decide_by is not None
        assert first.decide_by.astimezone(UTC) <= second.decide_by.astimezone(UTC)
        assert is_working_day(first.decide_by.date())


@pytest.mark.parametrize(
    ("sent", "cut_off", "answer"),
    [
        ("2026-11-30T10:00", "2026-11-30T10:00", "2026-12-14T10:00"),
        ("2026-11-30T10:01", "2026-12-15T10:00", "2026-12-30T10:00"),  # 25 December is a holiday
        ("2026-12-15T10:01", "2027-01-04T10:00", "2027-01-18T10:00"),
        ("2026-10-15T12:00", "2026-10-30T10:00", "2026-11-13T10:00"),  # clocks change on 25 October
        ("2026-03-20T12:00", "2026-03-31T10:00", "2026-04-15T10:00"),  # Easter Monday, and clocks change on 29 March
    ],
)
def test_a_large_scale_application_falls_into_its_round(sent: str, cut_off: str, answer: str) -> None:
    said = rounds.promise(LARGE, brussels(sent))
    assert said.cut_off == brussels(cut_off)
    assert said.decide_by == brussels(answer)
    assert "10 working days after the cut-off" in said.sentence


def test_after_the_last_known_cut_off_nothing_is_promised() -> None:
    said = rounds.promise(LARGE, brussels("2027-01-04T10:01"))
    assert (said.cut_off, said.decide_by) == (None, None)
    assert "No later cut-off is known" in said.sentence


def test_a_cut_off_a_month_goes_over_the_year() -> None:
    assert rounds.next_cut_off(BENCHMARK, brussels("2026-12-01T10:01")) == brussels("2027-01-01T10:00")


def test_a_competition_closes_with_its_only_cut_off() -> None:
    assert rounds.closing(FRONTIER) == brussels("2026-04-13T17:00")
    assert rounds.next_cut_off(FRONTIER, brussels("2026-04-13T17:00")) is not None
    assert rounds.next_cut_off(FRONTIER, brussels("2026-04-13T17:01")) is None


def test_a_review_of_months_ends_on_a_working_day() -> None:
    regular = calls.load("regular")
    said = rounds.promise(regular, brussels("2026-08-30T12:00"))
    assert said.decide_by == brussels("2027-01-04T10:00")
    assert "4 months after the cut-off" in said.sentence


def test_another_calendar_has_other_holidays() -> None:
    german = PLAYGROUND.model_copy(update={"calendar": "DE"})
    sent = brussels("2026-10-01T09:00")
    assert rounds.promise(german, sent).decide_by == brussels("2026-10-05T09:00")
    friday = brussels("2026-06-22T09:00")  # the day before Luxembourg's national day
    assert rounds.promise(PLAYGROUND, friday).decide_by == brussels("2026-06-25T09:00")
    assert rounds.promise(german, friday).decide_by == brussels("2026-06-24T09:00")


def test_a_promise_is_running_then_due_soon_then_late_and_kept_or_missed_in_the_end() -> None:
    due = brussels("2026-11-27T10:00")

    def state(at: str, decided: str | None = None) -> tuple[str, int | None]:
        said = rounds.standing(PLAYGROUND, due, brussels(decided) if decided else None, brussels(at))
        return said.state, said.working_days

    assert state("2026-11-20T10:00") == ("running", 5)
    assert state("2026-11-26T10:00") == ("due soon", 1)
    assert state("2026-11-27T10:01") == ("late", 0)
    assert state("2026-12-01T10:00") == ("late", -2)
    assert state("2026-12-01T10:00", "2026-11-27T10:00") == ("kept", 0)
    assert state("2026-12-01T10:00", "2026-11-30T09:00") == ("missed", -1)
    nothing = rounds.standing(PLAYGROUND, None, None, due)
    assert (nothing.state, nothing.working_days) == ("no promise", None)


def test_how_promises_were_kept_is_counted_over_decisions() -> None:
    due = brussels("2026-11-27T10:00")
    decided = [(due, due), (due, due + timedelta(days=3)), (None, due), (due, due - timedelta(days=3))]
    said = rounds.kept(PLAYGROUND, decided)
    assert (said.decided, said.in_time, said.latest_working_days_over) == (3, 2, 1)
    assert said.share == pytest.approx(2 / 3)
    assert rounds.kept(PLAYGROUND, []).share is None


@given(st.dates(date(2024, 1, 1), date(2031, 1, 1)), st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=80, deadline=None)
def test_working_days_between_add_up(day: date, first: int, second: int) -> None:
    middle, last = day + timedelta(days=first), day + timedelta(days=first + second)
    assert working_days_between(day, last) == working_days_between(day, middle) + working_days_between(middle, last)
    assert working_days_between(last, day) == -working_days_between(day, last)


@given(st.dates(date(2024, 1, 1), date(2031, 1, 1)), st.integers(0, 800), st.sampled_from(["LU", "BE"]))
@settings(max_examples=40, deadline=None)
def test_working_days_between_are_those_one_would_count_by_hand(day: date, length: int, calendar: str) -> None:
    by_hand = sum(is_working_day(day + timedelta(days=n), calendar) for n in range(1, length + 1))
    assert working_days_between(day, day + timedelta(days=length), calendar) == by_hand


def test_a_month_after_the_end_of_january_is_the_end_of_february() -> None:
    assert add_months(date(2027, 1, 31), 1) == date(2027, 2, 28)


def test_a_moment_without_a_zone_is_in_no_round() -> None:
    with pytest.raises(ValueError, match="time zone"):
        rounds.next_cut_off(LARGE, datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_call_without_rounds_counts_from_sending() -> None:
    terms: CallTerms = PLAYGROUND
    assert not rounds.in_rounds(terms)
    assert rounds.promise(terms, brussels("2026-11-19T10:00")).decide_by == brussels("2026-11-23T10:00")
