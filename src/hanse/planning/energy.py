"""Energy of what was held: the site's counter where it has one, else an estimate that is always marked as one.

The estimate is a node's power in training (`expense.node_watts`) times the node time held, times the site's PUE where
that is known. A part of a node is charged its part.
"""

from __future__ import annotations

from hanse.contracts.machine import Machine
from hanse.planning.expense import node_watts


def of(counted_joules: int | None, machine: Machine | None, accelerator_seconds: int) -> tuple[int | None, bool]:
    """(joules, whether they are estimated); (None, False) where neither is known."""
    if counted_joules is not None:
        return counted_joules, False
    estimate = estimated(machine, accelerator_seconds)
    return estimate, estimate is not None


def estimated(machine: Machine | None, accelerator_seconds: int) -> int | None:
    watts = node_watts(machine) if machine is not None else None
    if machine is None or watts is None or accelerator_seconds <= 0:
        return None
    node_s = accelerator_seconds / machine.accelerators_per_node
    return round(watts.expected * node_s * (machine.pue or 1.0))
