"""Answers as people write them: what is understood, what is implied, and what is refused."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from hanse.contracts.errors import UsageError
from hanse.rules.answers import HARMLESS, REST, read
from hanse.rules.check import check
from hanse.rules.files import shipped

DAY = date(2026, 11, 23)


def understood(answers: dict[str, Any]) -> dict[str, Any]:
    return dict(read(answers, {}, shipped(), as_of=DAY).given)


@pytest.mark.parametrize("written", ["5e23", "5E23", "5 x 10^23", "5 × 10²³", "5*10**23", 5e23, "500_000e18"])
def test_a_large_number_is_read_however_it_is_written(written: Any) -> None:
    assert understood({"training-flops": written}) == {"training_flops": 5e23}


def test_ten_to_a_power_is_read_too() -> None:
    assert understood({"Training FLOPs": "10^25"}) == understood({"training_flops": "10²⁵"}) == {"training_flops": 1e25}


@pytest.mark.parametrize("written", ["1e400", -1, "many", True, [1], float("nan")])
def test_what_is_no_amount_is_refused(written: Any) -> None:
    with pytest.raises(UsageError, match="cannot be the computation"):
        understood({"training-flops": written})


def test_uses_may_be_a_list_or_a_line_and_imply_their_area() -> None:
    listed = understood({"high-risk-uses": ["credit-scoring", "fraud-detection"]})
    assert listed == understood({"high_risk_uses": "credit scoring, Fraud_Detection"})
    assert listed["high-risk-area"] is True


@pytest.mark.parametrize("empty", [[], "none", "no", False])
def test_an_empty_list_is_no_answer_and_never_a_milder_one(empty: Any) -> None:
    base = {"general-purpose": True, "training-flops": "5e23", REST: HARMLESS}
    for id in ("roles", "modality"):
        assert check({**base, id: empty}, as_of=DAY).outcome == "conditions"


def test_what_follows_a_no_does_not_arise() -> None:
    found = check({"personal-data": False}, as_of=DAY)
    assert "personal-data-basis" not in found.open_questions
    assert "special-category-basis" not in found.open_questions


def test_everything_else_answers_only_what_was_left_out() -> None:
    assert check({REST: HARMLESS}, as_of=DAY).outcome == "pass"
    assert check({REST: HARMLESS, "civilian-purpose": "no"}, as_of=DAY).outcome == "stop"
    assert check({}, as_of=DAY).outcome_if_open_are_harmless == "pass"


def test_a_clock_starts_on_the_day_that_is_answered() -> None:
    answers = {"general-purpose": True, "training-flops": "2e25", "threshold-known-on": "2026-11-20", REST: HARMLESS}
    (notify,) = [one for one in check(answers, as_of=DAY).obligations if one.id == "gpai.notify"]
    assert notify.due == date(2026, 12, 4)


def test_what_is_lighter_for_small_enterprises_is_said_with_the_duty() -> None:
    answers = {"general-purpose": True, "training-flops": "5e23", "sme": True, REST: HARMLESS}
    (summary,) = [one for one in check(answers, as_of=DAY).obligations if one.id == "gpai.summary"]
    assert "1,000" in summary.eased[0]
