"""Layers of each pipeline stage where they do not divide evenly.

Embedding and head stand at the ends and take time and memory of their own (Narayanan et al. 2021 count them as part of
the first and last stage), so the stages with a layer less stand there: first the end with the head, then the other.
"""

from __future__ import annotations

from hanse.contracts.layout import Layout
from hanse.contracts.workload import ModelShape


def uneven(layers: int, stages: int) -> tuple[int, ...]:
    """Layers of each stage in the model's order; they differ by one at most."""
    few, more = divmod(layers, stages)
    short = stages - more
    found = [few + 1] * stages
    # The end with the head is the slowest; what is left to shorten after both ends lies next to them.
    for place in range(short):
        found[-1 - place // 2 if place % 2 == 0 else place // 2] = few
    return tuple(found)


def laid_out(shape: ModelShape, layout: Layout) -> Layout:
    """The layout with its stages written down where they are uneven."""
    stages = layout.pp * layout.chunks
    if layout.stages or stages == 1 or shape.layers % stages == 0:
        return layout
    return layout.model_copy(update={"stages": uneven(shape.layers, stages)})
