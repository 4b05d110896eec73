"""Seconds of collectives by message size and by which links they cross, for many layouts at once.

A group of n ranks has g members in each of k domains (a domain: a node, or the nodes of one rack with common fast
links). Large messages: ring bandwidth, all-reduce 2(g-1)/g·S over the fast links, then 2(k-1)/k·S/g over the network;
gather and scatter move half of that. Small ones: latency, once a ring step in the domain and twice log₂ k between
domains (trees). Where a machine was calibrated, groups of at most the measured size follow the measured curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hanse.contracts.machine import Curve
from hanse.machines.rates import interpolate
from hanse.planning.constants import Constants
from hanse.planning.inputs import Hardware, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Sizes of a kind of group in each layout; `in_node` members share fast links. Means where ranks are uneven."""

    size: Values
    in_node: Values
    nodes: Values
    stride: Values = 1.0
    """Ranks from one member to the next."""


def between_bytes_per_s(hardware: Hardware, stride: Values) -> Values:
    """Per rank between domains. Neighbours an island or more apart share its tapered links, all of them at once; a ring
    of nearer ones crosses from island to island once, which those links carry easily."""
    if isinstance(hardware.taper, float) and hardware.taper == 1.0:
        return hardware.nic_bytes_per_s
    return hardware.nic_bytes_per_s * np.where(np.asarray(stride) >= hardware.island, hardware.taper, 1.0)


def group(size: Values, stride: Values, domain: Values) -> Group:
    """Groups of `size` ranks that stand `stride` ranks apart, in domains of `domain` ranks."""
    fitting = np.maximum(1.0, np.floor(domain / stride))
    nodes = np.ceil(size / fitting)
    return Group(size=size, in_node=size / nodes, nodes=nodes, stride=stride)


def all_reduce_s(
    hardware: Hardware, ranks: Group, message_bytes: Values, constants: Constants, *, pieces: Values = 1.0
) -> Values:
    """Seconds of all-reduces of `message_bytes` in all, sent as `pieces` messages."""
    return _seconds(hardware, ranks, message_bytes, constants, pieces, passes=2.0, curve=hardware.all_reduce)


def all_gather_s(
    hardware: Hardware, ranks: Group, message_bytes: Values, constants: Constants, *, pieces: Values = 1.0
) -> Values:
    """Seconds of all-gathers whose results are `message_bytes` long in all; reduce-scatters take as long."""
    return _seconds(hardware, ranks, message_bytes, constants, pieces, passes=1.0, curve=hardware.all_gather)


def _seconds(
    hardware: Hardware, ranks: Group, message_bytes: Values, constants: Constants, pieces: Values, *, passes: float,
    curve: Curve | None,
) -> Values:  # fmt: skip
    members, nodes = ranks.in_node, ranks.nodes
    inside = passes * (members - 1) / members * message_bytes / _rate(hardware.node_bytes_per_s, constants.bus_of_link)
    inside = inside + passes * (members - 1) * hardware.node_latency_s * pieces
    # The members of a domain send side by side, each over its own card.
    between = (
        passes
        * (nodes - 1)
        / nodes
        * (message_bytes / members)
        / _rate(between_bytes_per_s(hardware, ranks.stride), constants.nic_of_link)
    )
    between = between + passes * np.log2(np.maximum(nodes, 1.0)) * hardware.latency_s * pieces
    # A machine without such links cannot have such groups.
    inside = np.where((np.asarray(hardware.node_bytes_per_s) <= 0) & (np.asarray(members) > 1), np.inf, inside)
    between = np.where((np.asarray(hardware.nic_bytes_per_s) <= 0) & (np.asarray(nodes) > 1), np.inf, between)
    modelled = inside + between
    if curve is not None and hardware.measured_ranks > 1:
        # A ring of another size moves another share of the message over each link.
        share = (1 - 1 / np.asarray(ranks.size)) / (1 - 1 / hardware.measured_ranks)
        one = np.maximum(message_bytes / np.maximum(pieces, 1e-9), 1e-9)
        measured = share * message_bytes / interpolate(curve, one)
        applies = (np.asarray(ranks.size) <= hardware.measured_ranks) & (np.asarray(nodes) <= 1)
        modelled = np.where(applies, measured, modelled)
    return np.where(np.asarray(ranks.size) > 1, modelled, 0.0)


def _rate(bytes_per_s: Values, share: float) -> Values:
    return np.maximum(bytes_per_s, 1.0) * share
