"""The planner's answer: which layout, how long, how much, and why."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from hanse.contracts.base import Bytes, Contract, Count, Fraction, Identifier, Positive, Seconds, Sha256, Timestamp
from hanse.contracts.layout import Layout
from hanse.contracts.workload import Workload


class Interval(Contract):
    """A prediction with its 80 % interval, in the unit of the field that holds it."""

    low: float
    expected: float
    high: float


StepPart = Literal[
    "matmul", "attention", "memory-bound", "head", "recompute", "launch",
    "tensor-parallel", "context-parallel", "expert-parallel", "pipeline", "sharding", "data-parallel", "communication",
    "bubble", "imbalance", "optimiser",
]  # fmt: skip
"""head: output projection, loss and embedding. sharding: gathers and scatters of ZeRO-3. pipeline: sending between
stages. imbalance: waiting for the slowest stage. communication: all of it, where it is not told apart."""

COMMUNICATION: Final[tuple[StepPart, ...]] = (
    "tensor-parallel", "context-parallel", "expert-parallel", "pipeline", "sharding", "data-parallel", "communication",
)  # fmt: skip


class StepTime(Contract):
    """Seconds of one optimiser step, in parts an engineer can act on; exposed communication only."""

    parts: dict[StepPart, Seconds]
    total_s: Interval
    hidden: dict[StepPart, Seconds] = Field(default_factory=dict)
    """Communication that goes on behind computation and adds nothing to the total."""

    @property
    def communication_s(self) -> float:
        return sum(self.parts.get(part, 0.0) for part in COMMUNICATION)


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


class Goodput(Contract):
    """What failures, checkpoints and restarts leave of the time a job holds its nodes (Young 1974, Daly 2006)."""

    failures_per_day: Interval
    checkpoint_every_s: Seconds
    """The interval that loses least."""
    checkpoint_s: Seconds
    """Training stands still so long for one."""
    restart_s: Seconds
    stragglers: Fraction
    """Share of a step lost to waiting for the slowest of many nodes."""
    share: Interval
    """Useful over held time, in [0, 1]."""


class Expense(Contract):
    """What the whole run takes beside accelerator-seconds; None: not known for this machine."""

    unit: str | None = None
    """The site's own billing unit."""
    amount: Interval | None = None
    energy_joules: Interval | None = None
    co2_grams: Interval | None = None


class Lever(Contract):
    """One change and what it would make of this plan."""

    change: str
    """'with twice the batch', 'on lumi-g'."""
    step_time_s: Seconds
    wall_time_s: Seconds
    accelerator_seconds: Count
    layout: Layout


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
    mfu_range: Interval | None = None
    """As the step time's; None in plans made before it was told."""
    memory_range: Interval | None = None
    """Bytes on the fullest rank as published and counted peaks lay around what was said of them."""
    steps: Positive
    wall_time_s: Interval
    accelerator_seconds: Count
    """Expected charge of the whole run."""
    why: tuple[str, ...]
    """Plain sentences: why this layout, what limits it, what would make it faster."""
    goodput: Goodput | None = None
    expense: Expense | None = None
    memory_by_stage: tuple[Memory, ...] = ()
    """Of each pipeline rank, in order; empty without a pipeline."""
    levers: tuple[Lever, ...] = ()
    outside: tuple[str, ...] = ()
    """Where this plan leaves what the planner was validated on."""
    estimates: tuple[str, ...] = ()
    """Facts this plan rests on that nobody measured or published."""
    considered: tuple[Candidate, ...] = ()
    searched: Count = 0
    machine_digest: Sha256
    made_at: Timestamp
