"""A Waldur's answers as rows."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from hanse.contracts.imports import AwardRow
from hanse.programme.imports.waldur import Seen, Wanted, rows
from tests.imports.waldurs import CUSTOMER, USERS, component, resource

WANTED = Wanted(source="waldur.example.eu", mode="fast-lane", organisation_kind="start-up")

BOTH = [component("gpu", "hours"), component("cpu", "hours")]


def seen(wanted: Wanted = WANTED, **changes: Any) -> Any:
    found, errors = rows([Seen(resource=resource(1, **changes), customer=CUSTOMER, users=USERS)], wanted)
    return found[0] if found else errors[0]


def test_a_resource_is_a_row_with_its_project_as_the_award() -> None:
    row = seen()
    assert isinstance(row, AwardRow)
    assert (row.reference, row.part, row.account) == ("b" * 32, f"{1:032x}", "hpc_1")
    assert (row.organisation, row.country, row.title) == ("Brick AI", "BE", "Delivery notes")
    assert (row.contact_email, row.members) == ("f@example.eu", ("m@example.eu",)), "the manager is written to"
    assert (row.machine, row.amount, row.unit) == ("booster", Decimal(5000), "GPU-hour")
    assert (row.starts, row.ends) == (date(2026, 11, 2), date(2099, 12, 31))


@pytest.mark.parametrize(
    ("limits", "components", "amount", "unit"),
    [
        ({"cpu": 3}, [component("cpu", "k-Hours")], 3000, "core-hour"),
        ({"node_hours": 7}, [component("node_hours", "hours")], 7, "node-hour"),
        ({"gpu": 9, "storage": 40}, [component("gpu", "GPU-hours"), component("storage", "TB")], 9, "GPU-hour"),
    ],
)
def test_the_component_that_counts_hours_is_found_by_its_unit(
    limits: Any, components: Any, amount: int, unit: str
) -> None:
    row = seen(limits=limits, offering_components=components)
    assert (row.amount, row.unit) == (amount, unit)


@pytest.mark.parametrize(
    ("changes", "column", "said"),
    [
        ({"limits": {"gpu": 1, "cpu": 2}, "offering_components": BOTH}, "amount", "gpu and cpu both count hours"),
        ({"limits": {"storage": 2}, "offering_components": [component("storage", "TB")]}, "amount", "counts hours"),
        ({"offering_components": [component("gpu", "GPU hours", limit_period="month")]}, "amount", "for each month"),
        ({"limits": {"gpu": 0}}, "amount", "its limit of gpu is 0"),
        ({"end_date": None}, "ends", "neither it nor its project has an end"),
        ({"offering_slug": ""}, "machine", "its offering has no slug"),
        ({"backend_id": "a b"}, "account", "a b cannot stand here"),
    ],
)  # fmt: skip
def test_what_waldur_does_not_say_is_left_to_a_person(changes: dict[str, Any], column: str, said: str) -> None:
    error = seen(**changes)
    assert error.column == column
    assert said in error.what
    assert error.what.startswith("alloc-1: ")
    assert error.fix


def test_an_officer_says_what_waldur_does_not() -> None:
    wanted = Wanted(
        source="w", mode="fast-lane", machines={"booster": ("local", "big")}, component="gpu", unit="node-hour",
        until=date(2098, 1, 1),
    )  # fmt: skip
    row = seen(wanted, end_date=None, limits={"gpu": 4, "cpu": 4})
    assert (row.machine, row.partition, row.unit, row.ends) == ("local", "big", "node-hour", date(2098, 1, 1))


def test_a_project_without_anybody_to_write_to_is_told() -> None:
    found, errors = rows([Seen(resource=resource(1), customer=CUSTOMER)], WANTED)
    assert not found
    assert errors[0].column == "contact_email"
