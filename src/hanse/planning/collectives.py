"""Seconds of collectives by message size and by which links they cross, for many layouts at once.

A group of n ranks has g members in a node and k = n/g nodes. Large messages: ring bandwidth, all-reduce
2(g-1)/g·S over the node's links, then 2(k-1)/k·S/g over the network; gather and scatter move half of that. Small ones:
latency, once a ring step in the node and twice log₂ k between nodes (trees). Where a machine was calibrated, groups of
the measured size follow the measured curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.machine import Curve, Link, Machine
from hanse.machines.rates import bus_bytes_per_s, interpolate
from hanse.planning.space import Integers

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Sizes of a kind of group in each layout, shape (layouts,)."""

    size: Integers
    in_node: Integers

    @property
    def nodes(self) -> Integers:
        return self.size // self.in_node


def group(size: Integers, stride: Integers, ranks_per_node: Integers) -> Group:
    """Groups of `size` ranks that stand `stride` ranks apart."""
    fitting = np.maximum(1, ranks_per_node // stride)
    return Group(size=size, in_node=np.where(size % fitting == 0, fitting, np.gcd(size, fitting)).clip(max=size))


def all_reduce_s(machine: Machine, ranks: Group, message_bytes: Array, messages: Array | float = 1.0) -> Array:
    """Seconds of `messages` all-reduces of `message_bytes` each."""
    calibration = machine.calibration
    curve = calibration.all_reduce if calibration else None
    return _seconds(machine, ranks, message_bytes, messages, passes=2.0, curve=curve)


def all_gather_s(machine: Machine, ranks: Group, message_bytes: Array, messages: Array | float = 1.0) -> Array:
    """Seconds of `messages` all-gathers whose result is `message_bytes` long."""
    calibration = machine.calibration
    curve = calibration.all_gather if calibration else None
    return _seconds(machine, ranks, message_bytes, messages, passes=1.0, curve=curve)


def reduce_scatter_s(machine: Machine, ranks: Group, message_bytes: Array, messages: Array | float = 1.0) -> Array:
    """Seconds of `messages` reduce-scatters of `message_bytes` of input. gloo, on CPUs, makes an all-reduce of them."""
    if machine.accelerator.kind == "cpu":
        return all_reduce_s(machine, ranks, message_bytes, messages)
    return _seconds(machine, ranks, message_bytes, messages, passes=1.0, curve=None)


def _seconds(
    machine: Machine, ranks: Group, message_bytes: Array, messages: Array | float, *, passes: float, curve: Curve | None
) -> Array:
    modelled = _ring(machine.in_node, ranks.in_node, message_bytes, passes) + _tree(
        machine.between_nodes, ranks, message_bytes / ranks.in_node, passes
    )
    if curve is not None and machine.calibration is not None:
        measured_ranks = machine.calibration.ranks
        # A ring of another size moves another share of the message over each link.
        share = (1 - 1 / ranks.size) / (1 - 1 / measured_ranks) if measured_ranks > 1 else np.ones_like(modelled)
        measured = share * message_bytes / interpolate(curve, message_bytes)
        applies = (ranks.size <= measured_ranks) & ((ranks.nodes == 1) | (machine.scheduler.kind == "local"))
        modelled = np.where(applies, measured, modelled)
    return np.asarray(np.where(ranks.size > 1, modelled * messages, 0.0))


def _ring(link: Link | None, members: Integers, message_bytes: Array, passes: float) -> Array:
    if link is None:
        return np.where(members > 1, np.inf, 0.0)
    share = passes * (members - 1) / members
    return np.asarray(share * message_bytes / bus_bytes_per_s(link) + passes * (members - 1) * link.latency_s)


def _tree(link: Link | None, ranks: Group, message_bytes: Array, passes: float) -> Array:
    if link is None:
        return np.where(ranks.nodes > 1, np.inf, 0.0)
    share = passes * (ranks.nodes - 1) / ranks.nodes
    latency = passes * np.log2(ranks.nodes) * link.latency_s
    return np.asarray(share * message_bytes / bus_bytes_per_s(link) + latency)
