"""Which pipeline rank holds which layers, and how many micro-batches it has in flight.

1F1B: Narayanan et al. 2019; interleaved: Narayanan et al. 2021, in flight by Korthikanti et al. 2022; zero-bubble with
two chunks is ZB-V (Qi et al. 2023), which goes down the ranks and up again, so that both ends lie on the first.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.layout import Layout, Pipeline
from hanse.contracts.workload import ModelShape
from hanse.planning.groups import groups
from hanse.planning.space import PIPELINES, Layouts
from hanse.workloads.layouts import even_stages as even

__all__ = ["Rank", "even", "fullest", "laid_out", "longest_and_last", "of_shape", "ranks"]

Array = NDArray[np.float64]


class Rank(NamedTuple):
    """What one pipeline rank holds."""

    dense: float
    """Layers with a dense feed-forward."""
    sparse: float
    """Layers with experts."""
    embedding: float
    """1 where the token embedding lies, else 0."""
    head: float
    in_flight: float
    """Micro-batches whose activations it holds at most, were there enough of them; of its layers taken together."""


@lru_cache(maxsize=4096)
def ranks(
    layers: int, dense_layers: int, mtp_layers: int, pp: int, pipeline: Pipeline, chunks: int,
    stages: tuple[int, ...] = (),
) -> tuple[Rank, ...]:  # fmt: skip
    """Every pipeline rank in order. `dense_layers` of the first layers have no experts (all, in a model without)."""
    counts = stages or even(layers, pp * chunks)
    ends = np.cumsum(counts)
    dense = np.clip(dense_layers - (ends - np.asarray(counts)), 0, counts)
    found = []
    for rank in range(pp):
        held = [_stage(rank, chunk, pp, pipeline) for chunk in range(chunks)]
        head = float(pp * chunks - 1 in held)
        further = mtp_layers * head
        of_dense = float(sum(int(dense[each]) for each in held))
        of_all = float(sum(counts[each] for each in held))
        plain = dense_layers >= layers
        found.append(
            Rank(
                dense=of_dense + (further if plain else 0.0),
                sparse=of_all - of_dense + (0.0 if plain else further),
                embedding=float(0 in held),
                head=head,
                in_flight=_in_flight(rank, pp, pipeline, chunks),
            )
        )
    return tuple(found)


def of_shape(
    shape: ModelShape, pp: int, pipeline: Pipeline, chunks: int, stages: tuple[int, ...] = ()
) -> tuple[Rank, ...]:
    """`ranks` of a model's shape."""
    dense = shape.experts.dense_layers if shape.experts else shape.layers
    return ranks(shape.layers, dense, shape.mtp_layers, pp, pipeline, chunks, stages)


@lru_cache(maxsize=4096)
def fullest(layers: int, dense_layers: int, mtp_layers: int, pp: int, pipeline: Pipeline, chunks: int) -> Array:
    """The ranks one of which is fullest, whatever a layer weighs; shape (ranks, 5), in the order of `Rank`'s fields.

    All others hold no more of anything than one of these.
    """
    rows = np.array(sorted(set(ranks(layers, dense_layers, mtp_layers, pp, pipeline, chunks))))
    covered = np.all(rows[None, :, :] >= rows[:, None, :], axis=2) & ~np.eye(len(rows), dtype=bool)
    return np.asarray(rows[~np.any(covered, axis=1)])


def longest_and_last(shape: ModelShape, layouts: Layouts, given: tuple[int, ...] = ()) -> tuple[Array, Array]:
    """Layers of each layout's fullest pipeline rank and of the rank with the head; `given` stages of a single one."""
    chunks = int(layouts.chunks.max(initial=1)) + 1
    present, which = groups((layouts.pp * len(PIPELINES) + layouts.pipeline) * chunks + layouts.chunks)
    most, last = _longest_and_last(shape, present.tobytes(), chunks, given)
    return most[which], last[which]


@lru_cache(maxsize=256)
def _longest_and_last(shape: ModelShape, present: bytes, chunks: int, given: tuple[int, ...]) -> tuple[Array, Array]:
    """Of the pipelines that `longest_and_last` numbers."""
    most, last = [], []
    for key in np.frombuffer(present, dtype=np.int64).tolist():
        rest, chunk = divmod(key, chunks)
        pp, kind = divmod(rest, len(PIPELINES))
        held = of_shape(shape, pp, PIPELINES[kind], chunk, given)
        most.append(max(rank.dense + rank.sparse for rank in held))
        last.append(next(rank.dense + rank.sparse for rank in held if rank.head))
    return np.array(most), np.array(last)


def laid_out(shape: ModelShape, layout: Layout) -> Layout:
    """The layout with its stages written down where they are uneven."""
    count = layout.pp * layout.chunks
    if layout.stages or count == 1 or shape.layers % count == 0:
        return layout
    return layout.model_copy(update={"stages": even(shape.layers, count)})


def _stage(rank: int, chunk: int, pp: int, pipeline: Pipeline) -> int:
    if pipeline == "zero-bubble" and chunk % 2:
        return chunk * pp + (pp - 1 - rank)
    return chunk * pp + rank


def _in_flight(rank: int, pp: int, pipeline: Pipeline, chunks: int) -> float:
    if pp == 1:
        return 1.0
    if pipeline == "interleaved" and chunks > 1:
        return ((pp - rank - 1) * 2 + (chunks - 1) * pp + 1) / chunks
    if pipeline == "zero-bubble" and chunks > 1:
        return float(pp)
    return float(pp - rank)
