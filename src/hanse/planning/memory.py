"""Peak bytes on the fullest rank, by kind, for many layouts at once.

States follow ZeRO (Rajbhandari et al. 2020) as Hanse's trainer holds them: parameters, gradients and both of AdamW's
moments in fp32, 4 + 4 + 8 = 16 bytes a parameter, divided over the sharding ranks; the fp32 parameters are the master
copy of a bf16 training. Activations: `hanse.workloads.shapes.activation_bytes`; pipeline stages in flight: Korthikanti
et al. 2022. What sharded training gathers: two blocks at a time, and embedding and head throughout.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.layout import Recompute
from hanse.contracts.machine import Machine
from hanse.contracts.plan import Memory
from hanse.contracts.workload import ModelShape, Workload
from hanse.planning.space import FULL, RECOMPUTE, Layouts
from hanse.planning.supported import REDUCES_EVERY_MICRO_BATCH
from hanse.workloads import shapes

Array = NDArray[np.float64]

_PARAMETER_BYTES: Final = 4.0
_GRADIENT_BYTES: Final = 4.0
_MOMENTS_BYTES: Final = 8.0
_LOGIT_BYTES: Final = {"fp32": 12.0, "bf16": 16.0, "fp8": 16.0}
"""Logits, their log-softmax and its gradient in fp32; in bf16 also the product's own output and its gradient."""
_FRAMEWORK_BYTES: Final = {"cuda": 2.5e9, "rocm": 3.0e9, "cpu": 0.48e9}
"""Driver context, communication buffers and libraries; on a CPU the interpreter with torch."""
_USABLE: Final = {"cuda": 0.93, "rocm": 0.93, "cpu": 0.85}
"""The rest is lost to fragmentation, and on a CPU to the system and its other processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes; every array has shape (layouts,)."""

    parameters: Array
    gradients: Array
    optimiser: Array
    activations: Array
    other: Array
    limit: float

    @property
    def total(self) -> Array:
        return self.parameters + self.gradients + self.optimiser + self.activations + self.other

    def at(self, position: int) -> Memory:
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "limit"}
        return Memory(**{name: round(float(array[position])) for name, array in values.items()}, limit=int(self.limit))


def footprint(workload: Workload, shape: ModelShape, machine: Machine, layouts: Layouts) -> Footprint:
    """Memory of the fullest rank: with a pipeline the one that holds embedding or head, whichever is larger."""
    element = shapes.ELEMENT_BYTES[workload.precision]
    split = layouts.tp * layouts.pp
    held = _held_parameters(workload, shape, layouts)
    own = held / layouts.fsdp
    sharded = layouts.fsdp > 1
    waiting = (layouts.accumulate > 1) & (not REDUCES_EVERY_MICRO_BATCH)
    gradients = np.where(sharded & waiting, held, own)
    gathered_element = element if workload.precision != "fp32" else 4
    block = shapes.layer_parameters(shape) / layouts.tp
    ends = workload.embedding_parameters / layouts.tp
    gathered = np.where(sharded, gathered_element * (2 * block + ends) + _GRADIENT_BYTES * (block + ends), 0.0)
    # Without sharding autocast keeps a 16-bit copy of every matrix while a micro-batch is worked through.
    cast = np.where(sharded | (workload.precision == "fp32"), 0.0, 2.0 * held)
    kind = machine.accelerator.kind
    tokens = layouts.micro_batch * workload.context
    logits = tokens * workload.vocab / layouts.tp * _LOGIT_BYTES[workload.precision]
    return Footprint(
        parameters=_PARAMETER_BYTES * own,
        gradients=_GRADIENT_BYTES * gradients,
        optimiser=_MOMENTS_BYTES * own,
        activations=_activations(workload, shape, layouts) + logits,
        other=gathered + cast + _FRAMEWORK_BYTES[kind] + np.zeros_like(split, dtype=np.float64),
        limit=machine.accelerator.memory_bytes * _USABLE[kind],
    )


def _held_parameters(workload: Workload, shape: ModelShape, layouts: Layouts) -> Array:
    """Parameters of one tp × pp part before any sharding."""
    embedding = float(workload.embedding_parameters)
    blocks = (workload.parameters - embedding) / (layouts.tp * layouts.pp)
    at_one_end = np.where(layouts.pp > 1, shape.vocab * shape.hidden * 1.0, embedding)
    return np.asarray(blocks + np.minimum(at_one_end, embedding) / layouts.tp)


def _activations(workload: Workload, shape: ModelShape, layouts: Layouts) -> Array:
    """Of the first stage, which keeps the most micro-batches in flight (1F1B: as many as there are stages)."""
    per_layer = np.array([_one_sequence(workload, shape, mode) for mode in RECOMPUTE])
    layers = shape.layers / layouts.pp
    in_flight = np.minimum(layouts.pp, layouts.accumulate)
    kept = per_layer[layouts.recompute] * layouts.micro_batch / layouts.tp * layers * in_flight
    # Recomputing, one block at a time is whole again.
    whole = np.where(layouts.recompute == FULL, per_layer[0] * layouts.micro_batch / layouts.tp, 0.0)
    element = shapes.ELEMENT_BYTES[workload.precision]
    ends = 3.0 * layouts.micro_batch * workload.context * shape.hidden * element
    return np.asarray(kept + whole + ends)


def _one_sequence(workload: Workload, shape: ModelShape, mode: Recompute) -> float:
    return float(shapes.activation_bytes(shape, 1, mode, precision=workload.precision))
