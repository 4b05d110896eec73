"""A step whose loss is not finite or leaps: leave its batch out, go back to the last checkpoint, or stop.

The batch is judged before the optimiser steps, by numbers that are the same on every rank. Which batches were left out
is part of the position: a resumed run reads on where the data stand, and the ledger has what was trained on only.
"""

from __future__ import annotations

import math
import statistics
from typing import Final, Literal

import torch
from torch import Tensor

from hanse.contracts.errors import TrainingError
from hanse.training.job import Job
from hanse.training.parallelize import mean_over_ranks
from hanse.training.position import Position
from hanse.training.say import say

ENOUGH_LOSSES: Final = 8
"""So many losses are needed to tell a leap from the noise of a beginning."""

Policy = Literal["ignore", "skip", "roll-back", "stop"]


class RollBack(Exception):  # noqa: N818 - it is no error but a way back
    """Training goes back to the last checkpoint and leaves out the data up to `batch`, counted from 1."""

    def __init__(self, batch: int) -> None:
        super().__init__(batch)
        self.batch = batch

    def start(self, checkpoint: Position) -> Position:
        """Where training begins again after that checkpoint was loaded."""
        gap = (checkpoint.step + checkpoint.passed_over + 1, self.batch)
        return checkpoint.model_copy(
            update={"passed_over": self.batch - checkpoint.step, "left_out": (*checkpoint.left_out, gap)}
        )


class Faults:
    """The policy of train.yaml, applied; one object for an attempt, through all its ways back."""

    def __init__(self, job: Job, rank: int) -> None:
        self.spec, self.rank = job.spec.faults, rank
        self._count = 0
        self.begin(Position())

    @property
    def goes_back(self) -> bool:
        """Whether there must always be a checkpoint to go back to."""
        return "roll-back" in (self.spec.not_finite, self.spec.spike)

    def begin(self, start: Position) -> None:
        self.passed_over, self._left_out, self._recent = start.passed_over, start.left_out, start.recent

    def batch(self, step: int) -> int:
        """Which batch of the data, counted from 1, a step reads."""
        return step + self.passed_over

    def allows(self, step: int, loss: Tensor, grad_norm: float) -> bool:
        """Whether the optimiser may step; False leaves the batch out.

        Raises:
            RollBack: training has to go back.
            TrainingError: it has to stop.
        """
        mean = float(loss)
        if self.spec.spike != "ignore" or self.spec.not_finite != "stop":
            mean = float(mean_over_ranks(loss.detach().clone()))
        finite = math.isfinite(mean) and math.isfinite(grad_norm)
        policy: Policy = self.spec.not_finite
        if finite and not self._leaps(mean):
            self._recent = (*self._recent, mean)[-self.spec.spike_window :] if self.spec.spike != "ignore" else ()
            return True
        what = f"at step {step} the loss is {mean} and the gradients' norm {grad_norm}"
        if finite:
            policy = self.spec.spike
            what = f"at step {step} the loss leaps to {mean:.3f} from a mean of {statistics.fmean(self._recent):.3f}"
        self._count += 1
        if policy == "stop" or self._count > self.spec.most:
            often = f"; {self._count - 1} batches were left out before it" if self._count > 1 else ""
            raise TrainingError(
                what + often, fix="Lower optimizer.lr, lengthen schedule.warmup, or look at the data of this step."
            )
        batch = self.batch(step)
        if self.rank == 0:
            then = "going back to the last checkpoint" if policy == "roll-back" else "its batch is left out"
            say(f"FAULT {what}: {then} (faults in train.yaml, {self._count} of at most {self.spec.most})")
        if policy == "roll-back":
            raise RollBack(batch)
        self._left_out = (*self._left_out, (batch, batch))
        return False

    def leave_out(self, first_step: int, last_step: int) -> None:
        """A leg of several has passed these steps over, to go on where the others are."""
        self._left_out = (*self._left_out, (self.batch(first_step), self.batch(last_step)))

    def after(self, position: Position) -> Position:
        """The position with what a checkpoint must know of faults."""
        return position.model_copy(
            update={"passed_over": self.passed_over, "left_out": self._left_out, "recent": self._recent}
        )

    def _leaps(self, loss: float) -> bool:
        if self.spec.spike == "ignore" or len(self._recent) < min(ENOUGH_LOSSES, self.spec.spike_window):
            return False
        spread = max(statistics.pstdev(self._recent), torch.finfo(torch.float32).eps)
        return loss > statistics.fmean(self._recent) + self.spec.spike_deviations * spread
