"""What is killed, and when: each blow strikes one part of a real Hanse with SIGKILL, at a moment that is waited for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import psutil

from hanse.contracts.job import JobReport, JobSpec
from hanse.contracts.run import Run
from hanse.contracts.rundir import AttemptDir, RunDir
from hanse.contracts.telemetry import StepSummary
from hanse.schedulers.local import LocalScheduler
from hanse.tickets.keys import public_key_b64
from tests.stack import Stack, kill
from tests.waiting import until

STEP_WITHIN_S = 90.0


@dataclass
class Scene:
    """One run on its way, and what it has survived so far."""

    stack: Stack
    run: Run
    number: int = 1
    """Of the attempt that is under way."""
    step: int = 0
    """The step at which the next blow falls."""
    survived: list[str] = field(default_factory=list)
    doubled: set[str] = field(default_factory=set)
    """Ids of jobs that were submitted a second time."""

    @property
    def run_dir(self) -> RunDir:
        return self.stack.run_dir(self.run.id)

    @property
    def attempt(self) -> AttemptDir:
        return self.run_dir.attempt(self.number)

    def steps_of(self, number: int) -> list[int]:
        """The steps that attempt `number` has written down."""
        path = self.run_dir.attempt(number).steps
        lines = path.read_text().splitlines() if path.exists() else []
        return [StepSummary.from_json(line).step for line in lines if line.endswith("}")]

    def reach(self, step: int) -> None:
        what = f"step {step} of attempt {self.number} of {self.run.id}, which has survived {self.survived}"
        until(lambda: self.steps_of(self.number)[-1:] >= [step], within_s=STEP_WITHIN_S, what=what, every_s=0.02)

    def processes(self, *words: str) -> list[psutil.Process]:
        """Processes of the attempt under way."""
        return self.stack.processes(str(self.run_dir.root), f"\0HANSE_ATTEMPT={self.number}", *words)

    def scheduler(self) -> LocalScheduler:
        return LocalScheduler(self.stack.home / "work" / "local", 2, 1)

    def jobs(self) -> dict[str, JobReport]:
        """What the scheduler says of all jobs of the run, by their ids."""
        names = {f"hanse-{attempt.id}": None for attempt in self.stack.run(self.run.id).legs[0].attempts}
        return {report.job_id: report for reports in self.scheduler().observe(names).values() for report in reports}


class Blow(NamedTuple):
    name: str
    strike: Callable[[Scene], None]
    ends_attempt: bool = True


def a_rank(number: int) -> Callable[[Scene], None]:
    def strike(scene: Scene) -> None:
        scene.reach(scene.step)
        kill(lambda: scene.processes("hanse.training.main", f"\0RANK={number}"), what=f"rank {number}")

    return strike


def a_rank_that_writes_a_checkpoint(scene: Scene) -> None:
    assert not list(scene.run_dir.checkpoints.glob("*.tmp")), "what is waited for is not there yet"
    until(
        lambda: list(scene.run_dir.checkpoints.glob("*.tmp")), within_s=STEP_WITHIN_S, what="a checkpoint half written",
        every_s=0.001,
    )  # fmt: skip
    kill(lambda: scene.processes("hanse.training.main", "\0RANK=0"), what="rank 0")


def the_tokeniser(scene: Scene) -> None:
    kill(lambda: scene.processes("hanse\0train\0--prepare"), what="the prepare step")


def the_node_launcher(scene: Scene) -> None:
    scene.reach(scene.step)
    kill(lambda: scene.processes("-m\0hanse\0train", "HANSE_NODE_RANK=1"), what="the launcher of node 1")


def the_batch_script(scene: Scene) -> None:
    scene.reach(scene.step)
    folder = f"{int(scene.attempt.claim.read_text()):08d}-"
    kill(lambda: scene.stack.processes("hanse.schedulers.local_job", folder), what="the job's supervisor")


def the_service(scene: Scene) -> None:
    scene.reach(scene.step)
    scene.stack.kill_service()
    scene.stack.start_service()


def the_agent(scene: Scene) -> None:
    scene.reach(scene.step)
    scene.stack.kill_agent()
    scene.stack.start_agent()


def service_and_agent_once_it_is_finished(scene: Scene) -> None:
    until(scene.run_dir.finished.exists, within_s=STEP_WITHIN_S, what="FINISHED", every_s=0.01)
    scene.stack.kill_agent()
    scene.stack.kill_service()
    scene.stack.start_service()
    scene.stack.start_agent()


def the_agent_before_it_hands_the_job_over(scene: Scene) -> None:
    _agent_that_dies(scene, "before")


def the_agent_after_it_hands_the_next_job_over(first: Callable[[Scene], None]) -> Callable[[Scene], None]:
    """The agent dies, then what `first` strikes; the agent comes back, hands over the job that follows, dies again."""

    def strike(scene: Scene) -> None:
        until(scene.attempt.claim.exists, within_s=STEP_WITHIN_S, what="the job's claim", every_s=0.02)
        scene.stack.kill_agent()
        first(scene)
        _agent_that_dies(scene, "after")

    return strike


def _agent_that_dies(scene: Scene, moment: str) -> None:
    scene.stack.kill_agent()
    scene.stack.start_agent(die=moment)
    assert scene.stack.agent is not None
    scene.stack.agent.wait(30)
    scene.stack.start_agent()


def doubled_submission(scene: Scene) -> None:
    """The agent dies right after handing the job over; the job is handed over a second time."""
    _agent_that_dies(scene, "after")
    scene.stack.kill_agent()
    job = JobSpec.from_json(scene.attempt.job.read_bytes())
    key = public_key_b64((scene.stack.home / "service" / "ticket.key").read_bytes())
    data = str(scene.stack.home / "work" / "data")
    scene.doubled.add(scene.scheduler().submit(job, scene.run_dir, ticket_key=key, data_dir=data))
    scene.stack.start_agent()


def fall(blows: Sequence[Blow], scene: Scene, steps: Sequence[int]) -> None:
    """One blow after another; the service has seen the end of an attempt before the next blow falls."""
    for blow, scene.step in zip(blows, steps, strict=True):
        blow.strike(scene)
        scene.survived.append(f"{blow.name} (attempt {scene.number}, step {scene.step})")
        if blow.ends_attempt:
            _await_next_attempt(scene, blow)


def _await_next_attempt(scene: Scene, blow: Blow) -> None:
    def ended() -> Run | None:
        run = scene.stack.run(scene.run.id)
        return run if len(run.legs[0].attempts) > scene.number or run.ended_at is not None else None

    what = f"another attempt after the death of the {blow.name}; survived: {scene.survived}"
    run = until(ended, within_s=STEP_WITHIN_S, what=what, every_s=0.2)
    states = [attempt.state for attempt in run.legs[0].attempts]
    assert states[scene.number - 1] == "failed", (blow.name, states)
    assert len(states) == scene.number + 1, (blow.name, states, run.reason)
    scene.number += 1
