"""Seconds of one optimiser step, in parts, for many layouts at once: contracts turned into the kernel's inputs.

On GPUs `hanse.planning.kernel` (whose constants were fitted to published runs, docs/explanation/planner-accuracy.md),
on processors `hanse.planning.cpu`. What depends on few columns of a layout is computed once for each combination of
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.machine import Machine
from hanse.contracts.plan import StepPart
from hanse.contracts.workload import ModelShape, Workload
from hanse.machines import rates
from hanse.planning import constants as constants_file
from hanse.planning import cpu, kernel, stacks
from hanse.planning import stages as stages_room
from hanse.planning.groups import groups
from hanse.planning.inputs import BF16, FP8, FP32, Array, Degrees, Hardware, Model, Values
from hanse.planning.space import ZERO_BUBBLE, Layouts

Parts = dict[StepPart, Array]

_LATENCY_S: Final = 1e-5
_HOST_BYTES_PER_S: Final = 2.5e10
"""A PCIe 4.0 link's, where a machine does not say."""
_WIDTHS: Final = {"fp32": FP32, "bf16": BF16, "fp8": FP8}
_UNBOUNDED: Final = 2.0**40
_SLICE: Final = 8192
"""Layouts brought together at once: what that needs stays in the processor's cache."""


class StepTimes:
    """Seconds of a step; every array has shape (layouts,).

    `parts` add up to `total`, and `hidden` goes on behind them. They are told apart when asked for: weighing millions
    of layouts needs the total alone.
    """

    def __init__(self, total: Array, tell: Callable[[], tuple[Parts, Parts]]) -> None:
        self.total = total
        self._tell = tell
        self._told: tuple[Parts, Parts] | None = None

    @property
    def parts(self) -> Parts:
        return self._apart()[0]

    @property
    def hidden(self) -> Parts:
        return self._apart()[1]

    def _apart(self) -> tuple[Parts, Parts]:
        if self._told is None:
            self._told = self._tell()
        return self._told


def step_times(
    workload: Workload, shape: ModelShape, machine: Machine, layouts: Layouts, *, stack: str | None = None,
    stages: tuple[int, ...] = (),
) -> StepTimes:  # fmt: skip
    """Seconds of a step under each layout, trained by the software of that name, else by the workload's own.

    Pipeline stages are as even as can be; those of a single layout may be given.
    """
    constants, hardware, length = constants_file.load(), hardware_of(machine, workload), len(layouts)
    if machine.accelerator.kind == "cpu":
        measured = cpu.parts(workload, shape, machine, hardware, layouts, constants)
        return StepTimes(np.asarray(sum(measured.values()), dtype=np.float64), lambda: (measured, {}))
    model, software = model_of(workload, shape), stacks.find(stack or workload.software).stack()
    columns = (layouts.tp, layouts.cp, layouts.ep, layouts.micro_batch, layouts.recompute, layouts.sequence_parallel)
    some, where = combinations(columns)
    each = kernel.per_block(model, hardware, software, degrees_of(layouts.take(some)), constants)
    rest = (
        layouts.tp, layouts.cp, layouts.pp, layouts.chunks, layouts.pipeline, layouts.dp, layouts.fsdp, layouts.zero,
        layouts.ep, layouts.offload,
    )  # fmt: skip
    others, place = combinations(rest)
    state = kernel.per_degrees(model, hardware, software, _staged(shape, layouts.take(others), stages), constants)

    def steps(block: kernel.Micro, part: slice) -> tuple[kernel.Micro, kernel.State, kernel.Step, Array, Array]:
        sizes = layouts.micro_batch[part].astype(np.float64), layouts.accumulate[part].astype(np.float64)
        micro, held = block.spread(where[part]), state.spread(place[part])
        return micro, held, kernel.bring_together(micro, held, software, *sizes, constants), *sizes

    def tell() -> tuple[Parts, Parts]:
        micro, held, found, micro_batch, times = steps(each, slice(None))
        told = kernel.parts(micro, held, found, software, micro_batch, times, constants)
        return _full(told.shown, length), _full(told.hidden, length)

    needed, total = each.only(("forward", "backward", "head")), np.empty(length)
    for start in range(0, length, _SLICE):
        part = slice(start, start + _SLICE)
        total[part] = steps(needed, part)[2].total
    return StepTimes(total, tell)


def _full(parts: dict[StepPart, Values], length: int) -> Parts:
    return {name: _wide(seconds, length) for name, seconds in parts.items()}


def _wide(seconds: Values, length: int) -> Array:
    return np.broadcast_to(np.asarray(seconds, dtype=np.float64), (length,))


def combinations(columns: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(one position for each combination of values there is, each row's place among those)."""
    length = len(columns[0])
    code, size = np.zeros(length, dtype=np.int64), 1
    for column in columns:
        if length == 0 or column.min() == column.max():
            continue
        values, ranks = groups(column)
        code, size = code * len(values) + ranks, size * len(values)
        if size > length + 1024:
            values, code = groups(code)
            size = len(values)
    values, code = groups(code)
    some = np.empty(len(values), dtype=np.int64)
    some[code] = np.arange(length)
    return some, code


def degrees_of(layouts: Layouts) -> Degrees:
    """Columns as the kernel takes them."""
    replicas = (layouts.dp * layouts.fsdp).astype(np.float64)
    sharded = layouts.fsdp > 1
    return Degrees(
        tp=layouts.tp.astype(np.float64), sequence_parallel=layouts.sequence_parallel,
        cp=layouts.cp.astype(np.float64), ep=layouts.ep.astype(np.float64), pp=layouts.pp.astype(np.float64),
        chunks=layouts.chunks.astype(np.float64), zero_bubble=layouts.pipeline == ZERO_BUBBLE, replicas=replicas,
        shard=layouts.fsdp.astype(np.float64), zero=np.where(sharded, layouts.zero, 0),
        micro_batch=layouts.micro_batch.astype(np.float64), accumulate=layouts.accumulate.astype(np.float64),
        recompute=layouts.recompute, offload=layouts.offload,
    )  # fmt: skip


def _staged(shape: ModelShape, layouts: Layouts, given: tuple[int, ...]) -> Degrees:
    """`degrees_of` with the layers of the fullest rank and of the one with the head, where ranks differ."""
    most, last = stages_room.longest_and_last(shape, layouts, given)
    return replace(degrees_of(layouts), most_layers=most, last_layers=last)


def model_of(workload: Workload, shape: ModelShape) -> Model:
    """A shape's widths; a workload that trains adapters has frozen weights."""
    latent, experts = shape.latent, shape.experts
    context = float(workload.context)
    whole = (context + 1) / 2 if shape.causal else context
    seen = whole
    if shape.window is not None:
        window = float(min(shape.window, context))
        narrow = window - window * (window - 1) / (2 * context) if shape.causal else window
        full = 1 / shape.full_attention_every if shape.full_attention_every else 0.0
        seen = full * whole + (1 - full) * narrow
    frozen = workload.training == "lora"
    blocks = workload.blocks
    operations = sum(each.repeats * each.operations for each in blocks)
    return Model(
        layers=float(shape.layers), hidden=float(shape.hidden), heads=float(shape.heads),
        qk_dim=float(latent.nope_dim + latent.rope_dim if latent else shape.head_dim),
        v_dim=float(latent.v_dim if latent else shape.head_dim), kv_heads=0.0 if latent else float(shape.kv_heads),
        q_rank=float((latent.q_rank or 0) if latent else 0), kv_rank=float(latent.kv_rank if latent else 0),
        rope_dim=float(latent.rope_dim if latent else 0), ffn=float(shape.ffn), gated=float(shape.gated),
        moe_layers=float(shape.layers - experts.dense_layers if experts else 0),
        experts=float(experts.count if experts else 0), top_k=float(experts.active if experts else 0),
        expert_ffn=float(experts.ffn if experts else 0), shared_ffn=float(experts.shared_ffn if experts else 0),
        vocab=float(workload.vocab), context=context, keys=seen, predictions=1.0 + shape.mtp_layers,
        weight_gradients=0.02 if frozen else 1.0, trained=workload.trainable / workload.parameters,
        traced_flops=sum(each.repeats * each.forward_flops for each in blocks) / shape.layers,
        traced_bytes=sum(each.repeats * each.elementwise_bytes for each in blocks) / shape.layers,
        traced_operations=operations / shape.layers,
    )  # fmt: skip


def hardware_of(machine: Machine, workload: Workload) -> Hardware:
    """A machine's rates and links; a calibration's curves in place of what is published."""
    accelerator, calibration = machine.accelerator, machine.calibration
    precision = workload.precision
    peak = accelerator.peak_flops.get(precision, max(accelerator.peak_flops.values()))
    peak16 = accelerator.peak_flops.get("bf16", peak) if precision != "fp32" else peak
    factors = rates.training_factors(accelerator)
    node, between = machine.in_node, machine.between_nodes
    local = machine.scheduler.kind == "local"
    return Hardware(
        peak=peak, peak16=peak16, ceiling=rates.ceiling(accelerator)[0] * factors.products,
        width=_WIDTHS[precision],
        memory_bytes_per_s=calibration.memory_bytes_per_s if calibration else accelerator.memory_bytes_per_s,
        node_bytes_per_s=node.bytes_per_s if node else 0.0,
        domain=_UNBOUNDED if local else float(machine.accelerators_per_node * machine.domain_nodes),
        nic_bytes_per_s=between.bytes_per_s if between else 0.0,
        island=float(machine.island.nodes * machine.accelerators_per_node) if machine.island else _UNBOUNDED,
        taper=machine.island.taper if machine.island else 1.0,
        node_latency_s=node.latency_s if node else 0.0, latency_s=between.latency_s if between else _LATENCY_S,
        units=float(rates.units(accelerator)), newer=float(rates.newer(accelerator)),
        host_bytes_per_s=machine.host_bytes_per_s or _HOST_BYTES_PER_S, launch=factors.host,
        matmul=calibration.matmul if calibration else None,
        all_reduce=calibration.all_reduce if calibration else None,
        all_gather=calibration.all_gather if calibration else None,
        measured_ranks=calibration.ranks if calibration else 1,
        block_scale=calibration.block_scale if calibration else 1.0,
    )  # fmt: skip
