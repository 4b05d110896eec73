"""A predicted step time with how far it may be off (`hanse.planning.error`), and what share of the peak it makes."""

from __future__ import annotations

from hanse.contracts.layout import Layout
from hanse.contracts.machine import Machine
from hanse.contracts.plan import Interval
from hanse.contracts.workload import Workload
from hanse.planning import error


def around(step_s: float, workload: Workload, machine: Machine, layout: Layout) -> Interval:
    return scaled(step_s, error.interval(workload, machine, layout))


def scaled(expected: float, factors: tuple[float, float]) -> Interval:
    low, high = factors
    return Interval(low=expected * low, expected=expected, high=expected * high)


def mfu(workload: Workload, machine: Machine, step_s: float, ranks: int) -> float:
    """Model FLOP/s over the peak of all ranks."""
    peak = machine.accelerator.peak_flops[workload.precision] * ranks
    return min(1.0, workload.flops_per_token * workload.tokens_per_step / step_s / peak)
