"""Layers of each pipeline stage where they do not divide evenly.

Embedding and head stand at the ends and take time and memory of their own, so the stages with a layer less stand there:
the last before the first, then those after the first.
"""

from __future__ import annotations

from hanse.contracts.layout import Layout
from hanse.contracts.workload import ModelShape


def stages(layers: int, count: int) -> tuple[int, ...]:
    """Layers of each stage in the model's order; they differ by one at most."""
    few, more = divmod(layers, count)
    order = [*range(count - 2, 0, -1), 0, count - 1] if count > 1 else [0]
    longer = set(order[:more])
    return tuple(few + (place in longer) for place in range(count))


def laid_out(shape: ModelShape, layout: Layout) -> Layout:
    """The layout with its stages written down where they are uneven."""
    count = layout.pp * layout.chunks
    if layout.stages or count == 1 or shape.layers % count == 0:
        return layout
    return layout.model_copy(update={"stages": stages(shape.layers, count)})
