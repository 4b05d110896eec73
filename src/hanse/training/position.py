"""How far a run has come: what a checkpoint knows beside weights and optimiser state."""

from __future__ import annotations

from hanse.contracts.base import Contract, Count, Seconds


class Position(Contract):
    """After `step` steps. The data position follows from it: step × batch samples of the order were read."""

    step: Count = 0
    loss: float = 0.0
    """Of that step."""
    training_s: Seconds = 0.0
    """Time in steps that count, over all attempts."""
