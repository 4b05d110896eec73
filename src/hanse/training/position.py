"""How far a run has come: what a checkpoint knows beside weights and optimiser state."""

from __future__ import annotations

from hanse.contracts.base import Contract, Count, Positive, Seconds


class Position(Contract):
    """After `step` steps. The data position follows from it: (step + passed_over) × batch samples of the order."""

    step: Count = 0
    loss: float = 0.0
    """Of that step."""
    training_s: Seconds = 0.0
    """Time in steps that count, over all attempts."""
    passed_over: Count = 0
    """Batches of data that ways back to a checkpoint have left out: step n reads batch n + passed_over."""
    left_out: tuple[tuple[Positive, Positive], ...] = ()
    """First and last of batches, counted from 1, that were not trained on."""
    recent: tuple[float, ...] = ()
    """Losses that the next one is held against."""
