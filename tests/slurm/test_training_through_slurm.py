"""The demo's training, shortened, through the whole service and a real Slurm of two nodes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hanse.contracts.programme import Allocation
from hanse.contracts.run import RunState
from hanse.contracts.spec import CheckpointSpec, TrainSpec, WhereSpec
from hanse.contracts.telemetry import LedgerEntry, TrainResult
from hanse.schedulers.slurm import SlurmScheduler
from hanse.workloads.load import load_spec
from tests.slurm_site import ACCOUNT, SlurmSite
from tests.stack import Stack, running
from tests.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.torch, pytest.mark.timeout(300)]
STEPS, BATCH = 40, 16
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
    return example.model_copy(
        update={
            "tokens": tokens, "batch": BATCH, "where": where, "checkpoint": CheckpointSpec(every_steps=10),
        }
    )  # fmt: skip


def ledger_of(stack: Stack, run_id: str) -> list[LedgerEntry]:
    return [LedgerEntry.from_json(line) for line in stack.run_dir(run_id).ledger.read_text().splitlines()]


def test_the_demos_training_runs_on_two_slurm_nodes_and_is_charged_by_slurms_measure(
    stack: Stack, allocation: Allocation, spec: TrainSpec, slurm_site: SlurmSite
) -> None:
    run = stack.finish(stack.launch(spec, allocation).id, within_s=240)
    log = stack.run_dir(run.id).attempt(1).log.read_text()
    assert run.state is RunState.FINISHED, (run.reason, log)
    result = TrainResult.from_json(stack.run_dir(run.id).result.read_bytes())
    assert result.steps == STEPS
    assert sum(entry.samples for entry in ledger_of(stack, run.id)) == STEPS * BATCH

    attempt = run.legs[0].attempts[0]
    measured = slurm_site.run("sacct", "-X", "-P", "-n", "-j", attempt.job_id or "", "-o", "ElapsedRaw,NNodes,State")
    elapsed_s, nodes, state = measured.strip().split("|")
    assert (nodes, state) == ("2", "COMPLETED")
    with stack.client() as client:
        record = client.record(run.id)
    assert [entry.accelerator_seconds for entry in record.usage] == [int(elapsed_s) * 2]
    assert record.telemetry and record.result == result


def test_a_batch_script_killed_under_slurm_is_followed_by_an_attempt_that_goes_on_from_the_checkpoint(
    stack: Stack, allocation: Allocation, spec: TrainSpec, slurm_site: SlurmSite
) -> None:
    run = stack.launch(spec, allocation)
    run_dir = stack.run_dir(run.id)
    until(lambda: list(run_dir.checkpoints.glob("step-????????")), within_s=200, what="a checkpoint", every_s=0.1)
    script = next(p for p in stack.processes(str(run_dir.root), "slurm_script") if "bash" in p.cmdline()[0])
    os.kill(script.pid, signal.SIGKILL)
    run = stack.finish(run.id, within_s=240)
    assert run.state is RunState.FINISHED, run.reason
    assert [attempt.state for attempt in run.legs[0].attempts] == ["failed", "finished"]
    entries = ledger_of(stack, run.id)
    assert [e.first_sample for e in entries] == [sum(b.samples for b in entries[:n]) for n in range(len(entries))]
    assert sum(entry.samples for entry in entries) == STEPS * BATCH
    jobs = SlurmScheduler(slurm_site.machine, slurm_site.environment).observe(
        {f"hanse-{attempt.id}": attempt.job_id for attempt in run.legs[0].attempts}
    )
    with stack.client() as client:
        charged = sum(entry.accelerator_seconds for entry in client.record(run.id).usage)
    assert charged == sum(report.accelerator_seconds for reports in jobs.values() for report in reports)
