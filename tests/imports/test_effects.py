"""What rows would do: units, organisations that are near, changes since the last import, what is refused and why."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.imports import AwardRow
from hanse.programme.imports import units
from hanse.programme.imports.effects import Done, Here, Part, effects
from hanse.programme.imports.names import Known, Register
from tests.imports.rows import BOOSTER, MODULES, a_row
from tests.service.fixtures import a_machine

TODAY = date(2026, 11, 23)
BRICK = Known(id="org-brick", name="Brick AI", pics=frozenset({"999999999"}))
MACHINES = {"local": a_machine(), "booster": BOOSTER, "modules": MODULES}


def here(*known: Known, **changes: Any) -> Here:
    return Here(**({"today": TODAY, "organisations": Register(known), "machines": MACHINES} | changes))


def known_part(row: AwardRow, **changes: Any) -> Here:
    """The row was brought in as it is, and then `changes` befell it."""
    facts = {
        "allocation": "alc-1", "stated_hours": 5000, "stated_ends": row.ends, "stated_starts": row.starts,
        "ends": row.ends, "free_hours": 5000.0,
    }  # fmt: skip
    return here(BRICK, awards={row.award: BRICK.id}, parts={row.place: Part(**facts | changes)})


def one(row: AwardRow, there: Here) -> Done:
    (done,) = effects([row], there)
    return done


@pytest.mark.parametrize(
    ("amount", "unit", "machine", "hours"),
    [
        ("40000", "core-hour", BOOSTER, 5000),
        ("40000", "Core hours", BOOSTER, 5000),
        ("1250", "node-h", BOOSTER, 5000),
        ("5000", "GPU-hour", BOOSTER, 5000),
        ("5000", "accelerator-hours", BOOSTER, 5000),
        ("100", "GPU-hour", MODULES, 200),
        ("100", "accelerator-hour", MODULES, 100),
        ("25", "node-hours", MODULES, 200),
        ("40001", "core-hour", BOOSTER, 5000),
    ],
)
def test_an_amount_is_reckoned_by_the_machines_own_factor(amount: str, unit: str, machine: Any, hours: int) -> None:
    assert units.to_gpu_hours(Decimal(amount), unit, machine).gpu_hours == hours


def test_what_was_reckoned_is_said_and_a_rest_is_rounded_down() -> None:
    assert units.to_gpu_hours(Decimal("40001"), "core-hour", BOOSTER).said == (
        "40,001 core-hours are 5,000 GPU-hours (5,000.13 rounded down)."
    )
    assert units.to_gpu_hours(Decimal("5000"), "GPU-hour", BOOSTER).said == ""
    with pytest.raises(ValueError, match="write one of core-hour, node-hour, accelerator-hour"):
        units.to_gpu_hours(Decimal("5"), "TB-hour", BOOSTER)


@given(st.decimals(1, 10**9, places=3), st.decimals(1, 10**9, places=3))
def test_more_of_a_unit_is_never_fewer_gpu_hours(one: Decimal, other: Decimal) -> None:
    low, high = sorted([one + 8, other + 8])
    assert (
        units.to_gpu_hours(low, "core-hour", BOOSTER).gpu_hours
        <= units.to_gpu_hours(high, "core-hour", BOOSTER).gpu_hours
    )


def test_an_organisation_is_known_by_its_number_then_by_its_name() -> None:
    by_name = one(a_row(), here(BRICK))
    assert (by_name.effect.effect, by_name.organisation) == ("create", BRICK)
    by_pic = one(a_row(organisation="Brick Artificial", pic="999999999"), here(BRICK))
    assert by_pic.organisation == BRICK
    assert "It is Brick AI here." in by_pic.effect.says
    fresh = one(a_row(organisation="Far away"), here(BRICK))
    assert (fresh.effect.effect, fresh.organisation) == ("create", None)
    assert "Far away is new here." in fresh.effect.says


@pytest.mark.parametrize(
    ("name", "pic"), [("Brick AI GmbH", ""), ("brick a.i.", ""), ("Bríck AI", ""), ("Brick  AI", "111111111")]
)
def test_a_near_name_or_a_name_with_another_number_waits_for_an_officer(name: str, pic: str) -> None:
    waits = one(a_row(organisation=name, pic=pic), here(BRICK))
    assert waits.effect.effect == "waits"
    assert [each.id for each in waits.effect.candidates] == [BRICK.id]
    said = one(a_row(organisation=name, pic=pic, organisation_id=BRICK.id), here(BRICK))
    assert (said.effect.effect, said.organisation) == ("create", BRICK)


def test_an_officer_may_say_that_a_near_name_is_a_new_organisation() -> None:
    done = one(a_row(organisation="Brick AI GmbH", organisation_id="new"), here(BRICK))
    assert (done.effect.effect, done.organisation) == ("create", None)
    taken = one(a_row(organisation="brick ai", organisation_id="new"), here(BRICK))
    assert taken.effect.effect == "refused"
    assert "called Brick AI already" in taken.effect.reason


def test_a_further_machine_of_a_known_award_belongs_to_whom_the_award_belongs() -> None:
    there = here(BRICK, awards={a_row().award: BRICK.id})
    for more in ({}, {"organisation_id": "new"}):
        done = one(a_row(machine="booster", organisation="Brick AI GmbH", **more), there)
        assert (done.effect.effect, done.organisation) == ("create", BRICK)
    other = Known(id="org-other", name="Other")
    moved = one(
        a_row(machine="booster", organisation_id="org-other"), here(BRICK, other, awards={a_row().award: BRICK.id})
    )
    assert moved.effect.effect == "refused"
    assert "does not change hands" in moved.effect.reason


def test_numbers_of_two_organisations_are_a_contradiction() -> None:
    other = Known(id="org-other", name="Other", vat_numbers=frozenset({"BE0403019261"}))
    row = a_row(pic="999999999", vat_number="BE 0403.019.261")
    done = one(row, here(BRICK, other))
    assert done.effect.effect == "refused"
    assert "of different organisations here: Brick AI and Other" in done.effect.reason


def test_two_rows_of_one_new_organisation_write_its_name_in_one_way() -> None:
    rows = (a_row(2, organisation="Acme AB"), a_row(3, organisation="ACME", reference="b"))
    first, second = effects(rows, here())
    assert (first.effect.effect, second.effect.effect) == ("create", "refused")
    assert "Line 2 names a new organisation Acme AB" in second.effect.reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"machine": "lumi"}, "no machine lumi is joined"),
        ({"machine": "booster", "partition": "big"}, "no partition big; it has boost"),
        ({"unit": "barrel"}, "does not count in barrel"),
        ({"amount": Decimal("0.5")}, "less than one GPU-hour"),
        ({"starts": date(2026, 1, 1), "ends": date(2026, 11, 22)}, "it ended on 22 November 2026"),
        ({"mode": "nothing"}, "there is no mode nothing"),
        ({"organisation_id": "org-none"}, "there is no organisation org-none"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_its_reason(changes: dict[str, Any], said: str) -> None:
    done = one(a_row(**changes), here(BRICK))
    assert done.effect.effect == "refused"
    assert said.lower() in done.effect.reason.lower()


def test_rows_of_one_award_agree_and_a_place_stands_once() -> None:
    rows = (a_row(2), a_row(3, machine="booster", title="Another"), a_row(4), a_row(5, reference="b"))
    told = [done.effect for done in effects(rows, here(BRICK))]
    assert [one.effect for one in told] == ["refused", "refused", "refused", "create"]
    assert "another row of this award (line 3) is refused" in told[0].reason.lower()
    assert "title is another than on line 2" in told[1].reason.lower()
    assert "line 2 is of the same award, machine and partition" in told[2].reason.lower()


def test_the_same_row_again_changes_nothing_whatever_befell_its_hours_here() -> None:
    row = a_row()
    for since in ({}, {"free_hours": 10.0}, {"ends": date(2100, 6, 30)}, {"ended": True}):
        assert one(row, known_part(row, **since)).effect.effect == "same"


def test_more_hours_and_a_later_end_are_changes_by_what_is_stated_otherwise_than_before() -> None:
    row = a_row(amount=Decimal(6000), ends=date(2100, 3, 31))
    before = known_part(a_row())
    done = one(row, before)
    assert (done.effect.effect, done.more_hours, done.new_end) == ("change", 1000, date(2100, 3, 31))
    assert done.effect.allocation == "alc-1"
    held_longer = known_part(a_row(), ends=date(2100, 12, 31))
    kept = one(row, held_longer)
    assert (kept.more_hours, kept.new_end) == (1000, None), "it was extended further here"
    only_later = one(a_row(ends=date(2100, 3, 31)), held_longer)
    assert (only_later.effect.effect, only_later.effect.says) == (
        "same",
        ("Here it ends on 31 December 2100 already.",),
    )


def test_fewer_hours_are_taken_off_what_is_free_and_never_off_what_was_used() -> None:
    fewer = a_row(amount=Decimal(3000))
    assert one(fewer, known_part(a_row(), free_hours=2000.0)).more_hours == -2000
    refused = one(fewer, known_part(a_row(), free_hours=1999.5))
    assert refused.effect.effect == "refused"
    assert "what was used is not taken back" in refused.effect.reason


@given(st.integers(1, 10**6), st.floats(0, 10**6))
def test_no_row_takes_back_more_than_is_free(stated: int, free: float) -> None:
    done = one(a_row(amount=Decimal(stated)), known_part(a_row(), free_hours=free))
    assert done.more_hours >= -free


def test_an_end_that_is_past_is_no_change_an_import_makes() -> None:
    done = one(a_row(ends=date(2026, 11, 20)), known_part(a_row()))
    assert done.effect.effect == "refused"
    assert "suspend it here" in done.effect.reason
    earlier = one(a_row(ends=date(2027, 1, 31)), known_part(a_row()))
    assert (earlier.effect.effect, earlier.new_end) == ("change", date(2027, 1, 31))


def test_an_officer_brings_in_nothing_for_their_own_organisation() -> None:
    out = {BRICK.id: "you stand in Brick AI."}
    assert one(a_row(), here(BRICK, out_of_bounds=out)).effect.effect == "refused"
    row = a_row(amount=Decimal(9000))
    there = known_part(a_row())
    there.out_of_bounds.update(out)  # type: ignore[attr-defined]
    assert one(row, there).effect.effect == "refused"
