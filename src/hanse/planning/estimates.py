"""What a plan rests on that nobody measured or published, in sentences."""

from __future__ import annotations

from hanse.contracts.layout import Layout
from hanse.contracts.machine import Machine
from hanse.contracts.workload import ModelShape, Workload
from hanse.machines import facts, rates
from hanse.planning import clock, expense, goodput
from hanse.planning.supported import model_refusal, refusal


def of(workload: Workload, shape: ModelShape, machine: Machine, layout: Layout) -> tuple[str, ...]:
    """Of one plan; `shape` stands in where the workload has none."""
    found = []
    for source in machine.sources:
        if source.confidence in ("estimate", "derived"):
            how = "an estimate" if source.confidence == "estimate" else "derived, not published"
            found.append(f"{machine.name}: {facts.in_words(source.part)}: {how}.")
    if machine.calibration is None:
        if machine.accelerator.kind != "cpu" and not rates.ceiling(machine.accelerator)[1]:
            found.append(f"Which share of its peak an {machine.accelerator.name} reaches: an estimate.")
        found.append("This machine was not calibrated: published peaks and the shares of them that others measured.")
    if workload.shape is None:
        found.append(_module(workload, shape))
    startup_s = clock.STARTUP_S[machine.scheduler.kind]
    found.append(f"Start-up of {startup_s:.0f} s a job: an estimate; waiting in the queue is not counted.")
    if machine.scheduler.kind != "local":
        # A host of one's own neither fails as clusters do nor has its power known.
        found += goodput.estimates(machine, spread=False)
        found += expense.estimates(machine)
    found += [because for because in (refusal(layout, workload), model_refusal(shape)) if because is not None]
    return tuple(found)


def _module(workload: Workload, shape: ModelShape) -> str:
    if workload.blocks:
        return (
            "The module's FLOPs, bytes and activations are those that tracing counted; how fast its products run, and "
            f"what is sent for it, is taken from a transformer of {shape.layers} layers of {shape.hidden}."
        )
    return (
        f"The module's shape is not known: planned as a transformer of {shape.layers} layers of {shape.hidden} "
        "with about as many parameters."
    )
