"""What a run costs is told before it is submitted: in GPU-hours, in the site's unit, and in places in the queue."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.plan import Interval
from hanse.contracts.programme import Allocation
from hanse.machines import catalogue, quotas
from hanse.planning import cost, energy
from tests.contracts.examples import MACHINE, PLAN

HOUR = 3600
SPREAD = Interval(low=80.0, expected=100.0, high=150.0)


def an_allocation(machine: str = "leonardo-booster", granted_hours: int = 6000) -> Allocation:
    return Allocation(
        id="alc-one", project="prj-one", machine=machine, granted_accelerator_seconds=granted_hours * HOUR,
        used_accelerator_seconds=0, reserved_accelerator_seconds=0, starts=date(2026, 9, 1), ends=date(2027, 2, 28),
    )  # fmt: skip


def told(machine: str, *, hours: int, used_hours: int = 0, granted_hours: int = 6000) -> str:
    plan = PLAN.model_copy(update={"accelerator_seconds": hours * HOUR, "wall_time_s": SPREAD})
    found = cost.before(plan, catalogue.load(machine), an_allocation(machine, granted_hours), used_hours * HOUR)
    return " ".join(found.sentences()).replace("\N{NO-BREAK SPACE}", " ")


def test_a_cost_is_told_in_gpu_hours_and_the_sites_unit_each_with_its_interval() -> None:
    said = told("leonardo-booster", hours=100)
    assert "100 (80.0 to 150) GPU-hours" in said
    assert "800 (640 to 1,200) core-hours" in said
    assert "1.7 % of the 6,000 GPU-hours that are free in alc-one" in said


@pytest.mark.parametrize(
    ("hours", "used", "words"),
    [
        (100, 0, "stays within it, at full priority"),
        (600, 0, "Priority falls as the share is used"),
        (600, 700, "This run goes above it"),
        (10, 1000, "It is used up"),
    ],
)
def test_what_a_months_quota_does_to_the_priority_is_said_in_words(hours: int, used: int, words: str) -> None:
    said = told("leonardo-booster", hours=hours, used_hours=used)
    assert words in said and "A month's share is 1,000 GPU-hours there" in said


def test_where_other_months_may_be_borrowed_priority_holds_longer() -> None:
    assert "at full priority" in told("jupiter-booster", hours=600, used_hours=700)
    assert "2 more may be borrowed" in told("jupiter-booster", hours=600, used_hours=700)
    assert "goes above" in told("jupiter-booster", hours=600, used_hours=2500)


def test_a_site_that_publishes_no_quota_is_not_said_to_have_one() -> None:
    assert quotas.of("lumi-g") is None and "share" not in told("lumi-g", hours=100)


def test_a_run_that_may_not_fit_says_so() -> None:
    assert "more than the 50.0 GPU-hours" in told("leonardo-booster", hours=100, granted_hours=50)
    assert "more than all of them" in told("leonardo-booster", hours=100, granted_hours=120)


def test_every_quota_names_a_machine_of_the_catalogue_and_a_page() -> None:
    for machine in ("leonardo-booster", "jupiter-booster", "juwels-booster"):
        rule = quotas.of(machine)
        assert rule is not None and machine in catalogue.ids() and all(source.url for source in rule.sources)


def test_energy_is_counted_or_an_estimate_that_is_marked() -> None:
    machine = MACHINE.model_copy(update={"node_watts": 2000.0, "pue": 1.5, "accelerators_per_node": 4})
    assert energy.of(7, machine, 400) == (7, False)
    assert energy.of(None, machine, 400) == (round(2000 * 100 * 1.5), True)
    assert energy.of(None, MACHINE.model_copy(update={"node_watts": None}), 400) == (None, False)
    assert energy.of(None, None, 400) == (None, False)


@given(hours=st.integers(1, 10**6), factor=st.floats(1.0, 3.0))
def test_the_sites_unit_is_in_proportion_to_gpu_hours(hours: int, factor: float) -> None:
    wall = Interval(low=1.0, expected=1.0, high=factor)
    plan = PLAN.model_copy(update={"accelerator_seconds": hours * HOUR, "wall_time_s": wall})
    found = cost.before(plan, catalogue.load("leonardo-booster"))
    assert found.amount is not None
    assert found.amount.expected == pytest.approx(8 * hours) and found.amount.high == pytest.approx(8 * hours * factor)
