"""A machine is drained while a training runs there: it goes on at the other cluster, from what the courier carried."""

from __future__ import annotations

import pytest

from hanse.contracts.run import Leg, Run, RunState
from hanse.contracts.spec import CheckpointSpec, TrainSpec, WhereSpec
from hanse.contracts.telemetry import LedgerEntry, StepSummary, TrainResult
from hanse.workloads.load import load_spec
from tests.federation.conftest import Joined, Place
from tests.stack import ROOT
from tests.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.torch, pytest.mark.timeout(400)]
STEPS, BATCH = 40, 8


def test_a_run_whose_machine_is_drained_goes_on_at_the_other_from_its_last_step_and_pays_both(joined: Joined) -> None:
    run = _launch(joined)
    here, there = (place.post.run_dir(run.id) for place in joined.places)
    until(lambda: len(_steps(joined.a, run)) >= 4, within_s=200, what="steps at the first machine", every_s=0.1)
    with joined.hub.client() as client:
        drained = client.drain(joined.a.site.machine.id, "the cooling is mended", move=True)
        assert drained.moving == 1
        try:
            done = joined.hub.finish(run.id, within_s=300)
        finally:
            client.undrain(joined.a.site.machine.id, "it is mended")
    told = "\n".join(log.read_text() for log in (here.attempt(1).log, there.attempt(1).log) if log.exists())
    assert done.state is RunState.FINISHED, (done.reason, told)
    assert [leg.machine for leg in done.legs] == [place.site.machine.id for place in joined.places]
    assert [attempt.state for leg in done.legs for attempt in leg.attempts] == ["stopped", "finished"]

    before, after = _steps(joined.a, run), _steps(joined.b, run)
    assert before == list(range(1, before[-1] + 1)) and 4 <= before[-1] < STEPS
    assert after == list(range(before[-1] + 1, STEPS + 1)), "not a step is lost or done twice"
    assert TrainResult.from_json(there.result.read_bytes()).steps == STEPS
    entries = [LedgerEntry.from_json(line) for line in there.ledger.read_text().splitlines()]
    assert sum(entry.samples for entry in entries) == STEPS * BATCH, "every sample once, over both machines"

    for place, leg in zip(joined.places, done.legs, strict=True):
        ledger, sacct = _paid(joined, done, leg, place)
        assert ledger == sacct and all(ledger.values()), leg.machine


def _launch(joined: Joined) -> Run:
    example = load_spec(ROOT / "examples" / "stdlib-lm" / "train.yaml")
    assert example.model is not None and example.model.shape is not None
    where = WhereSpec(
        machines=tuple(place.site.machine.id for place in joined.places), nodes=2, wall_time_s=600, max_gpu_hours=5
    )
    spec: TrainSpec = example.model_copy(
        update={
            "tokens": STEPS * BATCH * example.model.shape.context, "batch": BATCH, "where": where,
            "checkpoint": CheckpointSpec(every_steps=10),
        }
    )  # fmt: skip
    return joined.a.post.launch(spec, joined.a.award)


def _steps(place: Place, run: Run) -> list[int]:
    path = place.post.run_dir(run.id).attempt(1).steps
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [StepSummary.from_json(line).step for line in lines if line.endswith("\n")]


def _paid(joined: Joined, run: Run, leg: Leg, place: Place) -> tuple[dict[str, int], dict[str, int]]:
    """Accelerator-seconds by job of the leg: as debited, and as the cluster's accounting has them."""
    debited = {entry.attempt_id: entry.accelerator_seconds for entry in joined.record(run).usage}
    ledger = {attempt.job_id or "": debited.get(attempt.id, 0) for attempt in leg.attempts}
    held = place.site.held()
    return ledger, {job_id: held.get(job_id, 0) for job_id in ledger}
