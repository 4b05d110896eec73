"""How far a predicted step time may be off, and what share of the peak it makes.

Learnt from published runs (`hanse.planning.error`); on a calibrated machine from the repeats of its measurements.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from hanse.contracts.layout import Layout
from hanse.contracts.machine import Machine
from hanse.contracts.plan import Interval
from hanse.contracts.workload import Workload
from hanse.planning import error

_CALIBRATED_SPREAD: Final = 0.12
"""Relative half-width of what the formulas themselves add to a calibration's spread."""


def factors(workload: Workload, machine: Machine, layout: Layout) -> tuple[float, float]:
    """80 % interval of measured over predicted."""
    if machine.calibration is None:
        return error.interval(workload, machine, layout)
    half = min(0.6, float(np.hypot(machine.calibration.spread, _CALIBRATED_SPREAD)))
    return 1 - half, 1 + half


def around(step_s: float, workload: Workload, machine: Machine, layout: Layout) -> Interval:
    low, high = factors(workload, machine, layout)
    return Interval(low=step_s * low, expected=step_s, high=step_s * high)


def mfu(workload: Workload, machine: Machine, step_s: float, ranks: int) -> float:
    """Model FLOP/s over the peak of all ranks."""
    peak = machine.accelerator.peak_flops[workload.precision] * ranks
    return min(1.0, workload.flops_per_token * workload.tokens_per_step / step_s / peak)
