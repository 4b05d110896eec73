"""Which allocation a run is charged to, when nobody says."""

from __future__ import annotations

from datetime import date

import pytest

from hanse.cli import pick
from hanse.contracts.errors import UsageError
from hanse.contracts.programme import Allocation


def allocation(name: str, machine: str = "local", free: int = 3600) -> Allocation:
    return Allocation(
        id=name, project="p", machine=machine, granted_accelerator_seconds=free, used_accelerator_seconds=0,
        reserved_accelerator_seconds=0, starts=date(2026, 1, 1), ends=date(2027, 1, 1),
    )  # fmt: skip


def test_the_only_one_that_fits_is_taken() -> None:
    mine = [allocation("small", free=10), allocation("elsewhere", "leonardo"), allocation("fits")]
    assert pick.allocation(mine, ["local"], 3600, None).id == "fits"


def test_the_order_of_the_machines_in_the_spec_decides() -> None:
    mine = [allocation("here"), allocation("there", "leonardo")]
    assert pick.allocation(mine, ["leonardo", "local"], 60, None).id == "there"


def test_of_two_that_fit_none_is_guessed() -> None:
    with pytest.raises(UsageError) as caught:
        pick.allocation([allocation("one"), allocation("two")], ["local"], 60, None)
    assert "one" in caught.value.what
    assert "--allocation" in caught.value.fix
    assert pick.allocation([allocation("one"), allocation("two")], ["local"], 60, "two").id == "two"


def test_without_any_the_way_to_one_is_told() -> None:
    with pytest.raises(UsageError) as caught:
        pick.allocation([], ["local"], 60, None)
    assert "hanse apply --call playground --machine local" in caught.value.fix


def test_what_does_not_fit_is_listed_with_its_reason() -> None:
    with pytest.raises(UsageError) as caught:
        pick.allocation([allocation("small", free=36), allocation("there", "lumi-g")], ["local"], 3600, None)
    assert caught.value.history == ("small: 0.0100\N{NO-BREAK SPACE}GPU-hours free", "there: on lumi-g, not on local")


def test_an_allocation_of_somebody_else_is_not_taken() -> None:
    with pytest.raises(UsageError, match="no allocation 'theirs'"):
        pick.allocation([allocation("mine")], ["local"], 60, "theirs")
