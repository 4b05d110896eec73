"""Billing units, energy and CO2: by hand, and unknown where it is unknown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.machine import Billing, Machine
from hanse.contracts.plan import Interval
from hanse.machines import catalogue
from hanse.planning import expense as expenses
from hanse.planning.expense import expense

HOUR = Interval(low=1800, expected=3600, high=7200)


def site(**facts: object) -> Machine:
    blank = {"node_watts": None, "pue": None, "grid_gco2_per_kwh": None, "billing": None}
    machine = catalogue.load("lumi-g")
    accelerator = machine.accelerator.model_copy(update={"watts": facts.pop("watts", None)})
    return machine.model_copy(update=blank | {"accelerator": accelerator} | facts)


def test_a_site_bills_in_its_own_unit() -> None:
    billing = Billing(unit="GPU-hour (one module)", units_per_node_hour=4)
    found = expense(site(billing=billing), 16, HOUR)
    assert found.unit == billing.unit and found.amount is not None
    assert (found.amount.low, found.amount.expected, found.amount.high) == (32, 64, 128)


def test_energy_and_co2_of_a_known_node_by_hand() -> None:
    """10 nodes of 5 kW for an hour behind a PUE of 1.2 are 60 kWh; at 100 g each, 6 kg."""
    found = expense(site(node_watts=5000.0, pue=1.2, grid_gco2_per_kwh=100.0), 10, HOUR)
    assert found.energy_joules is not None and found.co2_grams is not None
    assert found.energy_joules.expected == pytest.approx(60 * 3.6e6)
    assert found.co2_grams.expected == pytest.approx(6000)
    assert expenses.estimates(site(node_watts=5000.0, pue=1.2)) == ()


def test_what_nobody_knows_stays_unknown() -> None:
    found = expense(site(), 10, HOUR)
    assert found.model_dump() == {"unit": None, "amount": None, "energy_joules": None, "co2_grams": None}
    assert expense(site(watts=500.0), 10, HOUR, power_from_rating=False).energy_joules is None
    assert expense(site(node_watts=5000.0), 10, HOUR).co2_grams is None


def test_power_by_rating_is_wide_and_says_that_it_is_an_estimate() -> None:
    machine = site(watts=500.0)
    watts = expenses.node_watts(machine)
    assert watts is not None and watts.low < 8 * 500 < watts.expected < watts.high
    assert any("estimate" in each for each in expenses.estimates(machine))
    assert any("PUE" in each for each in expenses.estimates(machine))


@given(nodes=st.integers(1, 10_000), factor=st.integers(2, 5))
def test_everything_grows_with_nodes_and_stays_in_order(nodes: int, factor: int) -> None:
    machine = site(watts=500.0, grid_gco2_per_kwh=50.0, billing=Billing(units_per_node_hour=8))
    few, many = (expense(machine, count, HOUR) for count in (nodes, nodes * factor))
    for name in ("amount", "energy_joules", "co2_grams"):
        one, other = getattr(few, name), getattr(many, name)
        assert one.low <= one.expected <= one.high
        assert other.expected == pytest.approx(factor * one.expected)
