"""Memory and time of layouts, in blocks that stay in the processor's cache.

`weigh` does all it is given. `seek` leaves out what cannot be the answer: what does not fit is not timed, and of
layouts that differ only in what they recompute or offload, more of it is tried where less did not fit, since computing
again or moving state away never makes a step shorter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.machine import Machine
from hanse.contracts.workload import ModelShape, Workload
from hanse.planning.clock import Clock
from hanse.planning.least import Least
from hanse.planning.memory import by_stage, footprint
from hanse.planning.space import FULL, Integers, Layouts, Space
from hanse.planning.steptime import step_times

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

BLOCK: Final = 65_536
"""Layouts weighed at once: what they share is computed once a block; step times cut their own slices to the caches."""
_PROBED: Final = 4
"""Ways to work through the batch, for each way to divide ranks and state, from which probes pay."""
_NEAREST: Final = 3
"""Misses kept of each block and mode."""


class Source(Protocol):
    """Numbered layouts: written out, or a space of them."""

    def take(self, which: Integers) -> Layouts: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Misses:
    """Layouts that do not fit, those that need least."""

    numbers: Integers
    nodes: Integers
    memory_bytes: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """Layouts of `source` with time and memory; arrays have shape (timed,), `numbers` say which they are."""

    source: Source
    numbers: Integers
    nodes: Integers
    ranks_per_node: int
    step_s: Array
    memory_bytes: Array
    memory_limit: float
    fits_memory: Mask
    """Of the rank, and what is moved there of the node's main memory."""
    wall_s: Array
    misses: Misses
    """Empty where all was timed whether it fits or not."""
    weighed: int
    """Layouts whose memory was computed, or found to be too much before; the time of those that fit."""

    @property
    def layouts(self) -> Layouts:
        return self.source.take(self.numbers)

    @property
    def accelerator_seconds(self) -> Array:
        return np.asarray(self.wall_s * (self.nodes * self.ranks_per_node))

    def families(self, numbers: Integers) -> Integers:
        """The same for layouts of the source that divide ranks and state alike."""
        if isinstance(self.source, Space):
            return self.source.row_of(numbers)
        layouts = self.source.take(numbers)
        degrees = np.stack([layouts.nodes, layouts.dp, layouts.fsdp, layouts.zero, layouts.tp, layouts.pp, layouts.cp])
        return np.asarray(np.unique(degrees, axis=1, return_inverse=True)[1].ravel())


def weigh(
    workload: Workload, shape: ModelShape, machine: Machine, layouts: Layouts, *, partition: str | None = None,
    stages: tuple[int, ...] = (),
) -> Weighed:  # fmt: skip
    """Time and memory of every layout, whether it fits or not; `stages` of a single layout are as given."""
    times, memories, fits = [np.empty(0)], [np.empty(0)], [np.empty(0, dtype=np.bool_)]
    for start in range(0, len(layouts), BLOCK):
        part = layouts.take(slice(start, start + BLOCK))
        times.append(step_times(workload, shape, machine, part, stages=stages).total)
        prints = footprint(workload, shape, machine, part)
        total, there = prints.total, prints.fits
        if stages:
            held = by_stage(workload, shape, machine, part.at(0).model_copy(update={"stages": stages}))
            total = np.array([max(float(each.total) for each in held)])
            there = (total <= prints.limit) & (prints.host <= prints.host_limit)
        memories.append(total)
        fits.append(there)
    step_s = np.concatenate(times)
    return Weighed(
        source=layouts,
        numbers=np.arange(len(layouts)),
        nodes=layouts.nodes,
        ranks_per_node=machine.accelerators_per_node,
        step_s=step_s,
        memory_bytes=np.concatenate(memories),
        memory_limit=_limit(workload, shape, machine, layouts),
        fits_memory=np.concatenate(fits),
        wall_s=Clock(workload=workload, machine=machine, partition=partition).wall_s(layouts.nodes, step_s),
        misses=_joined([]),
        weighed=len(layouts),
    )


def seek(
    workload: Workload, shape: ModelShape, machine: Machine, space: Space, *, partition: str | None = None
) -> Weighed:
    """Time and memory of every layout of the space that fits and that no plainer one makes needless."""
    least = None
    if space.bases > _PROBED * len(space.first):
        least = Least.of(workload, shape, machine, space)
    found = _sought(workload, shape, machine, space, partition, least)
    if least is not None and not len(found.numbers):
        return _sought(workload, shape, machine, space, partition, None)  # to know what came nearest
    return found


def _sought(
    workload: Workload, shape: ModelShape, machine: Machine, space: Space, partition: str | None, least: Least | None
) -> Weighed:
    seeker = _Seeker(workload, shape, machine, space, partition, least)
    for start in range(0, space.bases, BLOCK):
        seeker.add(start, min(start + BLOCK, space.bases))
    return seeker.found()


class _Seeker:
    """Goes through a space block by block and keeps what fits, in pieces long enough to be timed at once."""

    def __init__(
        self, workload: Workload, shape: ModelShape, machine: Machine, space: Space, partition: str | None,
        least: Least | None,
    ) -> None:  # fmt: skip
        self._what = (workload, shape, machine)
        self._clock = Clock(workload=workload, machine=machine, partition=partition)
        self._space = space
        self._least = least
        self._limit = 0.0
        self._weighed = 0
        self._kept: list[tuple[Integers, Layouts, Array]] = []
        self._waiting = 0
        self._timed: list[tuple[Integers, Integers, Array, Array]] = []
        self._missed: list[Misses] = []

    def add(self, start: int, stop: int) -> None:
        base, rows = self._space.span(start, stop)
        modes = self._space.modes
        least = np.full(len(base), FULL + 1)  # the first mode without offload that fits, by its recompute
        for offload in sorted({mode[1] for mode in modes}):
            open_ = np.arange(len(base))
            for number, (recompute, place) in enumerate(modes):
                if place != offload:
                    continue
                open_ = open_[least[open_] > recompute]
                tried = open_
                if self._least is not None and len(open_):
                    tried = open_[self._least.may_fit(number, rows, base)[open_]]
                    self._weighed += len(open_) - len(tried)
                if len(tried):
                    fits = self._try(base, start, tried, number, recompute, offload)
                    least[tried[fits]] = recompute
                    open_ = open_[least[open_] > recompute]

    def _try(self, base: Layouts, start: int, which: Integers, number: int, recompute: int, offload: int) -> Mask:
        """Which of these fit in this mode; they are kept, and the nearest of the others remembered."""
        same = np.ones(len(which), dtype=np.int64)
        part = base if len(which) == len(base) else base.take(which)
        part = replace(part, recompute=recompute * same, offload=offload * same)
        prints = footprint(*self._what, part)
        total, self._limit = prints.total, prints.limit
        self._weighed += len(which)
        numbers = (start + which) * len(self._space.modes) + number
        fits = prints.fits
        if fits.any():
            self._keep(numbers[fits], part if fits.all() else part.take(fits), total[fits])
        if not fits.all():
            missing = np.flatnonzero(total > prints.limit)
            if len(missing) > _NEAREST:
                missing = missing[np.argpartition(total[missing], _NEAREST - 1)[:_NEAREST]]
            self._missed.append(
                Misses(numbers=numbers[missing], nodes=part.nodes[missing], memory_bytes=total[missing])
            )
        return fits

    def _keep(self, numbers: Integers, layouts: Layouts, memory_bytes: Array) -> None:
        self._kept.append((numbers, layouts, memory_bytes))
        self._waiting += len(numbers)
        if self._waiting >= BLOCK:
            self._time()

    def _time(self) -> None:
        if not self._kept:
            return
        numbers = np.concatenate([each for each, _, _ in self._kept])
        layouts = Layouts.joined([each for _, each, _ in self._kept])
        memory_bytes = np.concatenate([each for _, _, each in self._kept])
        total = step_times(*self._what, layouts).total
        self._timed.append((numbers, layouts.nodes, total, memory_bytes))
        self._kept, self._waiting = [], 0

    def found(self) -> Weighed:
        self._time()
        nothing = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))
        columns = zip(*(self._timed or [nothing]), strict=True)
        numbers, nodes, step_s, memory_bytes = (np.concatenate(column) for column in columns)
        return Weighed(
            source=self._space,
            numbers=numbers,
            nodes=nodes,
            ranks_per_node=self._what[2].accelerators_per_node,
            step_s=step_s,
            memory_bytes=memory_bytes,
            memory_limit=self._limit,
            fits_memory=np.ones(len(numbers), dtype=np.bool_),
            wall_s=self._clock.wall_s(nodes, step_s),
            misses=_joined(self._missed),
            weighed=self._weighed,
        )


def _joined(missed: list[Misses]) -> Misses:
    """All of them, those that need least first."""
    numbers = np.concatenate([np.empty(0, dtype=np.int64), *(each.numbers for each in missed)])
    nodes = np.concatenate([np.empty(0, dtype=np.int64), *(each.nodes for each in missed)])
    memory_bytes = np.concatenate([np.empty(0), *(each.memory_bytes for each in missed)])
    order = np.lexsort((numbers, memory_bytes))
    return Misses(numbers=numbers[order], nodes=nodes[order], memory_bytes=memory_bytes[order])


def _limit(workload: Workload, shape: ModelShape, machine: Machine, layouts: Layouts) -> float:
    return footprint(workload, shape, machine, layouts.take(slice(0, 1))).limit if len(layouts) else 0.0


def least_memory(
    workload: Workload, shape: ModelShape, machine: Machine, space: Space
) -> tuple[Array, float, Integers]:
    """(bytes, limit, numbers) of every base in the modes that save most memory, with offload and without.

    Infinite where main memory does not hold what is moved there.
    """
    memories, limit = [np.empty(0)], 0.0
    last = {offload: number for number, (_, offload) in enumerate(space.modes)}
    each = np.array([*last.values()], dtype=np.int64)
    numbers = (np.arange(space.bases)[:, None] * len(space.modes) + each).ravel()
    for start in range(0, len(numbers), BLOCK):
        prints = footprint(workload, shape, machine, space.take(numbers[start : start + BLOCK]))
        memories.append(np.where(prints.host <= prints.host_limit, prints.total, np.inf))
        limit = prints.limit
    return np.concatenate(memories), limit, numbers
