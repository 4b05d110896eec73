"""What the step-time kernel takes: model, hardware, software and layout as structs of numbers or arrays that broadcast.

The planner gives one model, one machine and arrays of layouts; the accuracy benchmark gives one row a published run,
everything arrays. Both go through the same formulas.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.machine import Curve

Array = NDArray[np.float64]
Values = NDArray[Any] | float
"""A number, or an array that broadcasts with the others."""


class _Struct:
    """Taking rows out of the fields that are arrays."""

    __slots__ = ()

    def take(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        values = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        return type(self)(**{name: value[which] if np.ndim(value) else value for name, value in values.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(_Struct):
    """A transformer, as widths. What it has not is 0."""

    layers: Values
    hidden: Values
    heads: Values
    qk_dim: Values
    """Width of a head's query and key; of its value below."""
    v_dim: Values
    kv_heads: Values
    """0 with a latent attention."""
    q_rank: Values
    kv_rank: Values
    rope_dim: Values
    """The latent attention's; all 0 without one."""
    ffn: Values
    gated: Values
    """1 for a gated feed-forward (three matrices), 0 for a plain one (two)."""
    moe_layers: Values
    experts: Values
    top_k: Values
    expert_ffn: Values
    shared_ffn: Values
    vocab: Values
    context: Values
    keys: Values
    """Keys a query attends to on average over the layers, masked ones not counted."""
    predictions: Values
    """Tokens predicted at each position: 1, more with multi-token prediction (each passes the head)."""
    weight_gradients: Values
    """Products going back for weights over those for activations: 1, near 0 where the weights are frozen."""
    trained: Values
    """Share of the parameters with gradients and optimiser state."""
    traced_flops: Values = 0.0
    traced_bytes: Values = 0.0
    traced_operations: Values = 0.0
    """Of a traced module in place of a transformer's: one sequence's forward pass, spread evenly over the blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware(_Struct):
    """One rank's device and its links."""

    peak: Values
    """Dense peak FLOP/s at the precision of the blocks' products; `peak16` of head and attention."""
    peak16: Values
    ceiling: Values
    """Best measured product over the peak, 16 bit; other precisions by constants."""
    width: Values
    """Index of the blocks' precision in PRECISIONS."""
    memory_bytes_per_s: Values
    node_bytes_per_s: Values
    """Per rank and direction within the domain; 0: no such link."""
    domain: Values
    """Ranks that share the fast links."""
    nic_bytes_per_s: Values
    """Per rank and direction between domains; 0: no such link."""
    node_latency_s: Values
    latency_s: Values
    """Of one message within and between domains."""
    units: Values
    """Multiprocessors or compute units, to which a product's tiles are dealt; 0 where that is not known."""
    newer: Values
    """1 where kernels are asynchronous (Hopper and later), so that plain FlashAttention-2 stays behind."""
    host_bytes_per_s: Values
    """Between a rank and main memory."""
    launch: Values
    """Host time for launching, over that of a usual host."""
    island: Values = 2.0**40
    """Ranks of a part of the network with full bandwidth within; `taper` is the bandwidth between parts over that."""
    taper: Values = 1.0
    matmul: Curve | None = None
    """Measured FLOP/s by FLOPs of a product; takes the place of peak and ceiling."""
    all_reduce: Curve | None = None
    all_gather: Curve | None = None
    measured_ranks: int = 1
    block_scale: float = 1.0


PRECISIONS: Final = ("fp32", "bf16", "fp8", "mxfp8", "nvfp4", "fp8-rowwise")
FP32, BF16, FP8, MXFP8, NVFP4, FP8_ROWWISE = range(6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack(_Struct):
    """What the software makes of it. Factors multiply the constants of `constants.yaml`; 1 is a usual stack."""

    compute: Values
    """On products' time."""
    traffic: Values
    """On elementwise traffic: 0.75 where kernels are fused or compiled, above 1 in plain eager execution."""
    launch: Values
    exposed: Values
    """Share of the gradients' reduction that is not hidden in any case."""
    tensor_exposed: Values
    """Share of tensor parallelism's messages that is not hidden."""
    tiled: Values
    """1: attention keeps no scores (FlashAttention and its kin)."""
    cudnn: Values
    """1: attention kernels written for the generation."""
    gradient_bytes: Values
    """Of a gradient as it is reduced."""
    accumulate: Values
    """Factor on the traffic of adding up micro-batches' gradients: 1 where the product itself adds in fp32."""
    every_micro_batch: Values
    """1 where sharded gradients are reduced after each micro-batch."""
    prefetch: Values
    """1 where sharded weights are gathered ahead of their use; between 0 and 1 where only in part."""
    flat: Values
    """1 where each rank gathers sharded weights over its own card alone, instead of each node once."""
    plain_norms: Values
    """1 where RMS norms are made of single operations (plain eager PyTorch); `plain_rotary` for rotary positions and
    the gate's product. LayerNorm and GELU are one kernel everywhere."""
    plain_rotary: Values
    scores: Values
    """Factor on the traffic of stored scores: 1 where mask and softmax are one kernel."""
    selective: Values
    """Share of a block's products that selective recompute repeats (attention that keeps scores: none)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Degrees(_Struct):
    """A layout."""

    tp: Values
    sequence_parallel: Values
    cp: Values
    ep: Values
    pp: Values
    chunks: Values
    zero_bubble: Values
    replicas: Values
    """dp × fsdp: over how many ranks the batch is spread."""
    shard: Values
    """Ranks among which state is divided: 1 for none."""
    zero: Values
    """0 none, 1 the optimiser's, 2 gradients, 3 parameters too."""
    micro_batch: Values
    accumulate: Values
    recompute: Values
    """0 none, 1 selective, 2 full."""
    offload: Values
    most_layers: Values = 0.0
    """Layers of the fullest stage and of the last; 0: as even as can be."""
    last_layers: Values = 0.0
