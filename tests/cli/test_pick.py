"""Which allocation a run is charged to, when nobody says, and which run is meant."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from hanse.cli import pick
from hanse.client.answers import Page
from hanse.client.http import Connection
from hanse.client.summary import RunSummary
from hanse.client.transport import Answer
from hanse.contracts.errors import UsageError
from hanse.contracts.programme import Allocation


def allocation(name: str, machine: str = "local", free: int = 3600) -> Allocation:
    return Allocation(
        id=name, project="p", machine=machine, granted_accelerator_seconds=free, used_accelerator_seconds=0,
        reserved_accelerator_seconds=0, starts=date(2026, 1, 1), ends=date(2027, 1, 1),
    )  # fmt: skip


TODAY = date(2026, 11, 22)


def picked(mine: list[Allocation], machines: list[str], cap: int = 60, chosen: str | None = None) -> str:
    return pick.allocation(mine, machines, cap, chosen, TODAY).id


def test_the_only_one_that_is_open_there_is_taken() -> None:
    mine = [allocation("used-up", free=0), allocation("elsewhere", "lumi-g"), allocation("fits")]
    assert picked(mine, ["local"]) == "fits"


def test_of_several_the_only_one_with_room_for_the_cap_is_taken() -> None:
    assert picked([allocation("small", free=30), allocation("ample", free=90)], ["local"]) == "ample"


def test_the_order_of_the_machines_in_the_spec_decides() -> None:
    assert picked([allocation("here"), allocation("there", "lumi-g")], ["lumi-g", "local"]) == "there"


def test_of_two_that_fit_none_is_guessed() -> None:
    mine = [allocation("one"), allocation("two")]
    with pytest.raises(UsageError) as caught:
        picked(mine, ["local"])
    assert "one" in caught.value.what
    assert "--allocation" in caught.value.fix
    assert picked(mine, ["local"], chosen="two") == "two"


def test_without_any_the_way_to_one_is_told() -> None:
    with pytest.raises(UsageError) as caught:
        picked([], ["local"])
    assert "hanse apply --call playground --machine local" in caught.value.fix


def test_what_does_not_fit_is_listed_with_its_reason() -> None:
    over = allocation("over").model_copy(update={"ends": date(2026, 6, 30)})
    with pytest.raises(UsageError) as caught:
        picked([allocation("empty", free=0), allocation("there", "lumi-g"), over], ["local"])
    assert caught.value.history == (
        "empty is used up: 0\N{NO-BREAK SPACE}GPU-hours free",
        "there is on lumi-g, not on local",
        "over is open from 1 Jan 2026 to 30 Jun 2026",
    )


def test_an_allocation_of_somebody_else_is_not_taken() -> None:
    with pytest.raises(UsageError, match="no allocation 'theirs'"):
        picked([allocation("mine")], ["local"], chosen="theirs")


class Runs(Connection):
    """A service that has these runs."""

    def __init__(self, *runs: RunSummary) -> None:
        self.answer = Page[RunSummary](items=runs, count=len(runs)).model_dump_json().encode()

    def exchange(self, method: str, path: str, **_: Any) -> Answer:
        assert (method, path) == ("GET", "/api/v1/run-summaries")
        return Answer(200, "OK", {}, self.answer, path)


def run(id: str, name: str, hour: int) -> RunSummary:
    return RunSummary(
        id=id, name=name, state="running", step=1, steps=2, used_accelerator_seconds=3, machines=("local",),
        created_at=datetime(2026, 11, 22, hour, tzinfo=UTC),
    )  # fmt: skip


def test_a_run_is_meant_by_id_by_name_by_beginning_or_as_the_latest() -> None:
    service = Runs(run("run-ab1", "fold", 8), run("run-ab2", "stdlib-lm", 9), run("run-cd3", "stdlib-lm", 10))
    assert pick.run(service, None).id == "run-cd3"
    assert pick.run(service, "run-ab1").id == "run-ab1"
    assert pick.run(service, "stdlib-lm").id == "run-cd3"
    assert pick.run(service, "run-c").id == "run-cd3"
    with pytest.raises(UsageError, match="More than one run begins"):
        pick.run(service, "run-ab")
    with pytest.raises(UsageError, match="no run 'other'"):
        pick.run(service, "other")
    with pytest.raises(UsageError, match="no runs yet"):
        pick.run(Runs(), None)
