"""What a layout needs at least, from a few probes: spares weighing most of those that cannot fit.

Memory is the largest of sums that grow evenly with the micro-batch (`hanse.planning.memory`), hence convex in it: the
line through the probes at one and two sequences lies below. It rises with the micro-batches of a step, so that one of
them, or as many as fill a plain pipeline, is the least there is; other schedules hold no fewer of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.machine import Machine
from hanse.contracts.workload import ModelShape, Workload
from hanse.planning.memory import footprint
from hanse.planning.space import Integers, Layouts, Space, columns


@dataclass(frozen=True, slots=True)
class Least:
    """Arrays have shape (modes, 2, rows of the space): one micro-batch a step, and a full pipeline of them."""

    shape: ModelShape
    one: NDArray[np.float64]
    more: NDArray[np.float64]
    """Bytes for each further sequence of a micro-batch."""
    limit: float

    @classmethod
    def of(cls, workload: Workload, shape: ModelShape, machine: Machine, space: Space) -> Least:
        rows, limit = len(space.first), np.inf
        full = np.maximum(space.rows["pp"], 2)
        totals = np.empty((len(space.modes), 2, 2, rows))
        for number, (recompute, offload) in enumerate(space.modes):
            for place, accumulate in enumerate((np.ones_like(full), full)):
                for micro_batch in (1, 2):
                    same = {"recompute": recompute, "offload": offload, "micro_batch": micro_batch}
                    given = {name: np.full(rows, value, dtype=np.int64) for name, value in same.items()}
                    probed = columns({**space.rows, **given, "accumulate": accumulate})
                    prints = footprint(workload, shape, machine, probed)
                    totals[number, place, micro_batch - 1], limit = prints.total, prints.limit
        return cls(shape, totals[:, :, 0], totals[:, :, 1] - totals[:, :, 0], limit)

    def may_fit(self, mode: int, rows: Integers, layouts: Layouts) -> NDArray[np.bool_]:
        """False for what cannot. `layouts` are of these rows; their own mode does not matter."""
        full = (layouts.accumulate >= np.maximum(layouts.pp, 2)).astype(np.int64)
        least = self.one[mode][full, rows] + (layouts.micro_batch - 1) * self.more[mode][full, rows]
        return np.asarray((least <= self.limit) | self._differs(layouts))

    def _differs(self, layouts: Layouts) -> NDArray[np.bool_]:
        """Where chunks give ranks other layers than the probes' plain pipeline does."""
        several = layouts.chunks > 1
        if self.shape.experts is not None and self.shape.experts.dense_layers:
            return several
        return np.asarray(several & (self.shape.layers % (layouts.pp * layouts.chunks) != 0))
