"""What a run takes beside accelerator-seconds: the site's billing units, energy, CO2. Unknown stays None.

A node's power where it is known; else its accelerators' rated power with a share for the rest of the node, which
`estimates` says. Energy is the site's where its PUE is known, the nodes' own where it is not.
"""

from __future__ import annotations

from typing import Final

from hanse.contracts.machine import Machine
from hanse.contracts.plan import Expense, Interval

_NODE_OVER_ACCELERATORS: Final = (0.9, 1.3, 1.7)
"""Power of a node in training over its accelerators' rated power: lowest, expected, highest; an estimate. Accelerators
draw less than that in training; processors, memory, network cards and fans come to it."""
_JOULES_PER_KWH: Final = 3.6e6


def expense(machine: Machine, nodes: int, wall_s: Interval, *, power_from_rating: bool = True) -> Expense:
    """Of a job that holds `nodes` for `wall_s`. Without `power_from_rating`, power that nobody states is not known."""
    billing = machine.billing
    energy = _energy(machine, nodes, wall_s, power_from_rating=power_from_rating)
    grid = machine.grid_gco2_per_kwh
    return Expense(
        unit=billing.unit if billing else None,
        amount=_times(wall_s, nodes * billing.units_per_node_hour / 3600) if billing else None,
        energy_joules=energy,
        co2_grams=_times(energy, grid / _JOULES_PER_KWH) if energy is not None and grid is not None else None,
    )


def estimates(machine: Machine) -> tuple[str, ...]:
    """Sentences on what energy and CO2 rest on that nobody stated for this machine."""
    if machine.node_watts is None and machine.accelerator.watts is None:
        return ()
    found = []
    if machine.node_watts is None:
        found.append("Energy: a node draws 1.3 (0.9 to 1.7) times its accelerators' rated power: an estimate.")
    if machine.pue is None:
        found.append("Energy and CO2 are the nodes' alone: cooling and losses (PUE) are not known.")
    return tuple(found)


def node_watts(machine: Machine, *, power_from_rating: bool = True) -> Interval | None:
    """A node in training; None if neither it nor its accelerators' rated power is known."""
    if machine.node_watts is not None:
        return Interval(low=machine.node_watts, expected=machine.node_watts, high=machine.node_watts)
    rated = machine.accelerator.watts
    if rated is None or not power_from_rating:
        return None
    low, expected, high = (machine.accelerators_per_node * rated * share for share in _NODE_OVER_ACCELERATORS)
    return Interval(low=low, expected=expected, high=high)


def _energy(machine: Machine, nodes: int, wall_s: Interval, *, power_from_rating: bool) -> Interval | None:
    watts = node_watts(machine, power_from_rating=power_from_rating)
    if watts is None:
        return None
    held = nodes * (machine.pue or 1.0)
    return Interval(
        low=watts.low * held * wall_s.low, expected=watts.expected * held * wall_s.expected,
        high=watts.high * held * wall_s.high,
    )  # fmt: skip


def _times(interval: Interval, factor: float) -> Interval:
    return Interval(low=interval.low * factor, expected=interval.expected * factor, high=interval.high * factor)
