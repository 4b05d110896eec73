"""Whatever is killed with SIGKILL, the run goes on from its last checkpoint, ends as it would have, and costs once.

Two runs suffer all of it, blow upon blow: an attempt costs a dozen seconds of starting PyTorch, and a run that has been
struck before must survive the next death as well. A blow that ends an attempt makes another one; others make none.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

import pytest

from hanse.contracts.programme import Allocation
from hanse.contracts.run import RunState
from hanse.contracts.spec import TrainSpec
from hanse.contracts.telemetry import LedgerEntry, TrainResult
from tests.crash import blows
from tests.crash.blows import Blow, Scene
from tests.crash.conftest import BATCH, CHECKPOINT_EVERY, STEPS
from tests.stack import Stack

pytestmark = [pytest.mark.crash, pytest.mark.torch, pytest.mark.timeout(600)]
SEED = 20261122

STORIES: dict[str, tuple[Blow, ...]] = {
    "agent before submission, tokeniser, agent after submission, checkpoint, rank 0, agent, both at the end": (
        Blow("agent about to hand the job over", blows.the_agent_before_it_hands_the_job_over, ends_attempt=False),
        Blow(
            "tokeniser, and of the agent when it had handed over the next job",
            blows.the_agent_after_it_hands_the_next_job_over(blows.the_tokeniser),
        ),
        Blow("rank that writes a checkpoint", blows.a_rank_that_writes_a_checkpoint),
        Blow("rank 0", blows.a_rank(0)),
        Blow("agent", blows.the_agent, ends_attempt=False),
        Blow("service and agent at the end", blows.service_and_agent_once_it_is_finished, ends_attempt=False),
    ),
    "doubled submission, rank 1, node launcher, batch script, service": (
        Blow("agent that had handed the job over, and a second job", blows.doubled_submission, ends_attempt=False),
        Blow("rank 1", blows.a_rank(1)),
        Blow("node launcher", blows.the_node_launcher),
        Blow("batch script", blows.the_batch_script),
        Blow("service", blows.the_service, ends_attempt=False),
    ),
}


@pytest.fixture
def scene(stack: Stack, allocation: Allocation, spec: TrainSpec) -> Iterator[Scene]:
    """A run that no agent has seen yet. One that was not survived is taken out of the way of the next."""
    stack.kill_agent()
    made = Scene(stack, stack.launch(spec, allocation))
    yield made
    if stack.run(made.run.id).ended_at is None:
        stack.kill_agent()
        stack.start_agent()
        with stack.client() as client:
            client.cancel(made.run.id)
        stack.finish(made.run.id)


@pytest.mark.parametrize("story", STORIES)
def test_a_run_survives_one_death_after_another(story: str, undisturbed: TrainResult, scene: Scene) -> None:
    told = STORIES[story]
    blows.fall(told, scene, steps=steps_for(story, told))
    scene.run = scene.stack.finish(scene.run.id)
    assert_whole(scene, undisturbed, attempts=1 + sum(blow.ends_attempt for blow in told))


def steps_for(story: str, told: tuple[Blow, ...]) -> list[int]:
    """A step for each blow, seeded: each attempt gets further than the one before, and leaves room for the next."""
    chance = random.Random(f"{SEED} {story}")
    share = (STEPS - CHECKPOINT_EVERY - 15) // len(told)
    assert share > CHECKPOINT_EVERY // 2
    return [CHECKPOINT_EVERY + 1 + number * share + chance.randrange(share) for number in range(len(told))]


def assert_whole(scene: Scene, undisturbed: TrainResult, *, attempts: int) -> None:
    run, run_dir, after = scene.run, scene.run_dir, f"after the deaths of: {'; '.join(scene.survived)}"
    logs = "\n".join(path.read_text() for path in sorted(run_dir.root.glob("attempts/*/job.log")))
    assert run.state is RunState.FINISHED, (after, run.reason, logs)
    tried = run.legs[0].attempts
    assert [attempt.state for attempt in tried] == ["failed"] * (attempts - 1) + ["finished"], (
        after, [(a.state, a.reason) for a in tried], logs,
    )  # fmt: skip

    ledger = [LedgerEntry.from_json(line) for line in run_dir.ledger.read_text().splitlines()]
    assert [entry.first_sample for entry in ledger] == [
        sum(before.samples for before in ledger[:n]) for n in range(len(ledger))
    ], f"samples follow on one another without gap or repetition {after}"
    assert sum(entry.samples for entry in ledger) == STEPS * BATCH, after
    result = TrainResult.from_json(run_dir.result.read_bytes())
    assert result.steps == STEPS, after
    assert result.final_loss == pytest.approx(undisturbed.final_loss, rel=1e-4), after
    assert_resumed(scene, attempts)

    with scene.stack.client() as client:
        record = client.record(run.id)
    assert sorted(entry.attempt_id or "" for entry in record.usage) == sorted(a.id for a in tried), (
        f"one entry for each attempt {after}"
    )
    jobs = scene.jobs()
    held = sum(job.accelerator_seconds for job in jobs.values())
    assert sum(entry.accelerator_seconds for entry in record.usage) == held, after
    assert len(jobs) == attempts + len(scene.doubled), f"one job for each attempt {after}"
    for job_id in scene.doubled:
        assert jobs[job_id].state == "completed" and run_dir.attempt(1).doubled(job_id).exists(), after
        assert run_dir.attempt(1).claim.read_text().strip() == min(jobs, key=int), "the first one trained"
    assert record.result is not None
    assert scene.stack.processes(str(run_dir.root), "hanse.training.main") == [], f"nothing is left behind {after}"


def assert_resumed(scene: Scene, attempts: int) -> None:
    """Each attempt went on from a recent checkpoint of those before it, and the last one went to the end."""
    done = {number: scene.steps_of(number) for number in range(1, attempts + 1)}
    trained = [number for number, steps in done.items() if steps]
    for number in trained:
        first, last = done[number][0], done[number][-1]
        assert done[number] == list(range(first, last + 1)), f"attempt {number} leaves out no step"
        assert (first - 1) % CHECKPOINT_EVERY == 0, f"attempt {number} begins at a checkpoint"
    for before, after in pairwise(trained):
        last, resumed = done[before][-1], done[after][0] - 1
        assert resumed >= last - last % CHECKPOINT_EVERY - CHECKPOINT_EVERY, (
            f"attempt {after} goes on from {resumed}; attempt {before} came to {last}; survived: {scene.survived}"
        )
    assert trained[-1] == attempts and done[attempts][-1] == STEPS
