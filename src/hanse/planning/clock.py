"""From the time of a step to the time of the whole run, for many layouts at once."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.machine import Machine
from hanse.contracts.plan import Interval
from hanse.contracts.workload import Workload
from hanse.planning.options import Integers

Array = NDArray[np.float64]

STARTUP_S: Final = {"local": 15.0, "slurm": 60.0, "firecrest": 60.0}
"""Starting processes, importing torch, the rendezvous, the first batch; the queue is not in it."""


def wall_s(workload: Workload, machine: Machine, nodes: Integers, step_s: Array) -> Array:
    """Seconds from the first process's start to the end of the last step."""
    return np.asarray(step_s * workload.steps + STARTUP_S[machine.scheduler.kind] + 0.0 * nodes)


def wall_time(workload: Workload, machine: Machine, nodes: int, step_s: Interval) -> Interval:
    """The same of one layout, with its interval."""
    low, expected, high = wall_s(
        workload, machine, np.array([nodes] * 3), np.array([step_s.low, step_s.expected, step_s.high])
    )
    return Interval(low=float(low), expected=float(expected), high=float(high))
