"""Layouts as arrays: one entry a layout, all formulas broadcast over them.

Ranks are numbered with tp fastest, then fsdp, then dp, then pp: what talks most sits nearest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.layout import Layout, Pipeline, Recompute
from hanse.contracts.workload import ModelShape

Integers = NDArray[np.int64]

RECOMPUTE: Final[tuple[Recompute, ...]] = ("none", "selective", "full")
NONE, SELECTIVE, FULL = 0, 1, 2
PIPELINES: Final[tuple[Pipeline, ...]] = ("1f1b", "interleaved", "zero-bubble")
ONE_F_ONE_B, INTERLEAVED, ZERO_BUBBLE = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Layouts:
    """Every array has shape (layouts,). `recompute` indexes RECOMPUTE, `pipeline` PIPELINES; truths are 0 or 1.

    Stages are as even as can be; a layout with stages of its own is weighed by `stage` functions, not here.
    """

    nodes: Integers
    dp: Integers
    fsdp: Integers
    zero: Integers
    tp: Integers
    sequence_parallel: Integers
    pp: Integers
    pipeline: Integers
    chunks: Integers
    cp: Integers
    ep: Integers
    micro_batch: Integers
    accumulate: Integers
    recompute: Integers
    offload: Integers

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def world(self) -> Integers:
        return self.dp * self.fsdp * self.tp * self.pp * self.cp

    @property
    def ranks_per_node(self) -> Integers:
        return self.world // self.nodes

    def take(self, which: Integers | NDArray[np.bool_]) -> Layouts:
        """The layouts at these positions, or where a mask holds."""
        return Layouts(**{each.name: getattr(self, each.name)[which] for each in fields(self)})

    def at(self, position: int) -> Layout:
        values: dict[str, Any] = {each.name: int(getattr(self, each.name)[position]) for each in fields(self)}
        values["recompute"] = RECOMPUTE[values["recompute"]]
        values["pipeline"] = PIPELINES[values["pipeline"]]
        values |= {name: bool(values[name]) for name in ("sequence_parallel", "offload")}
        return Layout(**values)


DEFAULTS: Final[dict[str, int]] = {
    "zero": 3, "sequence_parallel": 1, "pipeline": ONE_F_ONE_B, "recompute": NONE, "offload": 0,
}  # fmt: skip
"""Of columns that are not given; the others are 1."""


def columns(given: Mapping[str, Integers]) -> Layouts:
    """Layouts of these columns, the others at their defaults."""
    length = len(next(iter(given.values()), np.empty(0)))
    rest = {
        each.name: np.full(length, DEFAULTS.get(each.name, 1), dtype=np.int64)
        for each in fields(Layouts)
        if each.name not in given
    }
    return Layouts(**given, **rest)


def of(layouts: Sequence[Layout]) -> Layouts:
    """Arrays of the given layouts."""
    found = {
        each.name: [int(getattr(layout, each.name)) for layout in layouts]
        for each in fields(Layouts)
        if each.name not in ("recompute", "pipeline")
    }
    found["recompute"] = [RECOMPUTE.index(layout.recompute) for layout in layouts]
    found["pipeline"] = [PIPELINES.index(layout.pipeline) for layout in layouts]
    return Layouts(**{name: np.array(values, dtype=np.int64) for name, values in found.items()})


def enumerate_layouts(
    nodes: Iterable[int],
    ranks_per_node: int,
    global_batch: int,
    shape: ModelShape,
    *,
    executable_only: bool,
    max_micro_batch: int = 64,
) -> Layouts:
    """Every layout that divides evenly: ranks over degrees, batch over data ranks, heads over tp, layers over pp."""
    blocks: list[Integers] = []
    modes = np.array([NONE, FULL] if executable_only else [NONE, SELECTIVE, FULL], dtype=np.int64)
    for count in nodes:
        world = count * ranks_per_node
        for tp, pp in _model_splits(world, ranks_per_node, shape, executable_only=executable_only):
            data_ranks = world // (tp * pp)
            if global_batch % data_ranks:
                continue
            share = global_batch // data_ranks
            micro = np.array([size for size in divisors(share) if size <= max_micro_batch], dtype=np.int64)
            fsdp = np.array(divisors(data_ranks), dtype=np.int64)
            grid = [axis.ravel() for axis in np.meshgrid(fsdp, micro, modes, indexing="ij")]
            same = np.ones_like(grid[0])
            dp, times = data_ranks // grid[0], share // grid[1]
            blocks.append(np.stack([count * same, dp, grid[0], tp * same, pp * same, grid[1], times, grid[2]]))
    rows = np.concatenate(blocks, axis=1) if blocks else np.empty((8, 0), dtype=np.int64)
    names = ("nodes", "dp", "fsdp", "tp", "pp", "micro_batch", "accumulate", "recompute")
    return columns(dict(zip(names, rows, strict=True)))


def _model_splits(
    world: int, ranks_per_node: int, shape: ModelShape, *, executable_only: bool
) -> Iterable[tuple[int, int]]:
    if executable_only:
        return [(1, 1)]
    splits = []
    for tp in divisors(ranks_per_node):
        if shape.heads % tp or shape.ffn % tp or shape.kv_heads % min(tp, shape.kv_heads):
            continue
        splits += [(tp, pp) for pp in divisors(world // tp) if shape.layers % pp == 0]
    return splits


def divisors(number: int) -> list[int]:
    small = [each for each in range(1, int(number**0.5) + 1) if number % each == 0]
    return small + [number // each for each in reversed(small) if each * each != number]


def node_counts(most: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16 … up to `most`: powers of two and one and a half times them."""
    counts = {most} if most < 3 else set()
    power = 1
    while power <= most:
        counts |= {each for each in (power, power * 3 // 2 if power > 1 else 1) if each <= most}
        power *= 2
    return sorted(counts)
