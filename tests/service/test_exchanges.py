"""The courier between legs of one run: whatever one puts into its outbox comes into every other's inbox, once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hanse.agent.courier import Courier
from hanse.agent.courier_ground import LocalGround
from hanse.client.parcels import ParcelClient
from hanse.contracts.agentapi import SyncResponse
from hanse.contracts.base import now
from hanse.contracts.rundir import RunDir
from hanse.service.runs import exchanges
from hanse.service.runs.models import Event, Parcel, Run
from tests.service.fixtures import World
from tests.service.test_across import NAMES, Legs
from tests.service.test_across import legs as legs_fixture

TURNS = 8
legs = legs_fixture


@pytest.fixture
def world(shared_world: World) -> World:
    """In committed rows, for a server that answers the couriers."""
    return shared_world


class Ground:
    """One machine's disk, its courier, and what its agent was told last."""

    def __init__(self, legs: Legs, name: str, home: Path, url: str) -> None:
        self.name, self.home, self.agent = name, home, legs.agents[name]
        token = legs.world.agent_token(self.agent.machine)
        self.courier = Courier(
            ParcelClient(url, token), self.run_dir, LocalGround(), home / "courier.sqlite3", machine=name,
            data_dir=home / "data",
        )  # fmt: skip
        self.told = self.agent.sync()

    def run_dir(self, run_id: str) -> RunDir:
        return RunDir(self.home / "runs" / run_id)

    def turn(self) -> SyncResponse:
        """What its agent does again and again."""
        reports = self.courier.pursue(self.told.send, self.told.bring)
        self.told = self.agent.sync(parcels=reports)
        return self.told

    def write(self, run: Run, name: str, content: bytes) -> None:
        outbox = self.run_dir(run.public_id).outbox
        outbox.mkdir(parents=True, exist_ok=True)
        (outbox / name).write_bytes(content)

    def inbox(self, run: Run) -> dict[str, bytes]:
        folder = self.run_dir(run.public_id).inbox
        return {each.name: each.read_bytes() for each in folder.iterdir()} if folder.is_dir() else {}


@pytest.fixture
def grounds(legs: Legs, tmp_path: Path, live_server: Any, settings: Any) -> dict[str, Ground]:
    settings.PARCEL_STORE = str(tmp_path / "store")
    return {name: Ground(legs, name, tmp_path / name, live_server.url) for name in NAMES}


def turns(grounds: dict[str, Ground], count: int = TURNS) -> None:
    for _ in range(count):
        for each in grounds.values():
            each.turn()


def stored(tmp_path: Path) -> int:
    return sum(each.is_file() for each in (tmp_path / "store").rglob("*"))


def test_every_file_of_every_outbox_comes_into_every_other_inbox_once(
    legs: Legs, grounds: dict[str, Ground], tmp_path: Path
) -> None:
    run = legs.launch()
    for step in range(4):
        for name, ground in grounds.items():
            ground.write(run, f"step-{step:06d}-000-part-0000-{name}.outer", f"{name} {step}".encode() * 1000)
        turns(grounds)
        for name, ground in grounds.items():
            found = ground.inbox(run)
            assert set(found) == {
                f"step-{s:06d}-000-part-0000-{other}.outer" for s in range(step + 1) for other in NAMES if other != name
            }
            assert all(content == f"{file.split('-')[-1][:-6]} {int(file[5:11])}".encode() * 1000
                       for file, content in found.items())  # fmt: skip
    assert Parcel.objects.count() == 6, "one row for each direction, however long it goes on"
    assert {parcel.times for parcel in Parcel.objects.all()} == {4}
    assert Event.objects.filter(name__startswith="agent:parcel").count() == 0
    assert stored(tmp_path) == 0, "what everybody has lies nowhere in between"


def test_what_a_leg_has_taken_away_is_not_brought_again(legs: Legs, grounds: dict[str, Ground]) -> None:
    run = legs.launch()
    grounds["local"].write(run, "step-000000-000-part-0000-local.outer", b"moved")
    turns(grounds)
    [taken] = grounds["second"].run_dir(run.public_id).inbox.iterdir()
    taken.unlink()
    turns(grounds)
    assert grounds["second"].inbox(run) == {}


def test_a_leg_that_comes_late_gets_all_that_was_sent_meanwhile(legs: Legs, grounds: dict[str, Ground]) -> None:
    run = legs.launch()
    early = {name: ground for name, ground in grounds.items() if name != "third"}
    for step in range(3):
        grounds["local"].write(run, f"step-{step:06d}-000-part-0000-local.outer", b"x" * (step + 1))
        turns(early)
    assert len(grounds["second"].inbox(run)) == 3 and grounds["third"].inbox(run) == {}
    turns(grounds)
    assert sorted(map(len, grounds["third"].inbox(run).values())) == [1, 2, 3]


def test_files_travel_after_the_senders_job_has_ended_and_no_more_once_the_run_has(
    legs: Legs, grounds: dict[str, Ground]
) -> None:
    run = legs.launch(NAMES[:2])
    for name in NAMES[:2]:
        legs.report(run, name, "running")
    grounds["local"].write(run, "done-0000-local.outer", b"the last word")
    legs.report(run, "local", "finished", step=100, exit_code=0)
    turns(grounds)
    assert list(grounds["second"].inbox(run)) == ["done-0000-local.outer"]
    assert grounds["local"].turn().send, "the other leg trains on and may need more"
    legs.report(run, "second", "finished", step=100, exit_code=0)
    assert run.state == "finished"
    assert not grounds["local"].turn().send and not grounds["second"].turn().bring
    assert exchanges.look_after(now()) == 2 and exchanges.look_after(now()) == 0
    assert set(Parcel.objects.values_list("state", "reason")) == {("failed", "the run has ended")}


def test_what_was_refused_is_asked_for_again_a_while_later_with_its_reason_standing_until_then(
    legs: Legs, grounds: dict[str, Ground], settings: Any
) -> None:
    run = legs.launch(NAMES[:2])
    settings.PARCEL_MAX_BYTES = 3
    grounds["local"].write(run, "step-000000-000-part-0000-local.outer", b"four")
    turns(grounds)
    parcel = Parcel.objects.get(from_machine__public_id="local")
    assert parcel.state == "failed" and "is the most this service carries" in parcel.reason
    settings.PARCEL_MAX_BYTES = 1000
    exchanges.look_after(now() + timedelta(minutes=2))
    turns(grounds)
    assert list(grounds["second"].inbox(run)) == ["step-000000-000-part-0000-local.outer"]


def test_an_agent_that_begins_anew_sends_and_brings_nothing_twice(
    legs: Legs, grounds: dict[str, Ground], tmp_path: Path, live_server: Any
) -> None:
    run = legs.launch(NAMES[:2])
    two = {name: grounds[name] for name in NAMES[:2]}
    two["local"].write(run, "step-000000-000-part-0000-local.outer", b"one")
    turns(two)
    for name in NAMES[:2]:
        two[name].courier.close()
        two[name] = Ground(legs, name, tmp_path / name, live_server.url)
    [came] = two["second"].run_dir(run.public_id).inbox.iterdir()
    came.unlink()
    two["local"].write(run, "step-000001-000-part-0000-local.outer", b"two")
    turns(two)
    assert list(two["second"].inbox(run)) == ["step-000001-000-part-0000-local.outer"]
