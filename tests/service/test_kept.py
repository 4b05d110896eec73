"""Figures are counted once for all who ask, and counted anew behind those who read them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from hanse.service.kept import Kept
from tests.waiting import until

AT = datetime(2026, 6, 15, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Counter:
    """Counts how often it was asked to count, and waits until it may answer."""

    def __init__(self) -> None:
        self.times, self.go = 0, threading.Event()
        self.go.set()

    def __call__(self, at: datetime) -> str:
        self.times += 1
        assert self.go.wait(30)
        return f"{at:%H:%M}"


@pytest.fixture
def count() -> Counter:
    return Counter()


def test_eight_who_ask_at_once_have_it_counted_once(count: Counter) -> None:
    kept = Kept[str](most=4)
    count.go.clear()
    with ThreadPoolExecutor(8) as many:
        asked = [many.submit(kept.get, "all", count, at=AT, kept_for=MINUTE) for _ in range(8)]
        until(lambda: count.times == 1, within_s=30, what="somebody counts")
        count.go.set()
        assert {one.result(30) for one in asked} == {"12:00"}
    assert count.times == 1


def test_what_grew_old_is_told_once_more_while_it_is_counted_anew(count: Counter) -> None:
    kept = Kept[str](most=4)
    kept.get("all", count, at=AT, kept_for=MINUTE)
    count.go.clear()
    for _ in range(3):
        assert kept.get("all", count, at=AT + MINUTE, kept_for=MINUTE) == "12:00"
    count.go.set()
    until(lambda: kept.get("all", count, at=AT + MINUTE, kept_for=MINUTE) == "12:01", within_s=30, what="the new ones")
    assert count.times == 2


def test_what_nobody_asked_for_in_long_is_not_told_at_all(count: Counter) -> None:
    kept = Kept[str](most=4)
    kept.get("all", count, at=AT, kept_for=MINUTE)
    assert kept.get("all", count, at=AT + 2 * MINUTE, kept_for=MINUTE) == "12:02"


def test_a_count_that_fails_behind_an_answer_is_tried_again(count: Counter) -> None:
    def failing(at: datetime) -> str:
        failed.set()
        raise RuntimeError(f"the database went away at {at}")

    kept, failed = Kept[str](most=4), threading.Event()
    kept.get("all", count, at=AT, kept_for=MINUTE)
    assert kept.get("all", failing, at=AT + MINUTE, kept_for=MINUTE) == "12:00"
    assert failed.wait(30)
    until(lambda: kept.get("all", count, at=AT + MINUTE, kept_for=MINUTE) == "12:01", within_s=30, what="the new ones")


def test_only_so_many_answers_are_kept(count: Counter) -> None:
    kept = Kept[str](most=2)
    for asked in ("a", "b", "c", "a"):
        kept.get(asked, count, at=AT, kept_for=MINUTE)
    assert count.times == 4
