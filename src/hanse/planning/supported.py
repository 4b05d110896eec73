"""What Hanse's trainer can execute, as `workloads.layouts` has it; the planner proposes nothing else unless asked."""

from __future__ import annotations

from typing import Final

from hanse.contracts.layout import Layout
from hanse.contracts.workload import ModelShape, Workload
from hanse.workloads import layouts
from hanse.workloads.supported import shape_refusal

REDUCES_EVERY_MICRO_BATCH: Final = False
"""Whether sharded gradients are reduced after each micro-batch (they stay sharded) or once a step (they are held whole
meanwhile, and less is sent)."""


def refusal(layout: Layout, workload: Workload | None = None) -> str | None:
    """Why the trainer cannot execute `layout` (of this workload, where it is known), as a sentence; None if it can.

    It names the nearest layout that works, where there is one.
    """
    if workload is None:
        return layouts.refusal(layout)
    return layouts.refusal(
        layout,
        workload.shape,
        own_module=workload.shape is None,
        tuned=workload.training != "pretraining",
        compiled=workload.compiled,
    )


def model_refusal(shape: ModelShape) -> str | None:
    """Why the trainer cannot build this model, as a sentence; None if it can."""
    if shape_refusal(shape) is None:
        return None
    return (
        "Hanse's trainer builds models of family llama and plain mixtures of them; this one is planned as if it ran "
        "there, and needs a model of your own (model.entry) or another framework."
    )
