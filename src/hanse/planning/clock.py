"""From the time of a step to the time of the whole run, for many layouts at once.

The run holds its nodes for its steps over the share of the time that is useful (`hanse.planning.goodput`), and starts
anew in each job that the partition's wall time cuts it into.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.machine import Machine
from hanse.contracts.plan import Goodput, Interval
from hanse.contracts.workload import Workload
from hanse.planning import bounds
from hanse.planning import goodput as goodput_room
from hanse.planning.groups import groups
from hanse.planning.options import Integers

Array = NDArray[np.float64]

STARTUP_S: Final = {"local": 15.0, "slurm": 60.0, "firecrest": 60.0}
"""Starting processes, importing torch, the rendezvous, the first batch; the queue is not in it."""
_LEAST_SHARE: Final = 1e-6
"""A run that fails as soon as it starts takes for ever; this keeps that finite."""
_SPREAD: Final = 0.0
"""Waiting for the slowest node is in the time of a step already, as published runs showed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Of one workload on one machine, in the named partition or the first that takes so many nodes."""

    workload: Workload
    machine: Machine
    partition: str | None = None

    def wall_s(self, nodes: Integers, step_s: Array) -> Array:
        """Seconds that each layout's run holds its nodes, from the first start to the end of the last step."""
        if not len(nodes):
            return np.empty(0)
        present, which = groups(nodes)
        kept = self._goodputs(present, 0.0)
        share, every_s = kept.share[which], kept.checkpoint_every_s[which]
        long = (step_s > every_s) & np.isfinite(step_s)
        if long.any():  # checkpoints come after whole steps
            share[long] = self._goodputs(nodes[long], step_s[long]).share
        return self._with_starts(
            step_s * self.workload.steps / np.maximum(share, _LEAST_SHARE), self._limits(present)[which]
        )

    def wall_time(self, nodes: int, step_s: Interval) -> Interval:
        """The same of one layout. How far off steps and failures are has nothing to do with one another."""
        share = self.goodput(nodes, step_s.expected).share
        useful = max(share.expected, _LEAST_SHARE)
        held_s = step_s.expected * self.workload.steps / useful
        shorter = np.hypot(np.log(step_s.expected / step_s.low), np.log(share.high / useful))
        longer = np.hypot(np.log(step_s.high / step_s.expected), np.log(useful / max(share.low, _LEAST_SHARE)))
        each = np.array([held_s * np.exp(-shorter), held_s, held_s * np.exp(longer)])
        low, expected, high = self._with_starts(each, np.repeat(self._limits(np.array([nodes])), 3))
        return Interval(low=float(low), expected=float(expected), high=float(high))

    def goodput(self, nodes: int, step_s: float) -> Goodput:
        return self._goodputs(np.array([nodes]), step_s).at(0)

    def _goodputs(self, nodes: Integers, step_s: Array | float) -> goodput_room.Goodputs:
        held = goodput_room.checkpoint_bytes(self.workload)
        return goodput_room.goodput(self.machine, nodes, held, step_time_s=step_s, spread=_SPREAD)

    def _limits(self, nodes: Integers) -> Array:
        """Longest job on so many nodes, without its start-up; infinite where nothing bounds it."""
        found = [bounds.queue_of(self.machine, self.partition, int(each)) for each in nodes]
        longest = [each.max_wall_time_s if each and each.max_wall_time_s else np.inf for each in found]
        return np.maximum(np.array(longest, dtype=np.float64) - STARTUP_S[self.machine.scheduler.kind], 1.0)

    def _with_starts(self, held_s: Array, limits_s: Array) -> Array:
        """With the start-up of each job."""
        bounded = np.isfinite(limits_s)
        jobs = np.maximum(np.ceil(np.divide(held_s, limits_s, out=np.zeros_like(held_s), where=bounded)), 1.0)
        return np.asarray(held_s + STARTUP_S[self.machine.scheduler.kind] * jobs)
