"""Seconds of one optimiser step, in parts, for many layouts at once.

Products: FLOPs at the rate of their size (`hanse.machines.rates`), going back twice. Attention, elementwise traffic,
launches: `hanse.workloads.shapes`. Full recompute repeats a block's forward pass (Narayanan et al. 2021). Pipeline: the
stage with the head sets the pace, and fill and drain, (p-1) micro-batches, is bubble. Exposed communication and the
launch floor of GPUs: constants fitted over published runs. A calibrated machine uses its own curves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.machine import Machine
from hanse.contracts.plan import StepPart
from hanse.contracts.workload import ModelShape, Workload
from hanse.machines import rates
from hanse.planning import collectives
from hanse.planning.space import FULL, Layouts
from hanse.planning.supported import REDUCES_EVERY_MICRO_BATCH
from hanse.workloads import shapes

Array = NDArray[np.float64]

_ATTENTION_OF_CEILING: Final = 0.5
"""Tiled attention's forward rate over the best product's on GPUs; torch's own on newer ones reaches 0.65 of it."""
_ATTENTION_ON_NEWER: Final = 0.65
_NEWER: Final = ("H100", "H200", "B200", "B300")
_ATTENTION_BACKWARD_ON_GPUS: Final = 3.0
"""Backward over forward seconds there: two and a half times the products, at a lower rate."""
_MEMORY_OF_PEAK: Final = 0.85
"""Of an accelerator's published memory bandwidth, what elementwise kernels draw."""
_GPU_LAUNCH_S: Final = 0.7e-3
"""Host time of one block's forward launches; going back half as much again. Host and GPU overlap: the longer counts."""
_GPU_LAUNCH_BACKWARD: Final = 1.5
_CPU_LAUNCH_S: Final = 5e-6
"""Of one small operation where nobody measured it."""
_DATA_PARALLEL_EXPOSED: Final = 0.19
"""Share of the gradients' reduction that overlap with the backward pass leaves visible in any case."""
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
_TENSOR_PARALLEL_HALF_BYTES: Final = 5e6
"""Message at which tensor parallelism's all-reduces reach half their bandwidth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """Seconds by part; every array has shape (layouts,)."""

    parts: dict[StepPart, Array]

    @property
    def total(self) -> Array:
        return np.asarray(sum(self.parts.values()), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """One block's forward pass over one micro-batch, seconds."""

    matmul: Array
    attention: Array
    memory: Array
    exponentials: Array


def step_times(
    workload: Workload, shape: ModelShape, machine: Machine, layouts: Layouts, *, fused: bool = False
) -> StepTimes:
    """The parts of a step under each layout. `fused`: the framework compiles elementwise chains (Hanse's does not)."""
    scale = machine.calibration.block_scale if machine.calibration else 1.0
    block = _block_forward(workload, shape, machine, layouts, fused=fused)
    layers = shape.layers / layouts.pp
    whole = 1 + shapes.BACKWARD_OVER_FORWARD
    again = np.where(layouts.recompute == FULL, 1.0, 0.0)
    forward = block.matmul + block.attention + block.memory + block.exponentials

    matmul = scale * layers * whole * block.matmul
    on_cpu = machine.accelerator.kind == "cpu"
    attention_back = shapes.ATTENTION_BACKWARD_OVER_FORWARD if on_cpu else _ATTENTION_BACKWARD_ON_GPUS
    attention = scale * layers * (1 + attention_back) * block.attention
    memory = scale * layers * (whole * block.memory + 2 * block.exponentials)
    recompute = scale * layers * again * forward
    launch = scale * layers * _launch(machine, forward, again)
    head_matmul, head_memory = _head(workload, shape, machine, layouts)
    stage_s = matmul + attention + memory + recompute + launch
    micro_batch_s = stage_s + head_matmul + head_memory

    held = workload.parameters / (layouts.tp * layouts.pp)
    times = layouts.accumulate
    return StepTimes(
        parts={
            "matmul": (matmul + head_matmul) * times,
            "attention": attention * times,
            "memory-bound": (memory + head_memory) * times + _parameter_traffic(workload, machine, layouts, held),
            "communication": _communication(workload, shape, machine, layouts, held, micro_batch_s),
            "bubble": (layouts.pp - 1) * stage_s,
            "optimiser": held / layouts.fsdp * _OPTIMISER_BYTES / _memory_rate(machine),
            "launch": launch * times,
            "recompute": recompute * times,
        }
    )


def _memory_rate(machine: Machine) -> float:
    if machine.calibration is not None:
        return machine.calibration.memory_bytes_per_s
    return machine.accelerator.memory_bytes_per_s * _MEMORY_OF_PEAK


def _block_forward(workload: Workload, shape: ModelShape, machine: Machine, layouts: Layouts, *, fused: bool) -> _Block:
    accelerator, curve = machine.accelerator, machine.calibration.matmul if machine.calibration else None
    tokens = (layouts.micro_batch * workload.context).astype(np.float64)
    matmul = np.zeros(len(layouts))
    for _, inner, columns in shapes.block_products(shape, 1):
        # Which of the two is split changes the FLOPs of one rank's product not at all and its rate hardly.
        narrow = columns / layouts.tp
        rate = rates.product_flops_per_s(accelerator, workload.precision, tokens, inner, narrow, curve)
        matmul += 2.0 * tokens * inner * narrow / rate
    element = shapes.ELEMENT_BYTES[workload.precision]
    moved = shapes.block_elementwise_bytes(shape, 1, element_bytes=element, fused=fused) * tokens / layouts.tp
    return _Block(
        matmul=matmul,
        attention=tokens / layouts.tp * _attention_s_per_token(workload, shape, machine),
        memory=moved / _memory_rate(machine),
        exponentials=tokens * (shape.ffn / layouts.tp) * _exponential_s(workload, shape, machine, layouts),
    )


def _exponential_s(workload: Workload, shape: ModelShape, machine: Machine, layouts: Layouts) -> Array:
    """Seconds of one exponential beyond the traffic it causes: nothing on GPUs."""
    if machine.accelerator.kind != "cpu":
        return np.zeros(len(layouts))
    curve = machine.calibration.matmul if machine.calibration else None
    tokens = (layouts.micro_batch * workload.context).astype(np.float64)
    rate = rates.product_flops_per_s(
        machine.accelerator, workload.precision, tokens, shape.ffn, shape.hidden / layouts.tp, curve
    )
    return shapes.CPU_EXPONENTIAL_FLOPS / rate


def _attention_s_per_token(workload: Workload, shape: ModelShape, machine: Machine) -> float:
    accelerator = machine.accelerator
    if accelerator.kind == "cpu":
        curve = machine.calibration.matmul if machine.calibration else None
        size, depth = shape.context, shape.head_dim
        rate = float(rates.product_flops_per_s(accelerator, workload.precision, size, depth, size, curve))
        return shapes.attention_flops_computed_per_token(shape, tile=shapes.CPU_ATTENTION_TILE) / rate
    newer = any(name in accelerator.name for name in _NEWER)
    precision = "bf16" if workload.precision == "fp8" else workload.precision
    rate = accelerator.peak_flops[precision] * rates.ceiling(accelerator)[0] * _ATTENTION_OF_CEILING
    rate *= _ATTENTION_ON_NEWER if newer else 1.0
    return shapes.attention_flops_computed_per_token(shape, tile=shapes.GPU_ATTENTION_TILE) / rate


def _launch(machine: Machine, forward: Array, again: Array) -> Array:
    """Seconds a block's launches add, forward and backward: on a CPU all of them, on a GPU what it cannot hide."""
    if machine.accelerator.kind == "cpu":
        overhead = machine.calibration.launch_overhead_s if machine.calibration else _CPU_LAUNCH_S
        per_pass = shapes.BLOCK_LAUNCHES_FORWARD * overhead
        return per_pass * (1 + shapes.BACKWARD_OVER_FORWARD + again)
    back = forward * shapes.BACKWARD_OVER_FORWARD
    ahead = _longer(forward, _GPU_LAUNCH_S) - forward
    return (1 + again) * ahead + _longer(back, _GPU_LAUNCH_S * _GPU_LAUNCH_BACKWARD) - back


def _longer(first: Array, second: Array | float) -> Array:
    """A smooth maximum of two overlapping times."""
    high, low = np.maximum(first, second), np.minimum(first, second)
    ratio = np.divide(low, high, out=np.zeros_like(high), where=high > 0)
    return np.asarray(high * (1 + ratio**4) ** 0.25)


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


def _communication(
    workload: Workload, shape: ModelShape, machine: Machine, layouts: Layouts, held: Array, micro_batch_s: Array
) -> Array:
    """Exposed seconds of a step: sharding's gathers, the gradients' reduction, tensor parallelism."""
    per_node = layouts.ranks_per_node
    sharding = collectives.group(layouts.fsdp, layouts.tp, per_node)
    replicas = collectives.group(layouts.dp, layouts.tp * layouts.fsdp, per_node)
    element = 4.0 if workload.precision == "fp32" else 2.0
    layers = shape.layers / layouts.pp
    block = shapes.layer_parameters(shape) / layouts.tp
    ends = np.maximum(0.0, held - layers * block)

    gathers = collectives.all_gather_s(machine, sharding, block * element, 2 * layers)
    gathers += collectives.all_gather_s(machine, sharding, ends * element)
    scatters = collectives.reduce_scatter_s(machine, sharding, block * 4.0, layers)
    scatters += collectives.reduce_scatter_s(machine, sharding, ends * 4.0)
    reductions = scatters * (layouts.accumulate if REDUCES_EVERY_MICRO_BATCH else 1)
    gradient_bytes = held / layouts.fsdp * 4.0
    buckets = np.where(layouts.fsdp > 1, layers + 1, np.ceil(gradient_bytes / _BUCKET_BYTES))
    reductions += collectives.all_reduce_s(machine, replicas, gradient_bytes / buckets, buckets)
    tensor = _tensor_parallel_s(workload, shape, machine, layouts, layers)
    if machine.accelerator.kind == "cpu":
        # The cores that would compute meanwhile are the ones that copy.
        return np.asarray(gathers * layouts.accumulate + reductions + tensor)
    shown = _longer(micro_batch_s, gathers) - micro_batch_s
    backward = micro_batch_s * shapes.BACKWARD_OVER_FORWARD / (1 + shapes.BACKWARD_OVER_FORWARD)
    hidden = 1 - _DATA_PARALLEL_EXPOSED
    shown_once = _DATA_PARALLEL_EXPOSED * reductions + np.maximum(0.0, hidden * reductions - backward)
    return np.asarray(shown * layouts.accumulate + shown_once + tensor)


def _tensor_parallel_s(
    workload: Workload, shape: ModelShape, machine: Machine, layouts: Layouts, layers: Array
) -> Array:
    """Two all-reduces a block forward and two backward (Shoeybi et al. 2019); sequence parallelism moves the same."""
    tokens = (layouts.micro_batch * workload.context).astype(np.float64)
    message = tokens * (shape.hidden * shapes.ELEMENT_BYTES[workload.precision])
    repeats = np.where(layouts.recompute == FULL, 6.0, 4.0) * layers * layouts.accumulate
    ranks = collectives.group(layouts.tp, np.ones_like(layouts.tp), layouts.ranks_per_node)
    slow = (message + _TENSOR_PARALLEL_HALF_BYTES) / message
    return np.asarray(collectives.all_reduce_s(machine, ranks, message * slow, repeats))
