"""Whatever is killed with SIGKILL, the run goes on from its last checkpoint, ends as it would have, and costs once."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from hanse.contracts.job import JobReport
from hanse.contracts.programme import Allocation
from hanse.contracts.run import Run, RunState
from hanse.contracts.rundir import RunDir
from hanse.contracts.spec import TrainSpec
from hanse.contracts.telemetry import LedgerEntry, StepSummary, TrainResult
from hanse.schedulers.local import LocalScheduler
from tests.crash.conftest import CHECKPOINT_EVERY, STEPS
from tests.stack import Stack, kill
from tests.waiting import until

pytestmark = [pytest.mark.crash, pytest.mark.torch, pytest.mark.timeout(180)]
SEED = 20261122
Victim = Callable[[Stack, RunDir, int], None]


def steps_of(run_dir: RunDir, attempt: int) -> list[int]:
    path = run_dir.attempt(attempt).steps
    lines = path.read_text().splitlines() if path.exists() else []
    return [StepSummary.from_json(line).step for line in lines if line.endswith("}")]


def reach(run_dir: RunDir, step: int) -> None:
    until(lambda: steps_of(run_dir, 1)[-1:] >= [step], within_s=90, what=f"step {step}", every_s=0.02)


def a_rank(number: int) -> Victim:
    def strike(stack: Stack, run_dir: RunDir, step: int) -> None:
        reach(run_dir, step)
        kill(lambda: stack.processes(str(run_dir.root), "hanse.training.main", f"\0RANK={number}"), what="a rank")

    return strike


def the_node_launcher(stack: Stack, run_dir: RunDir, step: int) -> None:
    reach(run_dir, step)
    launcher = (str(run_dir.root), "-m\0hanse\0train", "HANSE_NODE_RANK=1")
    kill(lambda: stack.processes(*launcher), what="the launcher of node 1")


def the_batch_script(stack: Stack, run_dir: RunDir, step: int) -> None:
    reach(run_dir, step)
    job = run_dir.attempt(1).claim.read_text().strip()
    kill(lambda: stack.processes("hanse.schedulers.local_job", f"{int(job):08d}-"), what="the job's supervisor")


def the_service(stack: Stack, run_dir: RunDir, step: int) -> None:
    reach(run_dir, step)
    stack.kill_service()
    stack.start_service()


def the_agent(stack: Stack, run_dir: RunDir, step: int) -> None:
    reach(run_dir, step)
    stack.kill_agent()
    stack.start_agent()


def the_tokeniser(stack: Stack, run_dir: RunDir, step: int) -> None:
    kill(lambda: stack.processes(str(run_dir.root), "hanse\0train\0--prepare"), what="the prepare step")


def a_rank_that_writes_a_checkpoint(stack: Stack, run_dir: RunDir, step: int) -> None:
    until(lambda: list(run_dir.checkpoints.glob("*.tmp")), within_s=90, what="a checkpoint", every_s=0.001)
    kill(lambda: stack.processes(str(run_dir.root), "hanse.training.main", "\0RANK=0"), what="rank 0")


def service_and_agent_once_it_is_finished(stack: Stack, run_dir: RunDir, step: int) -> None:
    until(run_dir.finished.exists, within_s=90, what="FINISHED", every_s=0.01)
    stack.kill_agent()
    stack.kill_service()
    stack.start_service()
    stack.start_agent()


POINTS: dict[str, tuple[Victim, int]] = {
    "rank 0": (a_rank(0), 2),
    "rank 1": (a_rank(1), 2),
    "node launcher": (the_node_launcher, 2),
    "batch script": (the_batch_script, 2),
    "tokeniser": (the_tokeniser, 2),
    "rank writing a checkpoint": (a_rank_that_writes_a_checkpoint, 2),
    "service": (the_service, 1),
    "agent": (the_agent, 1),
    "service and agent at the end": (service_and_agent_once_it_is_finished, 1),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_run_survives_the_death_of(
    point: str, stack: Stack, allocation: Allocation, spec: TrainSpec, undisturbed: tuple[Run, TrainResult]
) -> None:
    strike, attempts = POINTS[point]
    step = random.Random(f"{SEED} {point}").randrange(CHECKPOINT_EVERY + 1, STEPS - 15)
    run = stack.launch(spec, allocation)
    strike(stack, stack.run_dir(run.id), step)
    assert_whole(stack, stack.finish(run.id), undisturbed[1], attempts=attempts)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_agent_killed_around_its_submission_neither_loses_nor_doubles_the_job(
    moment: str, stack: Stack, allocation: Allocation, spec: TrainSpec, undisturbed: tuple[Run, TrainResult]
) -> None:
    stack.kill_agent()
    run = stack.launch(spec, allocation)
    stack.start_agent(die=moment)
    assert stack.agent is not None
    stack.agent.wait(30)
    stack.start_agent()
    assert_whole(stack, stack.finish(run.id), undisturbed[1], attempts=1)


def test_of_a_doubled_submission_one_job_trains_and_the_other_is_recorded(
    stack: Stack, allocation: Allocation, spec: TrainSpec, undisturbed: tuple[Run, TrainResult]
) -> None:
    stack.kill_agent()
    run = stack.launch(spec, allocation)
    stack.start_agent(die="after")
    assert stack.agent is not None
    stack.agent.wait(30)
    run_dir = stack.run_dir(run.id)
    first = jobs_of(stack, run)[0]
    second = LocalScheduler(stack.home / "work" / "local", 2, 1).submit(
        job_of(run_dir), run_dir, ticket_key=_ticket_key(stack), data_dir=str(stack.home / "work" / "data")
    )
    stack.start_agent()
    until(lambda: jobs_by_id(stack, run)[second].state == "completed", within_s=90, what="the doubled job's end")
    run = stack.finish(run.id)
    assert run_dir.attempt(1).claim.read_text().strip() == first.job_id
    assert run_dir.attempt(1).doubled(second).exists()
    assert_whole(stack, run, undisturbed[1], attempts=1, doubled={second})


def assert_whole(
    stack: Stack, run: Run, undisturbed: TrainResult, *, attempts: int, doubled: frozenset[str] | set[str] = frozenset()
) -> None:
    run_dir = stack.run_dir(run.id)
    logs = "\n".join(path.read_text() for path in sorted(run_dir.root.glob("attempts/*/job.log")))
    assert run.state is RunState.FINISHED, (run.reason, logs)
    tried = run.legs[0].attempts
    assert len(tried) == attempts, ([(a.state, a.reason) for a in tried], logs)

    ledger = [LedgerEntry.from_json(line) for line in run_dir.ledger.read_text().splitlines()]
    assert [entry.first_sample for entry in ledger] == [
        sum(before.samples for before in ledger[:n]) for n in range(len(ledger))
    ], "samples follow on one another without gap or repetition"
    assert sum(entry.samples for entry in ledger) == STEPS * 16
    result = TrainResult.from_json(run_dir.result.read_bytes())
    assert result.steps == STEPS
    assert result.final_loss == pytest.approx(undisturbed.final_loss, rel=1e-4)
    if attempts == 2 and (before := steps_of(run_dir, 1)):
        resumed = steps_of(run_dir, 2)
        assert resumed[0] - 1 >= before[-1] - before[-1] % CHECKPOINT_EVERY - CHECKPOINT_EVERY, (
            "from a recent checkpoint"
        )
        assert (resumed[0] - 1) % CHECKPOINT_EVERY == 0
        assert resumed == list(range(resumed[0], STEPS + 1))

    with stack.client() as client:
        record = client.record(run.id)
    assert sorted(entry.attempt_id or "" for entry in record.usage) == sorted(a.id for a in tried), "one entry each"
    jobs = jobs_by_id(stack, run)
    assert sum(entry.accelerator_seconds for entry in record.usage) == sum(j.accelerator_seconds for j in jobs.values())
    assert len(jobs) == attempts + len(doubled), "one job an attempt"
    assert record.result is not None
    assert stack.processes(str(run_dir.root), "hanse.training.main") == [], "nothing is left behind"


def jobs_of(stack: Stack, run: Run) -> list[JobReport]:
    """What the scheduler says of all jobs of a run."""
    names = {f"hanse-{attempt.id}": None for attempt in stack.run(run.id).legs[0].attempts}
    reports = LocalScheduler(stack.home / "work" / "local", 2, 1).observe(names)
    return [report for name in names for report in reports[name]]


def jobs_by_id(stack: Stack, run: Run) -> dict[str, JobReport]:
    return {report.job_id: report for report in jobs_of(stack, run)}


def job_of(run_dir: RunDir):  # type: ignore[no-untyped-def]
    from hanse.contracts.job import JobSpec

    return JobSpec.from_json(run_dir.attempt(1).job.read_bytes())


def _ticket_key(stack: Stack) -> str:
    from hanse.tickets.keys import public_key_b64

    return public_key_b64((stack.home / "service" / "ticket.key").read_bytes())
