"""Peak bytes on the fullest rank, by kind, for many layouts at once.

States: ZeRO (Rajbhandari et al. 2020), sharded over fsdp × cp, experts' over what expert parallelism leaves of that.
Activations: `hanse.workloads.activations`; pipelines: `hanse.planning.stages`. Memory peaks at one of three moments:
when the loss is taken, in the backward pass of a first block, or when all gradients are there; kinds are of that
moment. `hanse.planning.accounting` says what which framework holds. Experts are taken to be chosen evenly.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.layout import Layout
from hanse.contracts.machine import Machine
from hanse.contracts.plan import Memory
from hanse.contracts.workload import ModelShape, Workload
from hanse.planning import space, stages
from hanse.planning.groups import groups
from hanse.planning.layers import Common, Model, common
from hanse.planning.space import PIPELINES, Layouts

Array = NDArray[np.float64]

_ARRAYS: Final = ("parameters", "gradients", "optimiser", "activations", "other", "host")
_BLOCK: Final = 16384
"""Layouts weighed at once: the arrays of a block stay in the processor's cache."""
_LARGE: Final = 4_000_000
"""Numbers of eight bytes: just under the 32 MiB up to which glibc's threshold follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes; every array has shape (layouts,)."""

    parameters: Array
    gradients: Array
    optimiser: Array
    activations: Array
    other: Array
    limit: float
    host: Array
    """Of main memory, for the rank: an optimiser's state that is offloaded."""
    host_limit: float
    """A rank's share of its node's main memory; infinite where nobody knows it."""

    @property
    def total(self) -> Array:
        return self.parameters + self.gradients + self.optimiser + self.activations + self.other

    @property
    def fits(self) -> NDArray[np.bool_]:
        return np.asarray((self.total <= self.limit) & (self.host <= self.host_limit))

    def at(self, position: int) -> Memory:
        names = ("parameters", "gradients", "optimiser", "activations", "other")
        return Memory(
            **{name: round(float(getattr(self, name)[position])) for name in names}, limit=int(self.limit)
        )  # fmt: skip


def footprint(
    workload: Workload, shape: ModelShape, machine: Machine, layouts: Layouts, *, stack: str | None = None
) -> Footprint:
    """Memory of the fullest rank of each layout; stages are as even as can be."""
    model = Model.of(workload, shape, machine, stack or workload.software)
    _keep_freed_memory()
    if len(layouts) <= _BLOCK:
        return _fullest(model, layouts)
    parts = [_fullest(model, _between(layouts, start, start + _BLOCK)) for start in range(0, len(layouts), _BLOCK)]
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
    return Footprint(**arrays, limit=parts[0].limit, host_limit=parts[0].host_limit)


@cache
def _keep_freed_memory() -> None:
    """Freed arrays go back to the system and come again page by page, which costs as much as the sums themselves.

    glibc keeps more from the day on which one large allocation was freed (its trim threshold is dynamic). This one is
    never touched and takes no memory; elsewhere it does nothing.
    """
    np.empty(_LARGE)


def _between(layouts: Layouts, start: int, stop: int) -> Layouts:
    """Views, where `take` would copy."""
    return Layouts(**{each.name: getattr(layouts, each.name)[start:stop] for each in fields(Layouts)})


def _fullest(model: Model, layouts: Layouts) -> Footprint:
    shared = common(model, layouts)
    first, *others = _candidates(model.shape, layouts)
    best = _at_rank(model, layouts, shared, first)
    for rank in others:
        other = _at_rank(model, layouts, shared, rank)
        where = other.total > best.total
        for name in _ARRAYS:
            np.copyto(getattr(best, name), getattr(other, name), where=where)
    return best


def by_stage(
    workload: Workload, shape: ModelShape, machine: Machine, layout: Layout, *, stack: str | None = None
) -> tuple[Memory, ...]:
    """Memory of each pipeline rank of one layout, in order; one of them if there is no pipeline."""
    model = Model.of(workload, shape, machine, stack or workload.software)
    held = stages.of_shape(shape, layout.pp, layout.pipeline, layout.chunks, layout.stages)
    layouts = space.of([layout] * len(held))
    rows = np.array(held).T
    found = _at_rank(model, layouts, common(model, layouts), rows)
    return tuple(found.at(position) for position in range(len(held)))


def fullest(
    workload: Workload, shape: ModelShape, machine: Machine, layout: Layout, *, stack: str | None = None
) -> Memory:
    """Of the fullest rank of one layout, whose stages may be its own."""
    if layout.stages:
        return max(by_stage(workload, shape, machine, layout, stack=stack), key=lambda each: each.total)
    return footprint(workload, shape, machine, space.of([layout]), stack=stack).at(0)


def _candidates(shape: ModelShape, layouts: Layouts) -> list[Array]:
    """Rows of `stages.Rank` for each layout, shape (5, layouts): as many lists of them as may hold the fullest rank."""
    chunks = int(layouts.chunks.max(initial=1)) + 1
    present, which = groups((layouts.pp * chunks + layouts.chunks) * len(PIPELINES) + layouts.pipeline)
    return [np.take(rows, which, axis=1) for rows in _tables(shape, present.tobytes(), chunks)]


@lru_cache(maxsize=64)
def _tables(shape: ModelShape, present: bytes, chunks: int) -> tuple[Array, ...]:
    """Of the pipelines that `_candidates` numbers, shape (5, pipelines) each."""
    dense = shape.experts.dense_layers if shape.experts else shape.layers
    tables = []
    for each in np.frombuffer(present, dtype=np.int64).tolist():
        rest, pipeline = divmod(each, len(PIPELINES))
        pp, chunk = divmod(rest, chunks)
        tables.append(stages.fullest(shape.layers, dense, shape.mtp_layers, pp, PIPELINES[pipeline], chunk))
    # A pipeline with fewer candidates has its last one again.
    most = max((len(table) for table in tables), default=1)
    rows = [[table[min(number, len(table) - 1)] for table in tables] for number in range(most)]
    return tuple(np.array(each).reshape(-1, 5).T for each in rows)


def _at_rank(model: Model, layouts: Layouts, shared: Common, rank: Array) -> Footprint:
    """Memory of the ranks whose rows (`stages.Rank`) are given."""
    dense, sparse, first, last, in_flight = rank
    body, kept, moved = dense * shared.dense, dense * shared.kept_dense, None
    if shared.sparse is not None and shared.experts is not None and shared.kept_sparse is not None:
        body += sparse * shared.sparse
        kept += sparse * shared.kept_sparse
        moved = sparse * shared.experts
    ends = _ends(model, first, last) * shared.per_tp
    held = body + ends
    parameters, gradients, optimiser = _states(model, shared, held, ends, moved)

    flying = np.minimum(in_flight, shared.accumulate)
    kept *= flying * shared.tokens
    if shared.embedded is not None:
        kept += first * flying * shared.embedded
    other = shared.fixed + shared.gathered * ends
    if shared.copied is not None:
        other += shared.copied * (held if moved is None else held + moved)
    loss, passing = last * shared.loss, shared.inner
    if shared.stage_gathered is not None:
        passing = passing + shared.stage_gathered * (body if moved is None else body + moved)
    if shared.end_gradients is not None:
        passing = passing + shared.end_gradients * ends
    at_loss = loss >= shared.back + passing
    kept += np.where(at_loss, loss, shared.back)
    passing = passing * ~at_loss
    if shared.standing is not None:
        late = gradients > kept + passing
        gradients *= shared.standing | late
        early = shared.standing | ~late
        kept *= early
        passing *= early
    other += passing
    host = np.zeros_like(optimiser)
    if layouts.offload.any():
        host = optimiser * layouts.offload
        optimiser = optimiser - host
    return Footprint(
        parameters=parameters, gradients=gradients, optimiser=optimiser, activations=kept, other=other,
        limit=model.limit, host=host, host_limit=model.host_limit,
    )  # fmt: skip


def _ends(model: Model, first: Array, last: Array) -> Array:
    """Parameters of embedding and head on one stage; where both lie and are tied, once."""
    held = model.weights
    found = first * held.embedding + last * held.head
    if held.tied:
        found = found - first * last * (model.shape.vocab * model.shape.hidden)
    return np.asarray(found * model.scale)


def _states(model: Model, shared: Common, held: Array, ends: Array, moved: Array | None) -> tuple[Array, Array, Array]:
    parameters, gradients, optimiser = (held * share for share in shared.states)
    if moved is not None and shared.expert_states is not None:
        parameters += moved * shared.expert_states[0]
        gradients += moved * shared.expert_states[1]
        optimiser += moved * shared.expert_states[2]
    trained = model.trained
    if trained < 1.0 or model.trained_ends < 1.0:
        # Embedding and head are not trained at all where not everything is.
        books = model.books
        frozen = books.frozen / books.parameter
        of_ends = (ends * share for share in shared.states)
        at_ends = next(of_ends)
        parameters = (parameters - at_ends) * (trained + frozen * (1 - trained)) + at_ends * frozen
        gradients = (gradients - next(of_ends)) * trained
        optimiser = (optimiser - next(of_ends)) * trained
    return parameters, gradients, optimiser
