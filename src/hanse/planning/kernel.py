"""Seconds of one optimiser step in parts, from structs of broadcastable numbers (`hanse.planning.inputs`).

`per_block` depends on few columns of a layout (tensor, context and expert degree, micro-batch, recompute), so the
planner computes it once for each combination; `assemble` adds pipeline, sharding and the once-a-step work. Pipeline:
the slowest stage sets the pace, fill and drain is bubble ((p-1)/v micro-batches, Narayanan et al. 2021; a sixth for
ZB-V, Qi et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.plan import StepPart
from hanse.planning import collectives, communication
from hanse.planning.block import block, weights
from hanse.planning.communication import longer
from hanse.planning.constants import Constants
from hanse.planning.head import head
from hanse.planning.inputs import Degrees, Hardware, Model, Stack, Values
from hanse.workloads.shapes import BLOCK_LAUNCHES_FORWARD


class _Gathered:
    """Fields of combinations brought to layouts."""

    __slots__ = ()

    def spread(self, where: NDArray[np.int64]) -> Self:
        """Each layout's, from those of the combinations; what all layouts share stays one number."""
        return type(self)(**{each.name: _at(getattr(self, each.name), where) for each in fields(self)})  # type: ignore[arg-type]


def _at(value: Values, where: NDArray[np.int64]) -> Values:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim and array.size and not np.all(array == array[0]):
        return array.take(where)
    return float(array.flat[0]) if array.size else array


@dataclass(frozen=True, slots=True, kw_only=True)
class Micro(_Gathered):
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

    def only(self, names: tuple[str, ...]) -> Micro:
        """Nothing but these fields; the others 0."""
        return Micro(**{each.name: getattr(self, each.name) if each.name in names else 0.0 for each in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class State(_Gathered):
    """What a layout's degrees decide, whatever the micro-batch."""

    layers: Values
    most: Values
    last: Values
    """Blocks of a stage: on average, of the fullest, of the one with the head."""
    head_share: Values
    bubbles: Values
    """Micro-batches' time lost to fill and drain."""
    gather: Values
    """Seconds to gather a rank's sharded weights; 0 where they are not."""
    reduction: Values
    """Seconds to reduce gradients, once a step."""
    behind: Values
    """Share of a micro-batch's backward pass that hides them."""
    optimiser: Values
    added: Values
    host: Values
    """Seconds a micro-batch: adding up gradients, host time of the schedule."""
    send: Values
    latency: Values
    fill: Values
    steady: Values
    """Sending between stages: seconds a sequence, and how often."""
    straggling: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Exposed seconds of a step by part, and hidden ones."""

    shown: dict[StepPart, Values]
    hidden: dict[StepPart, Values]

    @property
    def total(self) -> Values:
        return sum(self.shown.values())


def step(model: Model, hardware: Hardware, stack: Stack, degrees: Degrees, constants: Constants) -> Parts:
    """All of it, for one row a run."""
    micro = per_block(model, hardware, stack, degrees, constants)
    state = per_degrees(model, hardware, stack, degrees, constants)
    found = bring_together(micro, state, stack, degrees.micro_batch, degrees.accumulate, constants)
    return parts(micro, state, found, stack, degrees.micro_batch, degrees.accumulate, constants)


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
    )


def _host(model: Model, hardware: Hardware, stack: Stack, degrees: Degrees, constants: Constants) -> Values:
    """Host time for launching one block's forward pass."""
    share = model.moe_layers / model.layers
    more = 1 + constants.launch_per_doubling * np.log2(degrees.tp)
    kinds = 1 + share * (constants.launch_experts - 1)
    counted = np.where(np.asarray(model.traced_flops) > 0, model.traced_operations / BLOCK_LAUNCHES_FORWARD, kinds)
    return hardware.launch * stack.launch * constants.launch_s * more * counted


def per_degrees(model: Model, hardware: Hardware, stack: Stack, degrees: Degrees, constants: Constants) -> State:
    """What does not depend on the micro-batch."""
    pp, chunks = degrees.pp, degrees.chunks
    depth = model.layers + (model.predictions - 1)
    layers = depth / pp
    several = np.asarray(pp) > 1
    whole = np.ceil(depth / (pp * chunks)) * chunks
    most = np.where(np.asarray(degrees.most_layers) > 0, degrees.most_layers, whole)
    # What does not divide is missing where the head is.
    rest = np.maximum(depth - (pp - 1) * whole, 0.0)
    last = np.where(np.asarray(degrees.last_layers) > 0, degrees.last_layers, rest)
    deep = np.where(np.asarray(degrees.zero_bubble) > 0, 1 / 6, 1 / chunks)

    plain, experts = weights(model, degrees)
    plain = plain * layers + model.vocab * model.hidden / degrees.tp * (2 / pp)
    experts = experts * layers
    held, trained = plain + experts, model.trained * (plain + experts)
    rate = hardware.memory_bytes_per_s * constants.memory_of_peak
    divided = trained / np.where(np.asarray(degrees.zero) > 0, degrees.shard, 1.0)
    optimiser = divided * stack.traffic * constants.optimiser_bytes / rate
    optimiser = optimiser + constants.step_s + constants.step_layer_s * layers
    host = divided * constants.offload_bytes / np.maximum(hardware.host_bytes_per_s, 1.0)
    optimiser = optimiser + np.where(np.asarray(degrees.offload) > 0, host, 0.0)
    gather = communication.gathered(hardware, stack, degrees, constants, 2.0 * held, layers + 1)
    send, latency = _send(model, hardware, degrees, constants)
    ranks = degrees.tp * degrees.cp * pp * degrees.replicas
    return State(
        layers=layers, most=np.where(several, most, layers), last=np.where(several, last, layers), head_share=1 / pp,
        bubbles=(pp - 1) * deep, gather=np.where((np.asarray(degrees.zero) == 3) & (np.asarray(degrees.shard) > 1),
        gather, 0.0), reduction=_reduction(model, hardware, stack, degrees, constants, plain, experts),
        behind=1 / chunks, optimiser=optimiser,
        added=trained * constants.accumulate_bytes * stack.accumulate / rate,
        host=np.where(several, constants.micro_batch_s * stack.launch * hardware.launch * chunks, 0.0),
        send=np.where(several, send, 0.0), latency=np.where(several, latency, 0.0), fill=2.0 * (pp - 1),
        steady=2.0 * chunks, straggling=constants.straggling * np.log2(np.maximum(1.0, ranks / 8)),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Micro-batches and state brought together; each layout's seconds, as few as the total needs."""

    mean: Values
    slack: Values
    bubble: Values
    sharding: Values
    data: Values
    send: Values
    once: Values
    """Optimiser and what goes on beside it, once a step; `added` and `host` for all micro-batches."""
    added: Values
    host: Values

    @property
    def total(self) -> Values:
        return (
            self.mean + self.slack + self.bubble + self.sharding + self.data + self.send + self.once + self.added
            + self.host
        )  # fmt: skip


def bring_together(
    micro: Micro, state: State, stack: Stack, micro_batch: Values, times: Values, constants: Constants
) -> Step:
    """The whole step: `times` micro-batches of `micro_batch` sequences a rank."""
    once = micro.forward + micro.backward
    mean = state.layers * once + micro.head * state.head_share
    pace = np.maximum(np.maximum(state.most * once, state.last * once + micro.head), mean)
    slack = (pace - mean + state.straggling * mean) * times
    backward = state.layers * micro.backward
    one = state.send * micro_batch + state.latency
    shown = state.fill + constants.pipeline_exposed * state.steady * times
    behind = backward * state.behind
    if np.any(state.gather):
        sharding, hidden = _sharding(stack, constants, state, times, state.layers * micro.forward, backward)
        # What hides gathers already hides nothing else.
        behind = np.maximum(0.0, behind - hidden)
        sharding = sharding * times
    else:
        sharding = np.float64(0.0)
    return Step(
        mean=mean * times, slack=slack, bubble=state.bubbles * mean, sharding=sharding,
        data=communication.exposed(stack, state.reduction, behind), send=shown * one,
        once=state.optimiser, added=state.added * times, host=state.host * times,
    )  # fmt: skip


def _sharding(
    stack: Stack, constants: Constants, state: State, times: Values, forward: Values, backward: Values
) -> tuple[Values, Values]:
    """(exposed, hidden) seconds a micro-batch of gathering sharded weights twice and of scattering their gradients."""
    base = 1.0 - stack.prefetch * (1.0 - constants.sharding_exposed)
    both, whole = state.gather + _back(stack, state, times), forward + backward
    shown = base * both + longer(whole, (1 - base) * both) - whole
    return shown, both - shown


def _back(stack: Stack, state: State, times: Values) -> Values:
    """Seconds of gathering and scattering behind one backward pass."""
    scatters = np.where(np.asarray(stack.every_micro_batch) > 0, 1.0, 1.0 / times)
    return state.gather * (1.0 + stack.gradient_bytes / 2.0 * scatters)


def parts(
    micro: Micro, state: State, found: Step, stack: Stack, micro_batch: Values, times: Values, constants: Constants
) -> Parts:
    """The same step, told apart."""
    blocks = state.layers * times
    shown: dict[StepPart, Values] = {
        "matmul": micro.matmul * blocks,
        "attention": micro.attention * blocks,
        "memory-bound": micro.memory * blocks + found.added,
        "head": micro.head * state.head_share * times,
        "recompute": micro.recompute * blocks,
        "launch": micro.launch * blocks + found.host,
        "tensor-parallel": micro.tensor * blocks,
        "context-parallel": micro.context * blocks,
        "expert-parallel": micro.expert * blocks,
        "pipeline": found.send,
        "sharding": found.sharding,
        "data-parallel": found.data,
        "bubble": found.bubble,
        "imbalance": found.slack,
        "optimiser": found.once,
    }
    one = state.send * micro_batch + state.latency
    gathers = (state.gather + _back(stack, state, times)) * times
    hidden: dict[StepPart, Values] = {
        "tensor-parallel": micro.hidden_tensor * blocks,
        "context-parallel": micro.hidden_context * blocks,
        "expert-parallel": micro.hidden_expert * blocks,
        "pipeline": (1 - constants.pipeline_exposed) * state.steady * times * one,
        "sharding": np.maximum(0.0, gathers - found.sharding),
        "data-parallel": np.maximum(0.0, state.reduction - found.data),
    }
    return Parts(shown=shown, hidden=hidden)


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


def _send(model: Model, hardware: Hardware, degrees: Degrees, constants: Constants) -> tuple[Values, Values]:
    """(seconds a sequence, latency) of sending activations to the next stage."""
    # Tensor parallel ranks send a part each, over their own cards (Narayanan et al. 2021, section 4.1).
    message = 2.0 * model.context / degrees.cp * model.hidden / degrees.tp
    apart = degrees.tp * degrees.cp * degrees.replicas
    near = apart * degrees.pp <= hardware.domain
    over = np.where(near, hardware.node_bytes_per_s * constants.bus_of_link,
                    collectives.between_bytes_per_s(hardware, apart) * constants.nic_of_link)  # fmt: skip
    seconds = np.where(over > 0, message / np.maximum(over, 1.0), np.inf)
    return seconds, np.where(near, hardware.node_latency_s, hardware.latency_s)
