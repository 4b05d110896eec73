"""The demo's training, shortened, on both clusters of the federation at once, while their accounting goes away."""

from __future__ import annotations

import pytest

from benchmarks.chaos_world import packed
from hanse.contracts.run import Attempt, AttemptState, Run, RunState
from hanse.contracts.spec import CheckpointSpec, CommandSpec, TrainSpec, WhereSpec
from hanse.contracts.telemetry import TrainResult
from hanse.workloads.load import load_spec
from tests.federation.conftest import Joined, Place
from tests.federation_site import Federation
from tests.stack import ROOT
from tests.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.torch, pytest.mark.timeout(400)]
STEPS, BATCH = 12, 8


def test_a_training_on_each_cluster_finishes_and_is_charged_by_slurms_measure_though_slurmdbd_goes_away_in_between(
    joined: Joined, federation: Federation
) -> None:
    """slurmdbd is away as long as it takes to see what an outage does, which a fixed minute would not show better.

    That is: both trainings and a job that waited when it went begin or go on, are seen to run by the queue alone, and
    end before it returns, so that what all three are charged can only come from accounting afterwards.
    """
    runs = {place.site.cluster.name: _launch(joined, place) for place in joined.places}
    for place in joined.places:
        run_dir = place.post.run_dir(runs[place.site.cluster.name].id)
        until(run_dir.attempt(1).steps.exists, within_s=200, what=f"a step at {place.site.cluster.name}", every_s=0.1)
    joined.a.site.set_partition("debug", "DOWN")
    short = _launch_command(joined.a, "sleep 4", partition="debug")
    until(lambda: _attempt(joined, short).state == "queued", within_s=60, what="the short job in the queue")
    federation.services.kill_slurmdbd()
    try:
        joined.a.site.set_partition("debug", "UP")
        until(lambda: _attempt(joined, short).state == "running", within_s=60, what="news by the queue alone")
        for place in joined.places:
            run_dir = place.post.run_dir(runs[place.site.cluster.name].id)
            until(run_dir.finished.exists, within_s=200, what=f"the end at {place.site.cluster.name}", every_s=0.1)
            job_id = _attempt(joined, runs[place.site.cluster.name]).job_id or ""
            until(lambda p=place, j=job_id: not p.site.run("squeue", "-h", "-j", j, check=False).strip(), what=job_id)
            seen = _attempt(joined, runs[place.site.cluster.name])
            assert seen.state is AttemptState.RUNNING, "nothing is ended on half an answer"
        assert _attempt(joined, short).ended_at is None
    finally:
        federation.services.start_slurmdbd()

    done = joined.hub.finish(short.id, within_s=60)
    assert done.state is RunState.FINISHED, done.reason
    ledger, sacct = joined.ledger_and_sacct(done, joined.a)
    assert ledger == sacct and all(ledger.values()), "the job that began and ended meanwhile"

    for place in joined.places:
        run = joined.hub.finish(runs[place.site.cluster.name].id, within_s=120)
        run_dir = place.post.run_dir(run.id)
        assert run.state is RunState.FINISHED, (run.reason, run_dir.attempt(1).log.read_text())
        assert [attempt.state for leg in run.legs for attempt in leg.attempts] == ["finished"]
        assert TrainResult.from_json(run_dir.result.read_bytes()).steps == STEPS
        ledger, sacct = joined.ledger_and_sacct(run, place)
        assert ledger == sacct and all(ledger.values()), place.site.cluster.name
        [job_id] = ledger
        elapsed = place.site.run("sacct", "-X", "-n", "-P", "-j", job_id, "-o", "ElapsedRaw,NNodes").strip()
        elapsed_s, nodes = elapsed.split("|")
        assert nodes == "2"
        assert ledger[job_id] == int(elapsed_s) * 2 * place.site.machine.accelerators_per_node


def _launch(joined: Joined, place: Place) -> Run:
    example = load_spec(ROOT / "examples" / "stdlib-lm" / "train.yaml")
    assert example.model is not None and example.model.shape is not None
    where = WhereSpec(
        machines=(place.site.machine.id,), nodes=2, wall_time_s=600, max_gpu_hours=5, account=place.site.account,
        partition=place.site.cluster.default_partition,
    )  # fmt: skip
    tokens = STEPS * BATCH * example.model.shape.context
    checkpoint = CheckpointSpec(every_steps=4)
    spec: TrainSpec = example.model_copy(
        update={"tokens": tokens, "batch": BATCH, "where": where, "checkpoint": checkpoint}
    )
    return place.post.launch(spec, place.award)


def _launch_command(place: Place, line: str, *, partition: str) -> Run:
    where = WhereSpec(
        machines=(place.site.machine.id,), nodes=1, wall_time_s=300, max_gpu_hours=5, account=place.site.account,
        partition=partition,
    )  # fmt: skip
    command = CommandSpec(run=line, accelerators_per_node=place.site.machine.accelerators_per_node)
    spec = TrainSpec(name="short", purpose="Begin and end.", command=command, where=where)
    with place.post.client() as client:
        code = client.upload_code(packed({"README": b"Nothing.\n"})).sha256
        return client.launch(spec, None, allocation=place.award.id, machine=place.site.machine.id, code_sha256=code)


def _attempt(joined: Joined, run: Run) -> Attempt:
    return joined.hub.run(run.id).legs[0].attempts[0]
