"""The watch's thresholds are the gate's own, from both sides; and what it compares in words and days."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.spec import DatasetSpec
from hanse.contracts.telemetry import DatasetRead
from hanse.rules import watch
from hanse.rules.check import check

DAY = date(2026, 11, 23)
CASES: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({}, "general-purpose", "gpai.technical-documentation"),
    ({"builds-on-model": True}, "modifier", "gpai.technical-documentation"),
    ({"builds-on-model": True, "original-systemic": True}, "modifier", "gpai.technical-documentation"),
    ({"builds-on-model": True, "original-flops": 6e23}, "modifier", "gpai.technical-documentation"),
    ({"builds-on-model": True, "original-flops": 4e22}, "general-purpose", "gpai.technical-documentation"),
    ({}, "systemic", "gpai.notify"),
    ({"builds-on-model": True, "original-flops": 4e24}, "systemic", "gpai.notify"),
)


@pytest.mark.parametrize(("answers", "threshold", "duty"), CASES)
def test_the_gate_says_more_exactly_where_the_watch_sees_a_threshold_crossed(
    answers: dict[str, Any], threshold: str, duty: str
) -> None:
    one = next(one for one in watch.thresholds(answers) if one.id == threshold)
    edge = one.flops - one.before
    for flops, over in ((math.nextafter(edge, 0) * (1 - 1e-12), False), (edge * (1 + 1e-9), True)):
        given = {"everything-else": "harmless", "general-purpose": True, "modality": ["text"], **answers}
        duties = {duty.id for duty in check({**given, "training-flops": flops}, as_of=DAY).obligations}
        assert (duty in duties) is over, (flops, one)
        assert (one.level(flops) == "crossed") is over


@given(st.floats(0, 1e27), st.floats(0, 1e27))
def test_more_computation_is_never_told_as_less(one: float, other: float) -> None:
    order = {None: 0, "near": 1, "crossed": 2}
    for threshold in watch.thresholds({}):
        less, more = sorted((one, other))
        assert order[threshold.level(less)] <= order[threshold.level(more)]


@pytest.mark.parametrize(
    ("declared", "read", "same"),
    [
        ("data/*.txt", "data/*.txt", True), ("data/*.txt", "/work/run-1/data/*.txt", True),
        ("./data/*.txt", "/work/run-1/data/*.txt", True), ("data/*.txt", "/elsewhere/other/*.txt", False),
        ("s3://a/x", "s3://b/s3://a/x", False), ("x.txt", "/work/ax.txt", False),
    ],
)  # fmt: skip
def test_a_source_is_the_same_where_its_path_is_written_out(declared: str, read: str, same: bool) -> None:
    spec = DatasetSpec(name="a", source=declared, licence="MIT")
    told = DatasetRead(name="a", source=read, licence="MIT", samples=1, tokens=1, shards_sha256="0" * 64)
    assert (watch.undeclared((told,), (spec,)) == ()) is same


@given(st.integers(-10, 100))
def test_a_permit_is_warned_of_in_the_tightest_of_its_days(left: int) -> None:
    days = watch.days_to_warn(DAY + timedelta(days=left), DAY)
    expected = None if left < 0 or left > 60 else 60 if left > 30 else 30 if left > 7 else 7
    assert days == expected
