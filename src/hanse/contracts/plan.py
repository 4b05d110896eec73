"""The planner's answer: which layout, how long, how much, and why."""

from __future__ import annotations

from typing import Literal

from hanse.contracts.base import Bytes, Contract, Count, Fraction, Identifier, Positive, Seconds, Sha256, Timestamp
from hanse.contracts.layout import Layout
from hanse.contracts.workload import Workload


class Interval(Contract):
    """A prediction with its 80 % interval, in the unit of the field that holds it."""

    low: float
    expected: float
    high: float


StepPart = Literal["matmul", "attention", "memory-bound", "communication", "bubble", "optimiser", "launch", "recompute"]


class StepTime(Contract):
    """Seconds of one optimiser step, in parts an engineer can act on; exposed communication only."""

    parts: dict[StepPart, Seconds]
    total_s: Interval


class Memory(Contract):
    """Peak bytes on the fullest rank, by kind."""

    parameters: Bytes
    gradients: Bytes
    optimiser: Bytes
    activations: Bytes
    other: Bytes
    limit: Bytes

    @property
    def total(self) -> int:
        return self.parameters + self.gradients + self.optimiser + self.activations + self.other

    @property
    def fits(self) -> bool:
        return self.total <= self.limit


class Candidate(Contract):
    """One layout that was weighed, for the table of the best and the nearest misses."""

    layout: Layout
    step_time_s: float
    tokens_per_s: float
    memory_bytes: Bytes
    fits: bool
    note: str = ""


class Plan(Contract):
    """A layout of one workload on one machine with what is expected of it."""

    schema_version: Literal[1] = 1
    workload: Workload
    machine: Identifier
    partition: str | None = None
    layout: Layout
    step_time: StepTime
    memory: Memory
    tokens_per_s: Interval
    mfu: Fraction
    """Model FLOP/s over the peak of all accelerators used (over the calibrated best matmul on a CPU)."""
    steps: Positive
    wall_time_s: Interval
    accelerator_seconds: Count
    """Expected charge of the whole run."""
    why: tuple[str, ...]
    """Plain sentences: why this layout, what limits it, what would make it faster."""
    estimates: tuple[str, ...] = ()
    """Facts this plan rests on that nobody measured or published."""
    considered: tuple[Candidate, ...] = ()
    searched: Count = 0
    machine_digest: Sha256
    made_at: Timestamp
