"""How far a predicted step time may be off, and what share of the peak it makes."""

from __future__ import annotations

from typing import Final

import numpy as np

from hanse.contracts.machine import Machine
from hanse.contracts.plan import Interval
from hanse.contracts.workload import Workload

_FORMULAS: Final = (0.85, 1.35)
"""80 % interval of measured over predicted where rates are published and not measured."""
_CALIBRATED_SPREAD: Final = 0.12
"""Relative half-width of what the formulas themselves add to a calibration's spread."""


def factors(machine: Machine) -> tuple[float, float]:
    if machine.calibration is None:
        return _FORMULAS
    half = min(0.6, float(np.hypot(machine.calibration.spread, _CALIBRATED_SPREAD)))
    return 1 - half, 1 + half


def around(step_s: float, machine: Machine) -> Interval:
    low, high = factors(machine)
    return Interval(low=step_s * low, expected=step_s, high=step_s * high)


def mfu(workload: Workload, machine: Machine, step_s: float, ranks: int) -> float:
    """Model FLOP/s over the peak of all ranks."""
    peak = machine.accelerator.peak_flops[workload.precision] * ranks
    return min(1.0, workload.flops_per_token * workload.tokens_per_step / step_s / peak)
