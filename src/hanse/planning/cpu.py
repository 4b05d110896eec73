"""Seconds of one optimiser step on processors, whose trainings measured curves describe best.

Products: FLOPs at the rate of their size (a calibration's curve), going back twice. Attention, elementwise traffic,
launches: `hanse.workloads.shapes`. Every launch counts, an exponential costs as much as many products, and the cores
that would compute meanwhile are the ones that copy: no communication is hidden. Full recompute repeats a block's
forward pass.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from hanse.contracts.machine import Machine
from hanse.contracts.plan import StepPart
from hanse.contracts.workload import ModelShape, Workload
from hanse.machines import rates
from hanse.planning import collectives
from hanse.planning.constants import Constants
from hanse.planning.inputs import Array, Hardware
from hanse.planning.space import FULL, Layouts
from hanse.planning.supported import REDUCES_EVERY_MICRO_BATCH
from hanse.workloads import shapes

_MEMORY_OF_PEAK: Final = 0.85
"""Of a published memory bandwidth, what elementwise work draws."""
_LAUNCH_S: Final = 5e-6
"""Of one small operation where nobody measured it."""
_BUCKET_BYTES: Final = 25e6
"""DistributedDataParallel's default bucket."""
_LOGIT_TRAFFIC_BYTES: Final = 28.0
"""Moved for each logit by loss, forward and backward."""
_OPTIMISER_BYTES: Final = 40.0
"""Moved for each parameter: AdamW in one pass (4 reads, 3 writes of fp32), the gradient's norm and clipping (3)."""
_ACCUMULATE_BYTES: Final = 12.0
"""Moved for each parameter when a further micro-batch's gradient is added: two reads, one write."""
_CAST_BYTES: Final = 6.0
"""Moved for each parameter when autocast makes its 16-bit copy."""


class _Block:
    """One block's forward pass over one micro-batch, seconds."""

    __slots__ = ("attention", "exponentials", "matmul", "memory")

    def __init__(self, matmul: Array, attention: Array, memory: Array, exponentials: Array) -> None:
        self.matmul, self.attention, self.memory, self.exponentials = matmul, attention, memory, exponentials


def parts(
    workload: Workload, shape: ModelShape, machine: Machine, hardware: Hardware, layouts: Layouts, constants: Constants
) -> dict[StepPart, Array]:
    """The parts of a step under each layout; head and communication are not told apart."""
    scale = machine.calibration.block_scale if machine.calibration else 1.0
    block = _block_forward(workload, shape, machine, layouts)
    launched: float = shapes.BLOCK_LAUNCHES_FORWARD
    if workload.blocks:
        block = _traced(workload, shape, machine, layouts, block)
        launched = sum(each.repeats * each.operations for each in workload.blocks) / shape.layers
    layers = shape.layers / layouts.pp
    whole = 1 + shapes.BACKWARD_OVER_FORWARD
    again = np.where(layouts.recompute == FULL, 1.0, 0.0)
    forward = block.matmul + block.attention + block.memory + block.exponentials

    matmul = scale * layers * whole * block.matmul
    attention = scale * layers * (1 + shapes.ATTENTION_BACKWARD_OVER_FORWARD) * block.attention
    memory = scale * layers * (whole * block.memory + 2 * block.exponentials)
    recompute = scale * layers * again * forward
    overhead = machine.calibration.launch_overhead_s if machine.calibration else _LAUNCH_S
    launches = launched * overhead * (1 + shapes.BACKWARD_OVER_FORWARD + again)
    launch = scale * layers * launches
    head_matmul, head_memory = _head(workload, shape, machine, layouts)
    if workload.blocks:  # tracing counted it with the rest
        head_matmul, head_memory = np.zeros(len(layouts)), np.zeros(len(layouts))
    stage_s = matmul + attention + memory + recompute + launch

    held = workload.parameters / (layouts.tp * layouts.pp)
    times = layouts.accumulate
    return {
        "matmul": (matmul + head_matmul) * times,
        "attention": attention * times,
        "memory-bound": (memory + head_memory) * times + _parameter_traffic(workload, machine, layouts, held),
        "communication": _communication(workload, shape, hardware, layouts, constants, held)
        + _amid_compute(machine, shape, layouts),
        "bubble": (layouts.pp - 1) * stage_s,
        "optimiser": held / layouts.fsdp * _OPTIMISER_BYTES / _memory_rate(machine),
        "launch": launch * times,
        "recompute": recompute * times,
    }


def _memory_rate(machine: Machine) -> float:
    if machine.calibration is not None:
        return machine.calibration.memory_bytes_per_s
    return machine.accelerator.memory_bytes_per_s * _MEMORY_OF_PEAK


def _block_forward(workload: Workload, shape: ModelShape, machine: Machine, layouts: Layouts) -> _Block:
    accelerator, curve = machine.accelerator, machine.calibration.matmul if machine.calibration else None
    tokens = (layouts.micro_batch * workload.context).astype(np.float64)
    matmul = np.zeros(len(layouts))
    for _, inner, columns in shapes.block_products(shape, 1):
        # Which of the two is split changes the FLOPs of one rank's product not at all and its rate hardly.
        narrow = columns / layouts.tp
        rate = rates.product_flops_per_s(accelerator, workload.precision, tokens, inner, narrow, curve)
        matmul += 2.0 * tokens * inner * narrow / rate
    element = shapes.ELEMENT_BYTES[workload.precision]
    moved = shapes.block_elementwise_bytes(shape, 1, element_bytes=element, fused=False) * tokens / layouts.tp
    return _Block(
        matmul=matmul,
        attention=tokens / layouts.tp * _attention_s_per_token(workload, shape, machine),
        memory=moved / _memory_rate(machine),
        exponentials=tokens * (shape.ffn / layouts.tp) * _exponential_s(workload, shape, machine, layouts),
    )


def _traced(workload: Workload, shape: ModelShape, machine: Machine, layouts: Layouts, block: _Block) -> _Block:
    """What tracing counted, spread over the stand-in's blocks, at the rate of the stand-in's products."""
    own = sum(2.0 * inner * columns for _, inner, columns in shapes.block_products(shape, 1)) * workload.context
    flops, moved = (
        sum(each.repeats * getattr(each, name) for each in workload.blocks) / shape.layers
        for name in ("forward_flops", "elementwise_bytes")
    )
    nothing = np.zeros(len(layouts))
    return _Block(
        matmul=block.matmul * (flops / own),
        attention=nothing,
        memory=layouts.micro_batch / layouts.tp * (moved / _memory_rate(machine)),
        exponentials=nothing,
    )


def _exponential_s(workload: Workload, shape: ModelShape, machine: Machine, layouts: Layouts) -> Array:
    """Seconds of one exponential beyond the traffic it causes."""
    curve = machine.calibration.matmul if machine.calibration else None
    tokens = (layouts.micro_batch * workload.context).astype(np.float64)
    rate = rates.product_flops_per_s(
        machine.accelerator, workload.precision, tokens, shape.ffn, shape.hidden / layouts.tp, curve
    )
    return shapes.CPU_EXPONENTIAL_FLOPS / rate


def _attention_s_per_token(workload: Workload, shape: ModelShape, machine: Machine) -> float:
    curve = machine.calibration.matmul if machine.calibration else None
    size, depth = shape.context, shape.head_dim
    rate = float(rates.product_flops_per_s(machine.accelerator, workload.precision, size, depth, size, curve))
    return shapes.attention_flops_computed_per_token(shape, tile=shapes.CPU_ATTENTION_TILE) / rate


def _head(workload: Workload, shape: ModelShape, machine: Machine, layouts: Layouts) -> tuple[Array, Array]:
    """(product, traffic) of output head, loss and embedding for one micro-batch, forward and backward."""
    curve = machine.calibration.matmul if machine.calibration else None
    tokens = (layouts.micro_batch * workload.context).astype(np.float64)
    columns = workload.vocab / layouts.tp
    precision = "bf16" if workload.precision == "fp8" else workload.precision
    rate = rates.product_flops_per_s(machine.accelerator, precision, tokens, shape.hidden, columns, curve)
    product = (1 + shapes.BACKWARD_OVER_FORWARD) * 2.0 * tokens * shape.hidden * columns / rate
    # The embedding's gradient is dense: cleared, added to, and with a tied head added once more.
    dense = columns * shape.hidden * 4.0 * (4.0 if shape.tied_head else 2.0)
    looked_up = tokens * shape.hidden * 4.0 * 4.0
    traffic = (tokens * columns * _LOGIT_TRAFFIC_BYTES + dense + looked_up) / _memory_rate(machine)
    return product, traffic + 2 * tokens * columns * _exponential_s(workload, shape, machine, layouts)


def _parameter_traffic(workload: Workload, machine: Machine, layouts: Layouts, held: Array) -> Array:
    """Adding up gradients of further micro-batches, and 16-bit copies of unsharded weights."""
    added = (layouts.accumulate - 1) * held * _ACCUMULATE_BYTES
    casts = np.where((layouts.fsdp == 1) & (workload.precision != "fp32"), layouts.accumulate * held * _CAST_BYTES, 0)
    return np.asarray((added + casts) / _memory_rate(machine))


def _amid_compute(machine: Machine, shape: ModelShape, layouts: Layouts) -> Array:
    """What each collective of sharded blocks, and of the ends beside them, costs beyond its own time."""
    each = machine.calibration.exchange_overhead_s if machine.calibration else 0.0
    pieces = shape.layers / layouts.pp + 1
    reductions = pieces * (layouts.accumulate if REDUCES_EVERY_MICRO_BATCH else 1)
    gathers = (2 * pieces - 1) * layouts.accumulate  # the ends are gathered once
    return np.where(layouts.fsdp > 1, each * (gathers + reductions), 0.0)


def _communication(
    workload: Workload, shape: ModelShape, hardware: Hardware, layouts: Layouts, constants: Constants, held: Array
) -> Array:
    """Seconds of a step: sharding's gathers, the gradients' reduction, tensor parallelism. Nothing hides them.

    gloo makes an all-reduce of a reduce-scatter.
    """
    sharding = collectives.group(layouts.fsdp, layouts.tp, hardware.domain)
    replicas = collectives.group(layouts.dp, layouts.tp * layouts.fsdp, hardware.domain)
    element = 4.0 if workload.precision == "fp32" else 2.0
    layers = shape.layers / layouts.pp
    block = shapes.layer_parameters(shape) / layouts.tp
    ends = np.maximum(0.0, held - layers * block)

    def reduced(group: collectives.Group, size: Array, pieces: Array | float) -> Array:
        return np.asarray(collectives.all_reduce_s(hardware, group, size * pieces, constants, pieces=pieces))

    def gathered(size: Array, pieces: Array | float) -> Array:
        return np.asarray(collectives.all_gather_s(hardware, sharding, size * pieces, constants, pieces=pieces))

    gathers = gathered(block * element, 2 * layers) + gathered(ends * element, 1.0)
    scatters = reduced(sharding, block * 4.0, layers) + reduced(sharding, ends * 4.0, 1.0)
    reductions = scatters * (layouts.accumulate if REDUCES_EVERY_MICRO_BATCH else 1)
    gradient_bytes = held / layouts.fsdp * 4.0
    buckets = np.where(layouts.fsdp > 1, layers + 1, np.ceil(gradient_bytes / _BUCKET_BYTES))
    reductions = reductions + reduced(replicas, gradient_bytes / buckets, buckets)
    message = (layouts.micro_batch * workload.context).astype(np.float64)
    message *= shape.hidden * shapes.ELEMENT_BYTES[workload.precision]
    repeats = np.where(layouts.recompute == FULL, 6.0, 4.0) * layers * layouts.accumulate
    tensor = reduced(collectives.group(layouts.tp, 1.0, hardware.domain), message, repeats)
    return np.asarray(gathers * layouts.accumulate + reductions + tensor)
