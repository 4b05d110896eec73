"""What a training framework holds for each parameter and keeps of each activation.

Two conventions of mixed precision: master weights in fp32 that are the parameters (PyTorch's FSDP, Hanse's trainer:
4 + 4 + 8 bytes), or 16-bit parameters with a master copy beside the moments (Megatron-LM, DeepSpeed: 2 + 4 + 12;
Rajbhandari et al. 2020). What Hanse's trainer keeps was counted on its own operations (benchmarks/planner_memory.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from hanse.contracts.workload import Precision
from hanse.planning.supported import REDUCES_EVERY_MICRO_BATCH
from hanse.workloads.activations import Kernels

Kind = Literal["cuda", "rocm", "cpu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """Bytes a parameter, and the kernels of layouts that shard parameters and of those that do not."""

    parameter: float
    gradient: float
    optimiser: float
    frozen: float
    """Of a parameter that is not trained."""
    gathered: float
    """Of a sharded parameter while it is whole."""
    copy: float
    """Of the copies made of a parameter that is held whole: autocast's for a micro-batch, fp8's weights."""
    buffers: bool
    """Gradients lie in buffers that are never freed; without, they are freed after each step."""
    waits: bool
    """Sharded gradients are held whole until the last micro-batch of a step."""
    pipeline_gathers_once: bool
    """A pipeline's sharded parameters and gradients are whole from a step's first micro-batch to its last."""
    logit: float
    """Bytes at once for each logit."""
    sharded: Kernels
    whole: Kernels


@lru_cache(maxsize=256)
def accounting(stack: str, precision: Precision, kind: Kind) -> Accounting:
    """By the stack's name, as published runs and `hanse` itself use it; unknown ones keep the usual 2 + 4 + 12."""
    if stack == "hanse":
        return _fp32_master(precision, fused=False, eager_norms=kind == "cpu", waits=not REDUCES_EVERY_MICRO_BATCH)
    if any(name in stack for name in ("fsdp", "torchtitan", "maxtext")):
        return _fp32_master(precision, fused=True, eager_norms=False, waits=False)
    # Megatron-LM had dropout by default, tiled attention from 2023 on, and fused SwiGLU after that.
    untiled = any(name in stack for name in ("2021", "2022", "deepspeed"))
    return _sixteen_bit(precision, scores=untiled, early=untiled or "2023" in stack)


def _fp32_master(precision: Precision, *, fused: bool, eager_norms: bool, waits: bool) -> Accounting:
    wide = precision == "fp32"
    element = 4.0 if wide else 2.0
    # Autocast runs norms in fp32; a CPU's keep the normalised values beside the input. Compiled, 16 bit suffice.
    norm = element if fused else (8.0 if eager_norms else 4.0)
    sharded = Kernels(
        element=element, residual=element, norm=norm, attention_input=element, ffn_input=element,
        fused_activation=fused, keeps_gathered=True,
    )  # fmt: skip
    # Autocast casts an fp32 stream anew for each product that reads it.
    whole = sharded if wide or fused else Kernels(
        element=element, residual=4.0, norm=norm, attention_input=6.0, ffn_input=4.0, keeps_gathered=True
    )  # fmt: skip
    return Accounting(
        parameter=4.0, gradient=4.0, optimiser=8.0, frozen=element, gathered=element,
        copy=0.0 if wide else element, buffers=False,
        waits=waits, pipeline_gathers_once=True,
        # Compiled stacks hold the 16-bit logits and their gradient beside fp32 logits, softmax and gradient.
        logit=16.0 if fused and not wide else 12.0, sharded=sharded, whole=whole,
    )  # fmt: skip


def _sixteen_bit(precision: Precision, *, scores: bool, early: bool) -> Accounting:
    wide = precision == "fp32"
    element = 4.0 if wide else 2.0
    kernels = Kernels(
        element=element, residual=element, norm=element, attention_input=element, ffn_input=element,
        fused_activation=not early, dropout=early, scores=scores,
    )  # fmt: skip
    return Accounting(
        parameter=element, gradient=4.0, optimiser=8.0 if wide else 12.0, frozen=element,
        # fp8 products read copies of their weights in both orders.
        gathered=element, copy=2.0 if precision == "fp8" else 0.0, buffers=True, waits=False,
        pipeline_gathers_once=False, logit=4.0 if scores else 8.0, sharded=kernels, whole=kernels,
    )  # fmt: skip
