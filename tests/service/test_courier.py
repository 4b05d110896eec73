"""A training carried from one machine to another over a real service: it goes on there as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hanse.agent.courier import Courier
from hanse.agent.courier_ground import LocalGround
from hanse.client.parcels import ParcelClient
from hanse.contracts.layout import Layout
from hanse.contracts.rundir import RunDir
from hanse.service.runs.models import Machine, Parcel
from hanse.training import ledger
from tests.service.fixtures import Agent, World
from tests.training.gang import Trained, losses, together, with_layout
from tests.training.hands import make_job, make_run, make_spec, write_texts

TWO = Layout(nodes=2, dp=2, micro_batch=4)
STEPS = 14


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, settings: Any) -> None:
    settings.PARCEL_STORE = str(tmp_path / "store")


def courier(world: World, machine: Machine, home: Path, url: str) -> Courier:
    return Courier(
        ParcelClient(url, world.agent_token(machine)), lambda run: RunDir(home / "runs" / run), LocalGround(),
        home / "courier.sqlite3", machine=machine.public_id, data_dir=home / "data",
    )  # fmt: skip


@pytest.mark.torch
def test_a_training_carried_to_another_machine_goes_on_as_one_that_was_never_disturbed(
    shared_world: World, live_server: Any, tmp_path: Path
) -> None:
    world = shared_world
    other = Machine.objects.create(public_id="other", site=world.site)
    Agent(other).hello()
    here, there = tmp_path / "here", tmp_path / "there"
    run = world.launch()
    texts = write_texts(tmp_path / "texts")
    spec = make_spec(texts, tokens=8 * 16 * STEPS, checkpoint={"every_steps": 5})

    undisturbed = with_layout(make_job(make_run(tmp_path / "undisturbed", spec), here / "data"), TWO)
    first = make_run_at(here, run.public_id, spec)
    job = with_layout(make_job(first, here / "data"), TWO)
    together(2, Trained(undisturbed))
    together(2, Trained(job, stop_after=10))
    assert (first.checkpoints / "step-00000010" / "COMPLETE").is_file()

    Parcel.order(run, "checkpoint", world.machine, other)
    sender = courier(world, world.machine, here, live_server.url)
    sent = sender.pursue(Parcel.orders_for(world.machine), [])
    Parcel.take(world.machine, sent)
    assert {report.state for report in sent} == {"ready"}, sent
    receiver = courier(world, other, there, live_server.url)
    parcels = [parcel.contract() for parcel in Parcel.objects.filter(to_machine=other)]
    assert {parcel.kind for parcel in parcels} == {"checkpoint", "data"}
    fetched = receiver.pursue([], parcels)
    Parcel.take(other, fetched)
    assert {report.state for report in fetched} == {"arrived"}, fetched
    assert set(Parcel.objects.values_list("state", flat=True)) == {"arrived"}

    # At the target nothing of the source's paths is left: neither its texts nor its data folder are within reach.
    texts.rename(tmp_path / "texts-gone")
    (here / "data").rename(here / "data-gone")
    second = RunDir(there / "runs" / run.public_id)
    second.spec.write_text(first.spec.read_text())
    went_on = with_layout(make_job(second, there / "data"), TWO)
    said = together(2, Trained(went_on))
    assert "resumed at step 10" in said
    assert losses(went_on) == losses(undisturbed)[10:]
    entries = ledger.read(second.ledger)
    assert sum(entry.samples for entry in entries) == STEPS * 8


def make_run_at(home: Path, run_id: str, spec: Any) -> RunDir:
    (home / "runs").mkdir(parents=True)
    return make_run(home / "runs" / run_id, spec)
