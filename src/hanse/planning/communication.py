"""Seconds that messages between ranks take inside a step, and how much of them shows.

Tensor parallelism: four all-reduces a block and micro-batch (Shoeybi et al. 2019); sequence parallelism moves the
same (Korthikanti et al. 2022). Context: keys and values go round (Liu et al. 2023). Experts: all-to-all there and
back, a copy of a token for each domain it visits (DeepSeek-V3, 2024). ZeRO-3: two gathers and a scatter (Rajbhandari
et al. 2020). Overlapping activities take their smooth maximum; what that is more than the computation is exposed.
"""

from __future__ import annotations

import numpy as np

from hanse.planning import collectives
from hanse.planning.block import tokens_of
from hanse.planning.constants import Constants
from hanse.planning.inputs import Degrees, Hardware, Model, Stack, Values


def longer(first: Values, second: Values, power: float = 4.0) -> Values:
    """A smooth maximum of two overlapping times."""
    high, low = np.maximum(first, second), np.minimum(first, second)
    ratio = low / np.maximum(high, 1e-30)
    if power == 4.0:
        square = ratio * ratio
        return np.asarray(high * np.sqrt(np.sqrt(1 + square * square)))
    return np.asarray(high * (1 + ratio**power) ** (1 / power))


def tensor(model: Model, hardware: Hardware, degrees: Degrees, constants: Constants) -> Values:
    """One of the two all-reduces of a block's pass."""
    message = tokens_of(model, degrees) * model.hidden * 2.0 + constants.tensor_half_bytes
    group = collectives.group(degrees.tp, 1.0, hardware.domain)
    return collectives.all_reduce_s(hardware, group, message, constants)


def context(model: Model, hardware: Hardware, degrees: Degrees, constants: Constants) -> Values:
    """All keys and values of a block's pass, once round the ring."""
    tokens = tokens_of(model, degrees)
    widths = np.where(
        np.asarray(model.kv_rank) > 0,
        model.heads * (model.qk_dim + model.v_dim),
        np.maximum(model.kv_heads, degrees.tp) * (model.qk_dim + model.v_dim),
    )
    message = tokens * degrees.cp * widths / degrees.tp * 2.0
    group = collectives.group(degrees.cp, degrees.tp, hardware.domain)
    return collectives.all_gather_s(hardware, group, message, constants)


def expert(model: Model, hardware: Hardware, degrees: Degrees, constants: Constants) -> Values:
    """One all-to-all of a block of experts: what a rank sends. There and back is two a pass."""
    spread = np.asarray(degrees.ep) > 1
    group = collectives.group(degrees.ep, 1.0, hardware.domain)
    per_token = model.hidden * 2.0
    tokens = tokens_of(model, degrees) / np.where(spread, degrees.tp, 1.0)
    # A copy for each domain visited goes over the network, at most four (routing is limited to few nodes, or repeats);
    # one for each expert, at most one for each rank, over the links within.
    away = np.minimum(np.minimum(model.top_k, group.nodes - 1), constants.expert_copies) * (group.nodes > 1)
    within = np.minimum(model.top_k, group.in_node - 1)
    inside = within * tokens * per_token / np.maximum(hardware.node_bytes_per_s * constants.bus_of_link, 1.0)
    # All ranks of an all-to-all that is wider than an island send over its tapered links.
    card = collectives.between_bytes_per_s(hardware, degrees.ep - 1.0)
    outside = away * tokens * per_token / np.maximum(card * constants.nic_of_link, 1.0)
    outside = np.where((np.asarray(hardware.nic_bytes_per_s) <= 0) & (away > 0), np.inf, outside)
    latency = constants.expert_latency_s * np.log2(np.maximum(degrees.ep, 1.0))
    return np.where(spread & (np.asarray(model.experts) > 0), inside + outside + latency, 0.0)


def gathered(
    hardware: Hardware, stack: Stack, degrees: Degrees, constants: Constants, message: Values, pieces: Values
) -> Values:
    """Seconds to gather (or scatter) `message` bytes of sharded weights in `pieces`."""
    group = collectives.group(degrees.shard, degrees.tp * degrees.cp, hardware.domain)
    alone = np.where(np.asarray(stack.flat) > 0, group.in_node, 1.0)
    between = collectives.Group(size=group.size, in_node=group.in_node / alone, nodes=group.nodes, stride=group.stride)
    return collectives.all_gather_s(hardware, between, message, constants, pieces=pieces)


def reduced(
    hardware: Hardware, size: Values, stride: Values, constants: Constants, scattered: Values, gathered: Values,
    pieces: Values,
) -> Values:  # fmt: skip
    """Seconds of reducing `scattered` bytes of gradients and gathering `gathered` bytes of weights, once a step."""
    group = collectives.group(size, stride, hardware.domain)
    return collectives.all_gather_s(hardware, group, scattered + gathered, constants, pieces=2 * pieces)


def exposed(stack: Stack, whole: Values, behind: Values) -> Values:
    """What shows of the gradients' reduction: a share in any case, and what exceeds the computation behind it."""
    hidden = (1 - stack.exposed) * whole
    return stack.exposed * whole + np.maximum(0.0, hidden - behind)
