"""Ranks that stay: processes of one gloo group that train a few steps whenever they are told to.

Two ways of training, or two environments, can so take turns every few seconds instead of every few minutes.
`python -m benchmarks.ranks` is one rank: a line of JSON in says what to train, a line out what each step took. Beside
wall time that is CPU time of the rank with all its threads, which neighbours on the machine disturb far less.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from benchmarks.trainings import RANKS, free_port, step_times_s, variables
from hanse.contracts.rundir import RunDir

WARM_UP_STEPS = 3


class Turn(NamedTuple):
    """Medians over the steps of one turn, after `WARM_UP_STEPS`."""

    step_s: float
    """Of the slowest rank, wall time."""
    cpu_s: float
    """Mean over the ranks."""


class Ranks:
    """`RANKS` such processes, with the threads and the network that Hanse's launcher gives its ranks."""

    def __init__(self, environment: Mapping[str, str] | None = None, *, without: Sequence[str] = ()) -> None:
        self._attempts: dict[Path, int] = {}
        shared = {
            **os.environ, "OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // RANKS)),
            "GLOO_SOCKET_IFNAME": "lo", "WORLD_SIZE": str(RANKS), "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free_port()), **(environment or {}),
        }  # fmt: skip
        shared = {name: value for name, value in shared.items() if name not in without}
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.ranks"], env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for rank in range(RANKS)
        ]  # fmt: skip

    def hanse(self, run: RunDir, steps: int) -> Turn:
        """Go on with `run` by Hanse's trainer, all of it: checkpoint read, loop, telemetry, checkpoint and ledger."""
        attempt = self._attempts[run.root] = self._attempts.get(run.root, 0) + 1
        answers = self._tell({"how": "hanse", "run": str(run.root), "steps": steps, "attempt": attempt})
        return _turn(step_times_s(run, attempt), [each["cpu_s"] for each in answers])

    def plain(self, run: RunDir, steps: int) -> Turn:
        """Train the same model on the same data by the plain loop."""
        answers = self._tell({"how": "plain", "run": str(run.root), "steps": steps, "attempt": 1})
        step_s = [max(each) for each in zip(*(each["step_s"] for each in answers), strict=True)]
        return _turn(step_s, [each["cpu_s"] for each in answers])

    def _tell(self, order: dict[str, Any]) -> list[dict[str, list[float]]]:
        for each in self._processes:
            assert each.stdin is not None
            each.stdin.write(json.dumps(order) + "\n")
            each.stdin.flush()
        lines = [each.stdout.readline() if each.stdout else "" for each in self._processes]
        if not all(lines):
            raise RuntimeError(f"a rank ended while it did {order}")
        return [json.loads(line) for line in lines]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for each in self._processes:
            if each.stdin is not None:
                each.stdin.close()
            try:
                each.wait(10)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()


def _turn(step_s: Sequence[float], cpu_s: Sequence[Sequence[float]]) -> Turn:
    return Turn(
        statistics.median(step_s[WARM_UP_STEPS:]),
        statistics.fmean(statistics.median(each[WARM_UP_STEPS:]) for each in cpu_s),
    )


def _rank() -> None:
    import torch
    import torch.distributed as dist

    from benchmarks.plain import train
    from hanse.training.job import Job
    from hanse.training.main import work
    from hanse.training.parent import die_with_parent

    die_with_parent()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the trainer says goes nowhere
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    for line in sys.stdin:
        order = json.loads(line)
        job = Job.from_environment(
            variables(RunDir(Path(order["run"])), node=rank, nodes=RANKS, port=0, attempt=order["attempt"])
        )
        clocks = Clocks(order["steps"])
        if order["how"] == "plain":
            train(job, order["steps"], clocks.at_step)
        else:
            work(job, torch.device("cpu"), clocks.at_step)
        answers.write(json.dumps({"step_s": clocks.between(0), "cpu_s": clocks.between(1)}) + "\n")
    dist.destroy_process_group()


class Clocks:
    """Wall and CPU clock, read where every step calls it; it answers True at the last one."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.read: list[tuple[float, float]] = []

    def at_step(self) -> bool:
        self.read.append((time.perf_counter(), time.process_time()))
        return len(self.read) >= self.steps

    def between(self, which: int) -> list[float]:
        return [after[which] - before[which] for before, after in pairwise(self.read)]


if __name__ == "__main__":
    _rank()
