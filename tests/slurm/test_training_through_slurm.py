"""The demo's training, shortened, through the whole service and a real Slurm of two nodes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hanse.contracts.programme import Allocation
from hanse.contracts.run import Attempt, Run, RunState
from hanse.contracts.spec import CheckpointSpec, TrainSpec, WhereSpec
from hanse.contracts.telemetry import LedgerEntry, TrainResult
from hanse.schedulers.slurm import SlurmScheduler
from hanse.schedulers.slurm_text import expand_nodes
from hanse.workloads.load import load_spec
from tests.slurm_site import ACCOUNT, SlurmSite
from tests.stack import Stack, plan_of, running
from tests.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.torch, pytest.mark.timeout(300)]
STEPS, BATCH, CHECKPOINT_EVERY = 24, 16, 6
EXAMPLE = Path(__file__).parents[2] / "examples" / "stdlib-lm" / "train.yaml"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, slurm_site: SlurmSite) -> Iterator[Stack]:
    yield from running(tmp_path_factory.mktemp("hanse"), slurm_site.machine, slurm_site.environment)


@pytest.fixture(scope="module")
def allocation(stack: Stack) -> Allocation:
    return stack.grant(gpu_hours=100)


@pytest.fixture(scope="module")
def spec(slurm_site: SlurmSite) -> TrainSpec:
    example = load_spec(EXAMPLE)
    assert example.model is not None and example.model.shape is not None
    tokens = STEPS * BATCH * example.model.shape.context
    where = WhereSpec(machines=(slurm_site.machine.id,), nodes=2, wall_time_s=600, max_gpu_hours=5, account=ACCOUNT)
    checkpoint = CheckpointSpec(every_steps=CHECKPOINT_EVERY)
    return example.model_copy(update={"tokens": tokens, "batch": BATCH, "where": where, "checkpoint": checkpoint})


def test_the_demos_training_goes_on_after_its_batch_script_is_killed_and_is_charged_by_slurms_measure(
    stack: Stack, allocation: Allocation, spec: TrainSpec, slurm_site: SlurmSite
) -> None:
    run = stack.launch(spec, allocation)
    run_dir = stack.run_dir(run.id)
    until(lambda: list(run_dir.checkpoints.glob("step-????????")), within_s=200, what="a checkpoint", every_s=0.1)
    script = next(p for p in stack.processes(str(run_dir.root), "slurm_script") if "bash" in p.cmdline()[0])
    os.kill(script.pid, signal.SIGKILL)
    run = stack.finish(run.id, within_s=240)
    log = run_dir.attempt(len(run.legs[0].attempts)).log.read_text()
    assert run.state is RunState.FINISHED, (run.reason, log)
    assert [attempt.state for attempt in run.legs[0].attempts] == ["failed", "finished"], log

    result = TrainResult.from_json(run_dir.result.read_bytes())
    assert result.steps == STEPS
    entries = [LedgerEntry.from_json(line) for line in run_dir.ledger.read_text().splitlines()]
    assert [e.first_sample for e in entries] == [sum(b.samples for b in entries[:n]) for n in range(len(entries))]
    assert sum(entry.samples for entry in entries) == STEPS * BATCH
    assert {entry.attempt for entry in entries} == {1, 2}

    with stack.client() as client:
        record = client.record(run.id)
    assert record.telemetry and record.result == result
    charged = {entry.attempt_id: entry.accelerator_seconds for entry in record.usage}
    assert len(charged) == len(record.usage), "one entry an attempt"
    states = []
    for attempt in run.legs[0].attempts:
        measured = slurm_site.run(
            "sacct", "-X", "-P", "-n", "-j", attempt.job_id or "", "-o", "ElapsedRaw,NNodes,State"
        )
        elapsed_s, nodes, state = measured.strip().split("|")
        states.append(state)
        assert nodes == "2" and charged[attempt.id] == int(elapsed_s) * 2, measured
    assert states[0] != "COMPLETED" and states[1] == "COMPLETED"
    # What the scheduler's seam reports of these jobs is the same measure.
    jobs = SlurmScheduler(slurm_site.machine, slurm_site.environment).observe(
        {f"hanse-{attempt.id}": attempt.job_id for attempt in run.legs[0].attempts}
    )
    assert sum(charged.values()) == sum(job.accelerator_seconds for reports in jobs.values() for job in reports)


def test_a_run_whose_partition_loses_a_node_goes_on_with_one_and_reads_every_sample_once(
    stack: Stack, allocation: Allocation, spec: TrainSpec, slurm_site: SlurmSite
) -> None:
    where = spec.where.model_copy(update={"partition": "debug", "min_nodes": 1})
    asked = spec.model_copy(update={"where": where})
    on_two = plan_of(asked, stack.machine).model_copy(update={"partition": "debug"})
    with stack.client() as client:
        run = client.launch(asked, on_two, allocation=allocation.id, machine=stack.machine.id)
    run_dir, lost = stack.run_dir(run.id), ""
    try:
        until(lambda: list(run_dir.checkpoints.glob("step-????????")), within_s=200, what="a checkpoint", every_s=0.1)
        held = slurm_site.run("squeue", "-h", "-o", "%N", "-n", f"hanse-{_attempts(stack, run)[0].id}").strip()
        lost = expand_nodes(held)[-1]
        slurm_site.kill_node(lost)
        slurm_site.take_down(lost)
        run = stack.finish(run.id, within_s=240)
    finally:
        if lost:
            slurm_site.start_node(lost)
            slurm_site.resume(lost)
        slurm_site.wait_for_nodes()
    logs = "\n\n".join(path.read_text() for path in sorted(run_dir.root.glob("attempts/*/job.log")))
    assert run.state is RunState.FINISHED, (run.reason, logs)
    first, second = _attempts(stack, run)
    assert (first.state, first.raw_state, second.state) == ("failed", "NODE_FAIL", "finished"), logs
    assert len(first.nodes) == 2 and len(second.nodes) == 1 and lost not in second.nodes
    entries = [LedgerEntry.from_json(line) for line in run_dir.ledger.read_text().splitlines()]
    assert [e.first_sample for e in entries] == [sum(b.samples for b in entries[:n]) for n in range(len(entries))]
    assert sum(entry.samples for entry in entries) == STEPS * BATCH and {e.attempt for e in entries} == {1, 2}


def _attempts(stack: Stack, run: Run) -> tuple[Attempt, ...]:
    with stack.client() as client:
        return client.run(run.id).legs[0].attempts
