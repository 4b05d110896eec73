"""Seconds of one optimiser step in parts, from structs of broadcastable numbers (`hanse.planning.inputs`).

`per_block` depends on few columns of a layout (tensor, context and expert degree, micro-batch, recompute), so the
planner computes it once for each combination; `assemble` adds pipeline, sharding and the once-a-step work. Pipeline:
the slowest stage sets the pace, fill and drain is bubble ((p-1)/v micro-batches, Narayanan et al. 2021; a sixth for
ZB-V, Qi et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.plan import StepPart
from hanse.planning import communication
from hanse.planning.block import block
from hanse.planning.communication import longer
from hanse.planning.constants import Constants
from hanse.planning.head import head
from hanse.planning.inputs import Degrees, Hardware, Model, Stack, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Micro:
    """One block and micro-batch on one rank, forward and backward, in seconds; `head` beside it."""

    matmul: Values
    attention: Values
    memory: Values
    recompute: Values
    launch: Values
    tensor: Values
    context: Values
    expert: Values
    hidden_tensor: Values
    hidden_context: Values
    hidden_expert: Values
    forward: Values
    """All of the forward pass, exposed communication and launches too; `backward` likewise, with recompute."""
    backward: Values
    head: Values
    weights: Values
    expert_weights: Values

    def spread(self, where: NDArray[np.int64]) -> Micro:
        """Each layout's, from those of the combinations; what all layouts share stays one number."""
        values = {each.name: np.asarray(getattr(self, each.name)) for each in fields(self)}
        return Micro(**{name: value[where] if value.ndim else float(value) for name, value in values.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Exposed seconds of a step by part, and hidden ones."""

    shown: dict[StepPart, Values]
    hidden: dict[StepPart, Values]

    @property
    def total(self) -> Values:
        return sum(self.shown.values())


def step(model: Model, hardware: Hardware, stack: Stack, degrees: Degrees, constants: Constants) -> Parts:
    """Both halves, for one row a run."""
    micro = per_block(model, hardware, stack, degrees, constants)
    return assemble(micro, model, hardware, stack, degrees, constants)


def per_block(model: Model, hardware: Hardware, stack: Stack, degrees: Degrees, constants: Constants) -> Micro:
    """What one block takes for one micro-batch."""
    found = block(model, hardware, stack, degrees, constants)
    again = np.where(degrees.recompute == 2, 1.0, 0.0)
    # Two all-reduces a pass; recompute repeats those of the forward pass, with sequence parallelism one gather more.
    one = communication.tensor(model, hardware, degrees, constants)
    tensor = 2.0 * one * (2.0 + again)
    ring = communication.context(model, hardware, degrees, constants)
    context = ring * (1.0 + again + 2.0)
    trip = communication.expert(model, hardware, degrees, constants) * model.moe_layers / model.layers
    expert = 2.0 * trip * (2.0 + again)
    show_tensor = stack.tensor_exposed * tensor
    # The ring turns behind attention; the rest of it shows.
    behind = found.forward.attention + found.backward.attention + found.again.attention
    show_context = np.where(
        np.asarray(degrees.cp) > 1,
        constants.context_exposed * context + longer(behind, (1 - constants.context_exposed) * context) - behind,
        0.0,
    )
    show_expert = constants.expert_exposed * expert
    shown = show_tensor + show_context + show_expert
    ahead = (2.0 * one * stack.tensor_exposed) + show_context / 3 + show_expert / (2.0 + again)
    forward, backward = found.forward.total + ahead, found.backward.total + found.again.total + shown - ahead
    per_pass = _host(model, hardware, stack, degrees, constants)
    # Before it can start the experts' products the host waits to learn how many tokens each got.
    wait = constants.expert_wait_s * stack.launch * hardware.launch * model.moe_layers / model.layers
    forward_all = longer(forward, per_pass) + wait
    back_all = longer(backward, per_pass * (constants.launch_backward + again)) + wait * (1 + again)
    scale = hardware.block_scale
    return Micro(
        matmul=scale * (found.forward.matmul + found.backward.matmul),
        attention=scale * (found.forward.attention + found.backward.attention),
        memory=scale * (found.forward.memory + found.backward.memory),
        recompute=scale * found.again.total,
        launch=scale * (forward_all - forward + back_all - backward),
        tensor=scale * show_tensor,
        context=scale * show_context,
        expert=scale * show_expert,
        hidden_tensor=scale * (tensor - show_tensor),
        hidden_context=scale * np.maximum(0.0, context - show_context),
        hidden_expert=scale * (expert - show_expert),
        forward=scale * forward_all,
        backward=scale * back_all,
        head=head(model, hardware, stack, degrees, constants),
        weights=found.weights,
        expert_weights=found.expert_weights,
    )


def _host(model: Model, hardware: Hardware, stack: Stack, degrees: Degrees, constants: Constants) -> Values:
    """Host time for launching one block's forward pass."""
    share = model.moe_layers / model.layers
    more = 1 + constants.launch_per_doubling * np.log2(degrees.tp)
    return hardware.launch * stack.launch * constants.launch_s * more * (1 + share * (constants.launch_experts - 1))


def assemble(
    micro: Micro, model: Model, hardware: Hardware, stack: Stack, degrees: Degrees, constants: Constants
) -> Parts:
    """The whole step."""
    pp, chunks, times = degrees.pp, degrees.chunks, degrees.accumulate
    depth = model.layers + (model.predictions - 1)
    layers = depth / pp
    once = micro.forward + micro.backward
    mean = layers * once + micro.head / pp
    whole = np.ceil(depth / (pp * chunks)) * chunks
    most = np.where(np.asarray(degrees.most_layers) > 0, degrees.most_layers, whole)
    # What does not divide is missing where the head is.
    even = np.maximum(depth - (pp - 1) * whole, 0.0)
    last = np.where(np.asarray(degrees.last_layers) > 0, degrees.last_layers, even)
    pace = np.where(np.asarray(pp) > 1, np.maximum(most * once, last * once + micro.head), mean)
    slack = np.maximum(0.0, pace - mean) * times
    deep = np.where(np.asarray(degrees.zero_bubble) > 0, 1 / 6, 1 / chunks)
    bubble = (pp - 1) * mean * deep

    per_block = micro.weights * layers
    experts = micro.expert_weights * layers
    ends = model.vocab * model.hidden / degrees.tp * (2 / pp)
    held = per_block + experts + ends
    forward, backward = layers * micro.forward, layers * micro.backward
    sharding, hidden_sharding = _sharding(hardware, stack, degrees, constants, per_block + ends, experts, layers,
                                          forward, backward)  # fmt: skip
    reduction = _reduction(model, hardware, stack, degrees, constants, per_block + ends, experts)
    data = communication.exposed(stack, reduction, backward / chunks)
    send, hidden_send = _pipeline(model, hardware, degrees, constants)
    rate = hardware.memory_bytes_per_s * constants.memory_of_peak
    divided = np.where(np.asarray(degrees.zero) > 0, degrees.shard, 1.0)
    trained = model.trained * held
    state = trained / divided * stack.traffic
    optimiser = state * constants.optimiser_bytes / rate + constants.step_s + constants.step_layer_s * layers
    optimiser = optimiser + np.where(
        np.asarray(degrees.offload) > 0,
        trained / divided * constants.offload_bytes / np.maximum(hardware.host_bytes_per_s, 1.0), 0.0
    )  # fmt: skip
    added = trained * constants.accumulate_bytes * stack.accumulate * times / rate
    ranks = degrees.tp * degrees.cp * pp * degrees.replicas
    waiting = constants.straggling * np.log2(np.maximum(1.0, ranks / 8)) * mean * times
    blocks = layers * times
    shown: dict[StepPart, Values] = {
        "matmul": micro.matmul * blocks,
        "attention": micro.attention * blocks,
        "memory-bound": micro.memory * blocks + added,
        "head": micro.head * (times / pp),
        "recompute": micro.recompute * blocks,
        "launch": micro.launch * blocks + constants.micro_batch_s * stack.launch * hardware.launch * times * chunks
        * np.where(np.asarray(pp) > 1, 1.0, 0.0),
        "tensor-parallel": micro.tensor * blocks,
        "context-parallel": micro.context * blocks,
        "expert-parallel": micro.expert * blocks,
        "pipeline": send,
        "sharding": sharding,
        "data-parallel": data,
        "bubble": bubble,
        "imbalance": slack + waiting,
        "optimiser": optimiser,
    }  # fmt: skip
    hidden: dict[StepPart, Values] = {
        "tensor-parallel": micro.hidden_tensor * blocks,
        "context-parallel": micro.hidden_context * blocks,
        "expert-parallel": micro.hidden_expert * blocks,
        "pipeline": hidden_send,
        "sharding": hidden_sharding,
        "data-parallel": reduction - data,
    }
    return Parts(shown=shown, hidden=hidden)


def _sharding(
    hardware: Hardware, stack: Stack, degrees: Degrees, constants: Constants, plain: Values, experts: Values,
    layers: Values, forward: Values, backward: Values,
) -> tuple[Values, Values]:  # fmt: skip
    """(exposed, hidden) seconds of gathering sharded weights and scattering their gradients."""
    divided = (np.asarray(degrees.zero) == 3) & (np.asarray(degrees.shard) > 1)
    pieces = layers + 1
    message = 2.0 * (plain + experts / np.maximum(1.0, 1.0))
    gather = communication.gathered(hardware, stack, degrees, constants, message, pieces)
    gather = np.where(divided, gather, 0.0)
    scatter = gather * stack.gradient_bytes / 2.0
    base = 1.0 - stack.prefetch * (1.0 - constants.sharding_exposed)
    times = degrees.accumulate
    every = np.where(np.asarray(stack.every_micro_batch) > 0, times, 1.0)
    back = gather + scatter * every / times
    show_forward = base * gather + longer(forward, (1 - base) * gather) - forward
    show_back = base * back + longer(backward, (1 - base) * back) - backward
    shown = np.where(divided, (show_forward + show_back) * times, 0.0)
    return shown, np.maximum(0.0, (gather + back) * times - shown)


def _reduction(
    model: Model, hardware: Hardware, stack: Stack, degrees: Degrees, constants: Constants, plain: Values,
    experts: Values,
) -> Values:  # fmt: skip
    """Seconds of reducing gradients over what holds the same weights, once a step."""
    whole = np.asarray(degrees.zero) < 3
    size = np.where(whole, degrees.replicas * degrees.cp, degrees.replicas * degrees.cp / degrees.shard)
    stride = np.where(whole, degrees.tp, degrees.tp * degrees.cp * degrees.shard)
    held = np.where(whole, plain, (plain + experts) / degrees.shard)
    gathered = np.where(np.asarray(degrees.zero) > 0, 2.0, stack.gradient_bytes)
    trained = model.trained
    seconds = communication.reduced(
        hardware, size, stride, constants, held * stack.gradient_bytes * trained, held * gathered * trained, 4.0
    )
    spread = np.maximum(1.0, degrees.replicas * degrees.cp * degrees.tp / degrees.ep)
    alone = experts * trained
    there = communication.reduced(
        hardware, spread, degrees.ep, constants, alone * stack.gradient_bytes, alone * gathered, 4.0
    )
    return np.where(size > 1, seconds, 0.0) + np.where(whole & (np.asarray(experts) > 0), there, 0.0)


def _pipeline(model: Model, hardware: Hardware, degrees: Degrees, constants: Constants) -> tuple[Values, Values]:
    """(exposed, hidden) seconds of sending activations and their gradients between stages."""
    pp, chunks, times = degrees.pp, degrees.chunks, degrees.accumulate
    # Tensor parallel ranks send a part each, over their own cards (Narayanan et al. 2021, section 4.1).
    message = 2.0 * degrees.micro_batch * model.context / degrees.cp * model.hidden / degrees.tp
    apart = degrees.tp * degrees.cp * degrees.replicas
    near = apart * pp <= hardware.domain
    over = np.where(near, hardware.node_bytes_per_s * constants.bus_of_link,
                    hardware.nic_bytes_per_s * constants.nic_of_link)  # fmt: skip
    one = message / np.maximum(over, 1.0) + np.where(near, 5e-6, hardware.latency_s)
    one = np.where((over <= 0) & (np.asarray(pp) > 1), np.inf, one)
    fill = 2.0 * (pp - 1) * one
    steady = 2.0 * times * chunks * one * np.where(np.asarray(pp) > 1, 1.0, 0.0)
    shown = fill + constants.pipeline_exposed * steady
    return np.where(np.asarray(pp) > 1, shown, 0.0), np.where(
        np.asarray(pp) > 1, (1 - constants.pipeline_exposed) * steady, 0.0
    )
