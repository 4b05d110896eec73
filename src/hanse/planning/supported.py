"""What Hanse's trainer can execute today. The planner proposes nothing else unless asked."""

from __future__ import annotations

from typing import Final

from hanse.contracts.layout import Layout
from hanse.contracts.workload import ModelShape

REDUCES_EVERY_MICRO_BATCH: Final = False
"""Whether sharded gradients are reduced after each micro-batch (they stay sharded) or once a step (they are held whole
meanwhile, and less is sent)."""


def refusal(layout: Layout) -> str | None:
    """Why the trainer cannot execute `layout`, as a sentence; None if it can."""
    degrees = [name for name in ("tp", "pp", "cp", "ep") if getattr(layout, name) > 1]
    if degrees:
        return f"Hanse's trainer does not split a model by {', '.join(degrees)} yet; it can by dp and fsdp."
    if layout.fsdp > 1 and layout.zero < 3:
        return f"Hanse's trainer divides parameters, gradients and optimiser state together, not as zero {layout.zero}."
    if layout.recompute == "selective":
        return "Hanse's trainer recomputes none or full; its attention keeps no scores to save selectively."
    if layout.offload:
        return "Hanse's trainer keeps the optimiser's state on the accelerator."
    return None


def model_refusal(shape: ModelShape) -> str | None:
    """Why the trainer cannot build this model, as a sentence; None if it can."""
    if shape.family == "llama":
        return None
    return (
        "Hanse's trainer builds models of family llama; this one is planned as if it ran there, and needs a model of "
        "your own (model.entry) or another framework."
    )
