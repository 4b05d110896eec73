"""Answers over many node counts and machines: scaling tables and what dominates what."""

from __future__ import annotations

from typing import Literal

from hanse.contracts.base import Contract, Count, Identifier, Positive
from hanse.contracts.layout import Layout
from hanse.contracts.plan import Interval


class Option(Contract):
    """The best layout of a workload on so many nodes of one machine."""

    machine: Identifier
    nodes: Positive
    accelerators: Positive
    layout: Layout
    global_batch: Positive
    step_time_s: Interval
    tokens_per_s: Interval
    mfu: float
    wall_time_s: Interval
    """Of the whole run, failures and checkpoints included."""
    accelerator_seconds: Count
    energy_joules: float | None = None
    best: bool = False
    """Nothing else is both sooner and cheaper (on the Pareto front of wall time and accelerator-seconds)."""


class ScalingRow(Contract):
    """One line of a scaling table; efficiency and speed-up are against the table's first row."""

    option: Option
    speed_up: float
    efficiency: float


class ScalingTable(Contract):
    """strong: the same batch on more nodes. weak: the batch grows with the nodes."""

    kind: Literal["strong", "weak"]
    machine: Identifier
    rows: tuple[ScalingRow, ...]
