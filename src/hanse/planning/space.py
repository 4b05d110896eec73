"""Layouts as arrays: one entry a layout, all formulas broadcast over them; and the whole space of them, kept small.

Ranks are numbered with tp fastest, then cp, fsdp, dp, then pp: what talks most sits nearest. A `Space` holds one row
for each way to divide ranks and state, a table of ways to work through the batch, and what may be recomputed or
offloaded; its layouts are all combinations, written out a block at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.layout import Layout
from hanse.contracts.workload import ModelShape
from hanse.planning import options
from hanse.planning.options import (
    FULL,
    INTERLEAVED,
    NONE,
    ONE_F_ONE_B,
    PIPELINES,
    RECOMPUTE,
    SELECTIVE,
    ZERO_BUBBLE,
    Integers,
    Rules,
    divisors,
    node_counts,
)

__all__ = [
    "FULL", "INTERLEAVED", "NONE", "ONE_F_ONE_B", "PIPELINES", "RECOMPUTE", "SELECTIVE", "ZERO_BUBBLE",
    "Integers", "Layouts", "Rules", "Space", "columns", "divisors", "enumerate_layouts", "node_counts", "of", "whole",
]  # fmt: skip

_ROW: Final = ("nodes", "dp", "fsdp", "zero", "tp", "sequence_parallel", "pp", "cp", "ep")
_SCHEDULE: Final = ("micro_batch", "accumulate", "pipeline", "chunks")


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

    def take(self, which: Integers | NDArray[np.bool_] | slice) -> Layouts:
        """The layouts at these positions, or where a mask holds."""
        return Layouts(**{each.name: getattr(self, each.name)[which] for each in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence[Layouts]) -> Layouts:
        """One after another; at least one."""
        if len(parts) == 1:
            return parts[0]
        return cls(**{each.name: np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)})

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Rows (ranks and state), each with `count` of the schedules from `first` on, each with every mode.

    Layouts are numbered row by row, schedule by schedule, mode by mode; without modes that number is a `base`.
    """

    rows: Mapping[str, Integers]
    first: Integers
    starts: Integers
    """Base at which each row begins, and at last their number."""
    schedules: Mapping[str, Integers]
    modes: tuple[tuple[int, int], ...]
    """(recompute, offload)."""

    @property
    def bases(self) -> int:
        return int(self.starts[-1])

    def __len__(self) -> int:
        return self.bases * len(self.modes)

    def span(self, start: int, stop: int) -> tuple[Layouts, Integers]:
        """(layouts, rows) of the bases from `start` up to `stop`, with recompute none and nothing offloaded."""
        begin, end = np.searchsorted(self.starts, (start, stop - 1), side="right") - 1
        edges = np.clip(self.starts[begin : end + 2], start, stop)
        row = np.repeat(np.arange(begin, end + 1), np.diff(edges))
        return self._written(row, np.arange(start, stop)), row

    def blocks(self, size: int) -> Iterator[Layouts]:
        """All layouts, up to `size` at a time, mode by mode: for what need not know their numbers."""
        for start in range(0, self.bases, size):
            base, _ = self.span(start, min(start + size, self.bases))
            for recompute, offload in self.modes:
                same = np.ones(len(base), dtype=np.int64)
                yield replace(base, recompute=recompute * same, offload=offload * same)

    def take(self, which: Integers) -> Layouts:
        """The layouts of these numbers."""
        base, mode = np.divmod(which, len(self.modes))
        row = np.searchsorted(self.starts, base, side="right") - 1
        recompute, offload = np.array(self.modes, dtype=np.int64).reshape(-1, 2).T
        return replace(self._written(row, base), recompute=recompute[mode], offload=offload[mode])

    def at(self, number: int) -> Layout:
        return self.take(np.array([number])).at(0)

    def row_of(self, which: Integers) -> Integers:
        """Layouts of one row divide ranks and state alike."""
        return np.asarray(np.searchsorted(self.starts, which // len(self.modes), side="right") - 1)

    def _written(self, row: Integers, base: Integers) -> Layouts:
        schedule = (self.first - self.starts[:-1])[row] + base
        found = {name: column[row] for name, column in self.rows.items()}
        found |= {name: column[schedule] for name, column in self.schedules.items()}
        nothing = np.zeros(len(row), dtype=np.int64)
        return Layouts(**found, recompute=nothing, offload=nothing)


def whole(nodes: Iterable[int], shape: ModelShape, rules: Rules) -> Space:
    """Every layout on these numbers of nodes that divides evenly and is of use."""
    splits = _splits(np.array(sorted(set(nodes)), dtype=np.int64), shape, rules)
    table, first, count = _tables(splits["data"], lambda ranks: options.sharding(ranks, rules.executable_only), 2)
    split, place = _ragged(first, count)
    fsdp, zero = table[:, place]
    rows: dict[str, Integers] = {name: splits[name][split] for name in _ROW if name in splits}
    rows |= {"dp": splits["data"][split] // fsdp, "fsdp": fsdp, "zero": zero}
    kept = _wanted(rows, rules)
    rows, split = {name: column[kept] for name, column in rows.items()}, split[kept]

    layers, most = shape.layers, rules.max_micro_batch
    held = splits["share"] * (layers + 1) + splits["pp"]
    table, first, count = _tables(
        held, lambda key: _schedules(key // (layers + 1), key % (layers + 1), layers, most, rules), len(_SCHEDULE)
    )
    return Space(
        rows=rows,
        first=first[split],
        starts=np.concatenate([[0], np.cumsum(count[split], dtype=np.int64)]),
        schedules=dict(zip(_SCHEDULE, table, strict=True)),
        modes=rules.modes,
    )


def enumerate_layouts(
    nodes: Iterable[int],
    ranks_per_node: int,
    global_batch: int,
    shape: ModelShape,
    *,
    executable_only: bool,
    max_micro_batch: int = 64,
    offload: bool = False,
    domain_nodes: int = 1,
) -> Layouts:
    """Every layout of `whole`, written out."""
    rules = Rules(
        ranks_per_node=ranks_per_node, global_batch=global_batch, context=shape.context, offload=offload,
        executable_only=executable_only, max_micro_batch=max_micro_batch, domain_ranks=ranks_per_node * domain_nodes,
    )  # fmt: skip
    found = whole(nodes, shape, rules)
    return found.take(np.arange(len(found)))


def _splits(nodes: Integers, shape: ModelShape, rules: Rules) -> dict[str, Integers]:
    """nodes × tp × pp × cp × ep where the ranks divide and the batch divides over the data ranks."""
    found = {"nodes": nodes, "left": nodes * rules.ranks_per_node}
    found = _wider(found, "tp", options.tensor(shape, rules))
    found = _wider(found, "pp", options.pipeline(shape, rules))
    found = _wider(found, "cp", options.context(rules))
    found["data"] = found.pop("left")
    even = rules.global_batch % np.maximum(found["data"], 1) == 0
    found = {name: column[even] for name, column in found.items()}
    degrees = np.array(options.experts(shape, rules), dtype=np.int64)
    split, degree = np.divmod(np.arange(len(found["data"]) * len(degrees)), len(degrees))
    ep = degrees[degree]
    fits = (found["data"] * found["cp"])[split] % ep == 0
    found = {name: column[split[fits]] for name, column in found.items()} | {"ep": ep[fits]}
    found["sequence_parallel"] = (rules.context // found["cp"] % found["tp"] == 0).astype(np.int64)
    found["share"] = rules.global_batch // np.maximum(found["data"], 1)
    kept = _wanted(found, rules)
    return {name: column[kept] for name, column in found.items()}


def _wider(found: dict[str, Integers], name: str, degrees: list[int]) -> dict[str, Integers]:
    """Every split with every degree that divides the ranks it has left."""
    each = np.array(degrees, dtype=np.int64)
    left, degree = np.nonzero(found["left"][:, None] % each[None, :] == 0)
    wider = {key: column[left] for key, column in found.items()}
    return wider | {name: each[degree], "left": wider["left"] // each[degree]}


def _wanted(found: Mapping[str, Integers], rules: Rules) -> NDArray[np.bool_]:
    kept = np.ones(len(next(iter(found.values()))), dtype=np.bool_)
    for name, value in rules.wanted.items():
        if name in found:
            kept &= found[name] == value
    return kept


def _schedules(share: int, pp: int, layers: int, max_micro_batch: int, rules: Rules) -> Integers:
    table = options.schedules(share, pp, layers, max_micro_batch)
    if not rules.wanted.keys() & set(_SCHEDULE):
        return table
    return table[:, _wanted(dict(zip(_SCHEDULE, table, strict=True)), rules)]


def _tables(keys: Integers, make: Callable[[int], Integers], width: int) -> tuple[Integers, Integers, Integers]:
    """(all keys' tables one after another, where each key's begins, how long it is)."""
    distinct, which = np.unique(keys, return_inverse=True)
    made = [make(int(key)) for key in distinct]
    lengths = np.array([each.shape[1] for each in made], dtype=np.int64)
    begins = np.cumsum(lengths) - lengths
    table = np.concatenate(made, axis=1) if made else np.empty((width, 0), dtype=np.int64)
    return table, begins[which], lengths[which]


def _ragged(first: Integers, count: Integers) -> tuple[Integers, Integers]:
    """(owner, place): place runs over first … first + count for each owner."""
    owner = np.repeat(np.arange(len(count)), count)
    begins = np.cumsum(count) - count
    return owner, first[owner] + np.arange(len(owner)) - begins[owner]
