"""Telemetry of a step: a clock for its parts, one small all-gather, a row a rank, a summary by rank 0.

A step's time runs from the end of the step before, checkpoints left out, so that steps × step time is the time spent.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable
from typing import Final, TextIO

import torch
import torch.distributed as dist

from hanse.contracts.base import now
from hanse.contracts.telemetry import RankRow, Spread, StepSummary
from hanse.contracts.units import format_count, format_seconds
from hanse.training import compat
from hanse.training.boards import boards_of
from hanse.training.clock import Clock
from hanse.training.job import Job
from hanse.training.power import Nothing, Power
from hanse.training.say import say
from hanse.training.watch import Watch

LOG_EVERY_S: Final = 2.0
_FIELDS: Final = (
    "loss", "step_s", "data_s", "compute_s", "optimiser_s", "forward_s", "backward_s", "wait_s", "memory_bytes", "stop"
)  # fmt: skip

_NEXT: Final = {"data_s": 1, "compute_s": 2, "optimiser_s": 3}
"""Which of `watch.PARTS` begins where a part ends."""


class Meter:
    """`begin`, then `mark` each part, then `report`, then `end`."""

    def __init__(
        self, job: Job, device: torch.device, stop_asked: Callable[[], bool], *, steps: int | None = None,
        tokens_per_step: int | None = None, clock: Clock | None = None,
    ) -> None:  # fmt: skip
        """`steps` and `tokens_per_step` where a loop of the user's own, not train.yaml, has them."""
        self.job, self.device, self.stop_asked = job, device, stop_asked
        self.steps = job.steps if steps is None else steps
        self.tokens_per_step = job.tokens_per_step if tokens_per_step is None else tokens_per_step
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        job.attempt.root.mkdir(parents=True, exist_ok=True)
        self._rows = _append(job.attempt.root / job.attempt.rank_rows(self.rank).name)
        self._steps = _append(job.attempt.steps) if self.rank == 0 else None
        self.watch = Watch(job.attempt.root / "hung", job.spec.faults.hung_s)
        self._boards = boards_of(job) if self.rank == 0 else []
        self._clock = clock
        self._parts: dict[str, float] = {}
        self._wait_s = 0.0
        self._from: float | None = None
        self._logged_at = float("-inf")
        self._power = Power() if os.environ.get("LOCAL_RANK", "0") == "0" else Nothing()

    def begin(self, step: int) -> None:
        self._step = step
        self.watch.at(step, 0)
        self._mark = time.perf_counter()
        self._from = self._mark if self._from is None else self._from
        self._parts = {}
        every = self.job.spec.telemetry.communication_every
        if self._clock is not None and every and step % every == 0:
            self._clock.sample()

    def mark(self, part: str) -> None:
        compat.synchronize(self.device)
        instant = time.perf_counter()
        self._parts[part] = instant - self._mark
        self._mark = instant
        self.watch.at(self._step, _NEXT.get(part, 0))

    def report(self, step: int, *, loss: float, grad_norm: float, lr: float) -> tuple[float, bool]:
        """Share this step with all ranks; return the mean loss, and whether any rank was asked to stop."""
        self._step_s = self._mark - (self._from or 0.0)
        self._from = self._mark
        self._memory = compat.peak_memory_bytes(self.device)
        laps = self._clock.take() if self._clock is not None else {}
        self._within = {f"{part}_s": laps.get(part, 0.0) for part in ("forward", "backward")} if laps else {}
        self._communication = self._clock.sampled() if self._clock is not None else None
        apart = [self._within.get(name, math.nan) for name in ("forward_s", "backward_s")]
        mine = [
            loss, self._step_s, *self._parts.values(), *apart, self._wait_s, self._memory, float(self.stop_asked())
        ]  # fmt: skip
        sent = torch.tensor(mine, dtype=torch.float64, device=self.device)
        received = torch.empty(self.world * len(mine), dtype=torch.float64, device=self.device)
        compat.all_gather(received, sent)
        # Reading what came waits for it, so that the clock sees how long the others were awaited.
        rows = received.view(self.world, -1).T.tolist()
        self._wait_s = time.perf_counter() - self._mark
        columns = dict(zip(_FIELDS, rows, strict=True))
        self.watch.rest()
        mean_loss = statistics.fmean(columns["loss"])
        # A step that was left out for its loss has no number to show.
        if self._steps is not None and math.isfinite(mean_loss) and math.isfinite(grad_norm):
            self._summarise(step, columns, loss=mean_loss, grad_norm=grad_norm, lr=lr)
        return mean_loss, any(columns["stop"])

    def end(self, step: int, *, checkpoint_s: float, outer_s: float = 0.0) -> None:
        """Write this rank's row; `outer_s` went into meeting the run's other legs."""
        self._from = (self._from or 0.0) + checkpoint_s + outer_s
        row = RankRow(
            step=step, rank=self.rank, step_s=self._step_s, **self._parts, checkpoint_s=checkpoint_s,
            memory_bytes=self._memory, wait_s=self._wait_s, **self._within, communication_s=self._communication,
            power_w=self._power.watts(),
        )  # fmt: skip
        self._rows.write(row.model_dump_json() + "\n")

    def rest(self) -> None:
        """The step was given up; until the next begins, nobody is late."""
        self.watch.rest()
        if self._clock is not None:
            self._clock.drop()

    def close(self) -> None:
        self.watch.close()
        self._rows.close()
        if self._steps is not None:
            self._steps.close()
        for board in self._boards:
            board.close()

    def _summarise(
        self, step: int, columns: dict[str, list[float]], *, loss: float, grad_norm: float, lr: float
    ) -> None:
        job = self.job
        step_s = _spread(columns["step_s"])
        summary = StepSummary(
            attempt=job.attempt_number, step=step, at=now(), tokens=step * self.tokens_per_step, loss=loss,
            grad_norm=grad_norm, lr=lr, step_s=step_s, data_s=_spread(columns["data_s"]),
            compute_s=_spread(columns["compute_s"]), optimiser_s=_spread(columns["optimiser_s"]),
            memory_bytes=_spread(columns["memory_bytes"]), tokens_per_s=self.tokens_per_step / step_s.max,
            forward_s=_known(columns["forward_s"]), backward_s=_known(columns["backward_s"]),
            wait_s=_spread(columns["wait_s"]), communication_s=self._communication,
        )  # fmt: skip
        assert self._steps is not None
        self._steps.write(summary.model_dump_json() + "\n")
        for board in self._boards:
            board.write(summary)
        if time.monotonic() - self._logged_at >= LOG_EVERY_S or step == self.steps:
            self._logged_at = time.monotonic()
            say(
                f"step {step}/{self.steps}  loss {loss:.3f}  {format_seconds(step_s.median)}/step  "
                f"{format_count(round(summary.tokens_per_s))} tokens/s"
            )


def _spread(values: list[float]) -> Spread:
    return Spread(min=min(values), median=statistics.median(values), max=max(values))


def _known(values: list[float]) -> Spread | None:
    return None if any(math.isnan(each) for each in values) else _spread(values)


def _append(path: object) -> TextIO:
    # Line by line, so that whoever follows the file, or finds it after a crash, sees whole rows.
    return open(str(path), "a", buffering=1, encoding="utf-8")  # noqa: PTH123 - closed by Meter.close
