"""Which call is suggested, and why the others are not."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.programme import calls
from hanse.programme.clock import ZONE
from hanse.programme.routing import Need, Route, suggest

AT = datetime(2026, 11, 23, 9, 0, tzinfo=ZONE)
CALLS = tuple(calls.load(id) for id in calls.patterns())


def need(hours: int, **more: Any) -> Need:
    return Need(**{"gpu_hours": hours, "organisation_kind": "start-up", "country": "DE", "purpose": "train-ai", **more})


def routed(asked: Need) -> dict[str, Route]:
    return {one.call: one for one in suggest(asked, CALLS, AT).routes}


@pytest.mark.parametrize(
    ("asked", "call"),
    [
        (need(3000), "playground"),
        (need(3000, experience="new"), "playground"),
        (need(40_000), "fast-lane"),
        (need(400_000), "large-scale"),
        (need(5000, purpose="benchmark"), "benchmark"),
        (need(15_000, purpose="develop-code", organisation_kind="university"), "development"),
        (need(100_000, purpose="research", organisation_kind="university"), "ai-for-science"),
        (need(1_000_000, purpose="research", organisation_kind="university"), "regular"),
        (need(10_000_000, purpose="research", organisation_kind="research"), "extreme-scale"),
        (need(200_000, organisation_kind="public"), "ai-for-science"),
    ],
)
def test_the_right_call_is_suggested_by_size_applicant_and_purpose(asked: Need, call: str) -> None:
    best = suggest(asked, CALLS, AT).best
    assert best is not None
    assert best.call == call
    assert best.reasons


def test_every_other_call_says_why_not_and_what_would_change_it() -> None:
    said = routed(need(40_000))
    assert said["fast-lane"].fit == "fits"
    assert any("at most 5,000" in one for one in said["playground"].why_not)
    assert any("Ask for 5,000 or less" in one for one in said["playground"].change)
    assert any("not for training or adapting a model" in one for one in said["benchmark"].why_not)
    assert all(one.why_not for one in said.values() if one.fit != "fits")
    assert "frontier-ai-grand-challenge" not in said


def test_the_round_and_the_promised_answer_stand_beside_it() -> None:
    said = routed(need(400_000))["large-scale"]
    assert said.cut_off == datetime(2026, 11, 30, 10, 0, tzinfo=ZONE)
    assert said.decide_by == datetime(2026, 12, 14, 10, 0, tzinfo=ZONE)
    assert "The round closes on Monday 30 November 2026 at 10:00 Brussels time." in said.promise


def test_industry_comes_into_science_only_with_an_eu_project() -> None:
    assert routed(need(100_000))["ai-for-science"].fit == "a person decides"
    assert routed(need(100_000, in_eu_project=True))["ai-for-science"].fit == "fits"


def test_a_machine_without_room_asks_for_a_person() -> None:
    assert routed(need(400_000, machine="leonardo-booster"))["large-scale"].fit == "fits"
    said = routed(need(400_000, machine="lumi-g"))["large-scale"]
    assert said.fit == "a person decides"
    assert any("room on leonardo-booster, not on lumi-g" in one for one in said.why_not)


def test_where_nothing_fits_nothing_is_suggested() -> None:
    assert suggest(need(3000, country="US"), CALLS, AT).best is None


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 20_000_000), st.sampled_from(["start-up", "university", "large"]),
    st.sampled_from(["train-ai", "benchmark", "research", None]),
)  # fmt: skip
def test_what_fits_stands_before_what_does_not(hours: int, kind: str, purpose: str | None) -> None:
    fits = [one.fit for one in suggest(need(hours, organisation_kind=kind, purpose=purpose), CALLS, AT).routes]
    assert fits == sorted(fits, key=["fits", "a person decides", "does not fit"].index)
    assert len(fits) == len(calls.ids())
