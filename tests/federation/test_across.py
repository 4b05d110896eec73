"""One run with a leg on each of the two clusters: real jobs, real agents, and nothing between them but the courier.

One of the clusters is reached over SSH, as by an agent on its user's own machine.
"""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from hanse.cli import launching_across
from hanse.contracts.across import AcrossSpec
from hanse.contracts.outer import OuterLaunch, OuterRow
from hanse.contracts.run import Leg, Run, RunState
from hanse.contracts.rundir import RunDir
from hanse.contracts.spec import CheckpointSpec, TrainSpec, WhereSpec
from hanse.contracts.telemetry import TrainResult
from hanse.training.outer import trail
from hanse.workloads.load import load_spec
from tests import sshd
from tests.federation.conftest import Joined, Place
from tests.stack import ROOT
from tests.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.torch, pytest.mark.timeout(500)]
ROUNDS, INNER, BATCH = 4, 5, 8


@pytest.fixture
def behind_ssh(joined: Joined, tmp_path: Path) -> Iterator[None]:
    """The second cluster's agent stands elsewhere: scheduler, folders and boxes are behind a real sshd."""
    post = joined.b.post
    server = sshd.up(tmp_path / "sshd", {**joined.b.site.environment, "PYTHONPATH": str(ROOT / "src")})
    machine, environment = post.machine, post.environment
    facts = machine.scheduler.model_copy(update={"python": sys.executable})
    post.machine = machine.model_copy(update={"scheduler": facts})
    post.environment, post.over = {}, server.facts
    try:
        post.kill_agent()
        post.start_agent()
        yield
    finally:
        post.machine, post.environment, post.over = machine, environment, {}
        post.kill_agent()
        server.stop()
        post.start_agent()


@pytest.mark.usefixtures("behind_ssh")
def test_a_training_across_both_clusters_ends_with_one_model_though_one_leg_was_killed(joined: Joined) -> None:
    run = _launch(joined)
    folders = {place.site.machine.id: place.post.run_dir(run.id) for place in joined.places}
    lost = folders[joined.b.site.machine.id]

    def committed_and_saved() -> bool:
        saved = any(lost.checkpoints.glob("step-0*/COMPLETE"))
        return saved and any(row.what == "applied" for row in trail.read(lost.outer_rows))

    until(committed_and_saved, within_s=240, what="an outer step of both, and a checkpoint", every_s=0.2)
    for trainer in _trainers(lost):
        trainer.kill()

    done = joined.hub.finish(run.id, within_s=300)
    logs = "\n\n".join(path.read_text() for each in folders.values() for path in each.root.glob("attempts/*/job.log"))
    assert done.state is RunState.FINISHED, (done.reason, logs)
    assert len(_leg(joined, done, joined.b).attempts) >= 2 and len(_leg(joined, done, joined.a).attempts) == 1
    assert done.across is not None
    for name, folder in folders.items():
        launch = OuterLaunch.from_json(folder.outer.read_bytes())
        assert (launch.leg, launch.terms) == (name, done.across)
        assert stat.S_IMODE(folder.exchange_key.stat().st_mode) == 0o600
    assert len({folder.exchange_key.read_bytes() for folder in folders.values()}) == 2

    ours, theirs = ({row.outer_step: row.result_sha256 for row in _applied(each)} for each in folders.values())
    assert ours == theirs and len(ours) >= ROUNDS, "every outer step gave both the same weights"
    results = [TrainResult.from_json(folder.result.read_bytes()) for folder in folders.values()]
    record = joined.record(done)
    assert record.result is not None and record.result.tokens == sum(each.tokens for each in results)
    told = record.across
    assert told is not None and (told.exchanges, told.differing) == (len(ours), 0)
    assert {leg.name for leg in told.legs} == set(folders) and all(leg.telemetry for leg in told.legs)
    for leg in told.legs:
        sent = sum(row.sent_bytes for row in trail.read(folders[leg.name].outer_rows))
        assert leg.tally.applied == len(ours) and leg.tally.sent_bytes == sent > 0
    charged = {entry.allocation_id for entry in record.usage}
    assert charged == {place.award.id for place in joined.places}
    for place in joined.places:
        assert place.post.home not in _others(joined, place).post.home.parents


def _trainers(folder: RunDir) -> list[psutil.Process]:
    """The ranks that train there."""
    found = []
    for each in psutil.process_iter(["pid"]):
        with suppress(psutil.Error):
            if each.environ().get("HANSE_RUN_DIR") == str(folder.root) and "RANK" in each.environ():
                found.append(each)
    assert found, "nobody trains there"
    return found


def _others(joined: Joined, place: Place) -> Place:
    return joined.b if place is joined.a else joined.a


def _applied(folder: RunDir) -> list[OuterRow]:
    return [row for row in trail.read(folder.outer_rows) if row.what == "applied"]


def _leg(joined: Joined, run: Run, place: Place) -> Leg:
    [leg] = [each for each in joined.hub.run(run.id).legs if each.machine == place.site.machine.id]
    return leg


def _launch(joined: Joined) -> Run:
    example = load_spec(ROOT / "examples" / "stdlib-lm" / "train.yaml")
    assert example.model is not None and example.model.shape is not None
    names = tuple(place.site.machine.id for place in joined.places)
    spec: TrainSpec = example.model_copy(
        update={
            "tokens": ROUNDS * INNER * BATCH * example.model.shape.context,
            "batch": BATCH,
            "where": WhereSpec(machines=names, nodes=1, wall_time_s=600, max_gpu_hours=20),
            "checkpoint": CheckpointSpec(every_steps=2),
            "across": AcrossSpec(inner_steps=INNER, codec="bf16", fragments=1, overlap_steps=0, wait_s=240.0),
        }
    )
    with joined.hub.client() as client:
        known = {machine.id: machine for machine in client.machines()}
        said: list[str] = []
        run = launching_across.launch(client, spec, Path("train.yaml"), say=said.append)
    assert set(names) <= set(known) and any("bf16" in line for line in said), said
    return run
