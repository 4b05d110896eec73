"""What layers take on one rank of each layout, whichever pipeline rank it is: the part of `memory` that broadcasts.

Sums that follow from tensor parallelism and recompute alone are made once for each combination and spread over the
layouts; the rest is a few products an array. Every array has shape (layouts,).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.machine import Machine
from hanse.contracts.workload import ModelShape, Workload
from hanse.planning import weights
from hanse.planning.accounting import Accounting, Kind, accounting
from hanse.planning.groups import groups
from hanse.planning.space import FULL, NONE, RECOMPUTE, Layouts
from hanse.workloads import activations
from hanse.workloads.activations import Kept

Array = NDArray[np.float64]

FRAMEWORK_BYTES: Final = {"cuda": 1.6e9, "rocm": 2.1e9, "cpu": 0.48e9}
"""Driver context and libraries; on a CPU the interpreter with torch. Estimates."""
COMMUNICATOR_BYTES: Final = {"cuda": 0.3e9, "rocm": 0.3e9, "cpu": 0.0}
"""Buffers of one group of ranks. Estimates."""
USABLE: Final = {"cuda": 0.93, "rocm": 0.93, "cpu": 0.85}
"""The rest is lost to fragmentation, and on a CPU to the system and its other processes."""
_REDUCE_BYTES: Final = 4.0
"""Of a gradient on its way to the ranks that keep it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """What does not depend on the layout. One object a question, so that tables can be remembered by it."""

    workload: Workload
    shape: ModelShape
    kind: Kind
    limit: float
    host_limit: float
    books: Accounting
    weights: weights.Model
    scale: float
    """The workload's parameters over those the shape has."""
    trained: float
    """Share of a layer's parameters that is trained; `trained_ends` of embedding and head."""
    trained_ends: float
    dense: tuple[Kept, ...]
    """By recompute, without sharded parameters and then with them."""
    sparse: tuple[Kept, ...]

    @classmethod
    def of(cls, workload: Workload, shape: ModelShape, machine: Machine, stack: str) -> Model:
        accelerator = machine.accelerator
        share = (machine.host_memory_bytes or np.inf) / machine.accelerators_per_node
        return cls._of(workload, shape, accelerator.kind, accelerator.memory_bytes, share, stack)

    @classmethod
    @lru_cache(maxsize=256)
    def _of(
        cls, workload: Workload, shape: ModelShape, kind: Kind, memory_bytes: int, host_limit: float, stack: str
    ) -> Model:
        books = accounting(stack, workload.precision, kind)
        held = weights.model(shape)
        trained, ends = 1.0, 1.0
        if workload.trainable < workload.parameters:
            inner = max(1, workload.parameters - workload.embedding_parameters)
            trained, ends = min(1.0, workload.trainable / inner), 0.0
        kernels = (books.whole, books.sharded)
        kept = [
            tuple(
                _kept(workload, shape, kernel, mode, experts=experts) for kernel in kernels for mode in range(FULL + 1)
            )
            for experts in (False, True)
        ]
        return cls(
            workload=workload, shape=shape, kind=kind, limit=memory_bytes * USABLE[kind], host_limit=host_limit,
            books=books, weights=held,
            scale=workload.parameters / held.total(shape), trained=trained, trained_ends=ends,
            dense=kept[0], sparse=kept[1],
        )  # fmt: skip


def _kept(workload: Workload, shape: ModelShape, kernels: activations.Kernels, mode: int, *, experts: bool) -> Kept:
    if workload.blocks and mode != FULL:
        # Of a module of the user's the mean over what tracing found, as if over the stand-in's layers.
        traced = sum(block.activation_bytes * block.repeats for block in workload.blocks)
        return Kept(split=traced / workload.context / shape.layers)
    return activations.layer(shape, RECOMPUTE[mode], kernels, experts=experts, lora=workload.lora)


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """Arrays that all ranks of a layout share; parameters and activations are of one layer on one rank."""

    per_tp: Array
    tokens: Array
    accumulate: Array
    dense: Array
    sparse: Array | None
    experts: Array | None
    kept_dense: Array
    kept_sparse: Array | None
    states: tuple[Array, Array, Array]
    """Bytes a parameter takes as parameter, gradient, optimiser's state: sharded, and all of it trained."""
    expert_states: tuple[Array, Array, Array] | None
    gathered: Array
    """Bytes a parameter takes while it is whole again; 0 where parameters are not sharded."""
    stage_gathered: Array | None
    """The same where a whole stage is, for the length of a step."""
    copied: Array | None
    """Bytes a parameter that is held whole takes as a copy."""
    end_gradients: Array | None
    """Bytes a parameter of the ends takes as a gradient, in the backward pass of the last block."""
    back: Array
    """Beyond what is kept, while a block is gone through backwards."""
    inner: Array
    """Blocks gathered meanwhile."""
    loss: Array
    embedded: Array | None
    """Kept by the embedding's dropout for a micro-batch."""
    standing: NDArray[np.bool_] | None
    """Gradients are there throughout; None: in all layouts."""
    fixed: Array
    """Framework, communicators and communication buffers."""


def common(model: Model, layouts: Layouts) -> Common:
    shape, books = model.shape, model.books
    shards, alone = layouts.fsdp.astype(np.float64), layouts.fsdp == 1
    third = layouts.zero == 3
    apart = third & ~alone
    each = _layers(model, layouts, apart)
    tokens = layouts.micro_batch.astype(np.float64) * model.workload.context
    if (split := layouts.cp > 1).any():
        tokens /= layouts.cp
        shards *= np.where(alone, 1, layouts.cp)
    expert_states = experts = None
    block = each.block
    if each.experts is not None:
        experts = each.experts / layouts.ep
        expert_states = _shares(books, layouts, np.maximum(1.0, shards / layouts.ep), third)
        block = block + experts
    # A block's gradients on their way to the ranks that keep them, when its activations are gone.
    back = np.maximum(each.back * tokens, block * (apart * ((books.gathered + _REDUCE_BYTES) * model.trained)))
    gathered = books.gathered * apart
    inner = 2.0 * gathered * block
    stage_gathered = standing = None
    if books.pipeline_gathers_once and (piped := layouts.pp > 1).any():
        stage_gathered = gathered * piped
        inner *= ~piped
    if not books.buffers:
        standing = (layouts.accumulate > 1) | (alone & (layouts.dp > 1))
    loss = each.loss * tokens
    if shape.family == "vit":
        loss += each.classes * layouts.micro_batch
    return Common(
        per_tp=each.per_tp, tokens=tokens, accumulate=layouts.accumulate.astype(np.float64), dense=each.dense,
        sparse=each.sparse, experts=experts, kept_dense=each.kept_dense, kept_sparse=each.kept_sparse,
        states=_shares(books, layouts, shards, third), expert_states=expert_states, gathered=gathered,
        stage_gathered=stage_gathered, copied=books.copy * ~apart if books.copy else None,
        end_gradients=None if books.buffers else np.where(apart, books.gathered, _REDUCE_BYTES),
        back=back, inner=inner, loss=loss,
        embedded=tokens * each.stream if books.whole.dropout else None, standing=standing,
        fixed=_fixed(model, layouts, tokens, each, split),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layers:
    """What follows from tensor parallelism and recompute alone: bytes a token, parameters of a layer, on one rank."""

    per_tp: Array
    stream: Array
    """Elements of what lies between products."""
    keys: Array
    """Elements of keys and values."""
    dense: Array
    sparse: Array | None
    experts: Array | None
    block: Array
    """Parameters of the larger kind of layer, routed experts left out."""
    kept_dense: Array
    kept_sparse: Array | None
    back: Array
    loss: Array
    classes: Array
    """Bytes a sequence takes in the loss of a model with one label a sequence."""


def _layers(model: Model, layouts: Layouts, apart: NDArray[np.bool_]) -> _Layers:
    """Computed once for each combination there is, then spread over the layouts."""
    modes = 2 * len(RECOMPUTE)
    key = (layouts.tp * 2 + layouts.sequence_parallel) * modes + layouts.recompute
    if model.books.sharded is not model.books.whole:
        key += len(RECOMPUTE) * apart
    present, which = groups(key)
    found = _layers_of(model, present.tobytes())
    if len(present) == 1 and len(key) == 1:
        return found
    return replace(
        found,
        **{each.name: values[which] for each in fields(_Layers) if (values := getattr(found, each.name)) is not None},
    )


@lru_cache(maxsize=64)
def _layers_of(model: Model, present: bytes) -> _Layers:
    """Of the combinations that `_layers` numbers."""
    rest, mode = np.divmod(np.frombuffer(present, dtype=np.int64), 2 * len(RECOMPUTE))
    ranks, sequence = rest // 2, rest % 2 == 1
    shape, books, kernels = model.shape, model.books, model.books.whole
    per_tp = 1.0 / ranks
    narrow = per_tp if shape.latent else 1.0 / np.minimum(ranks, shape.kv_heads)
    along = np.where(sequence, per_tp, 1.0)
    dense, sparse = (
        model.scale * (of.split * per_tp + of.narrow * narrow + of.whole)
        for of in (model.weights.dense, model.weights.sparse)
    )
    kept_dense, kept_sparse = (_spread(kinds, mode, per_tp, narrow, along) for kinds in (model.dense, model.sparse))
    routed = shape.experts is not None
    temporaries = activations.backward_temporaries(shape, kernels, experts=routed)
    back = temporaries.split * per_tp + temporaries.between * along
    # What is recomputed is there again for one block, what was kept of it not a second time.
    kinds, kept = (model.sparse, kept_sparse) if routed else (model.dense, kept_dense)
    recompute = mode % len(RECOMPUTE)
    back += (recompute > NONE) * (_spread(kinds, mode - recompute, per_tp, narrow, along) - kept)
    # Logits, and what the last norm and the head keep.
    logits = per_tp * (shape.vocab * books.logit * (1 + shape.mtp_layers))
    ends = along * ((kernels.norm + kernels.element) * shape.hidden)
    by_sequence = shape.family == "vit"
    keys = shape.heads * shape.latent.v_dim if shape.latent else shape.kv_heads * shape.head_dim
    return _Layers(
        per_tp=per_tp, stream=along * shape.hidden, keys=2.0 * narrow * keys, dense=dense,
        sparse=sparse if routed else None,
        experts=per_tp * (model.weights.sparse.experts * model.scale) if routed else None,
        block=np.maximum(dense, sparse) if routed else dense, kept_dense=kept_dense,
        kept_sparse=kept_sparse if routed else None, back=back, loss=ends if by_sequence else logits + ends,
        classes=logits,
    )  # fmt: skip


def _spread(kinds: tuple[Kept, ...], mode: NDArray[np.int64], per_tp: Array, narrow: Array, along: Array) -> Array:
    """Bytes one token leaves in one layer on one rank."""
    between, split, few, whole = np.array([[each.between, each.split, each.narrow, each.whole] for each in kinds]).T
    return np.asarray(between[mode] * along + split[mode] * per_tp + few[mode] * narrow + whole[mode])


def _shares(books: Accounting, layouts: Layouts, shards: Array, third: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
    own = 1.0 / shards
    whole = layouts.zero == 1
    if books.waits:
        whole |= layouts.accumulate > 1
    elif books.pipeline_gathers_once:
        whole |= (layouts.pp > 1) & (layouts.accumulate > 1)
    parameters = np.where(third, own * books.parameter, books.parameter)
    return parameters, np.where(whole, books.gradient, own * books.gradient), own * books.optimiser


def _fixed(model: Model, layouts: Layouts, tokens: Array, each: _Layers, split: NDArray[np.bool_]) -> Array:
    shape, kind = model.shape, model.kind
    element, piped = model.books.whole.element, layouts.pp > 1
    found = np.full(len(tokens), FRAMEWORK_BYTES[kind])
    if buffers := COMMUNICATOR_BYTES[kind]:
        spread = ((layouts.dp > 1) | (layouts.fsdp > 1), layouts.tp > 1, piped, split, layouts.ep > 1)
        found += buffers * sum(group.astype(np.int8) for group in spread)
    # What comes in and goes out at once: a neighbour stage's activations, tokens of experts, another part's keys.
    found += (2.0 * element * tokens) * each.stream * piped
    if shape.experts is not None and (away := layouts.ep > 1).any():
        found += (2.0 * element * shape.experts.active) * tokens * each.stream * away
    if split.any():
        found += (2.0 * element) * tokens * each.keys * split
    return found
