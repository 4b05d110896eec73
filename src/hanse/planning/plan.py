"""One workload on one machine: the plan, or a PlanError that says what stood in the way."""

from __future__ import annotations

from typing import Final

import numpy as np

from hanse.contracts.base import now
from hanse.contracts.errors import PlanError
from hanse.contracts.layout import Layout
from hanse.contracts.machine import Machine, Partition
from hanse.contracts.plan import Interval, Plan, StepTime
from hanse.contracts.units import format_count
from hanse.contracts.workload import ModelShape, Workload
from hanse.machines import rates
from hanse.planning import explain, search, space
from hanse.planning.memory import footprint
from hanse.planning.search import Choice, Limits
from hanse.planning.steptime import step_times
from hanse.planning.supported import refusal
from hanse.workloads.shapes import stand_in

_MOST_NODES_OF_A_REFERENCE: Final = 1024
_STARTUP_S: Final = {"local": 15.0, "slurm": 60.0, "firecrest": 60.0}
"""Starting processes, importing torch, the rendezvous, the first batch; the queue is not in it."""
_FORMULAS: Final = (0.85, 1.35)
"""80 % interval of measured over predicted where rates are published and not measured."""
_CALIBRATED_SPREAD: Final = 0.12
"""Relative half-width of what the formulas themselves add to a calibration's spread."""


def make(
    workload: Workload,
    machine: Machine,
    *,
    nodes: int | None = None,
    partition: str | None = None,
    layout: Layout | None = None,
    max_wall_time_s: float | None = None,
    max_accelerator_seconds: float | None = None,
    executable_only: bool = True,
) -> Plan:
    """The best layout within the limits, or the given `layout` weighed. Raises PlanError if nothing keeps to them.

    `nodes=None` lets the planner choose: under a wall time the fewest nodes that keep it, else the cheapest number.
    """
    _check_precision(workload, machine)
    queue = _partition(machine, partition, nodes or (layout.nodes if layout else None))
    limits = Limits(
        wall_time_s=max_wall_time_s,
        accelerator_seconds=max_accelerator_seconds,
        startup_s=_STARTUP_S[machine.scheduler.kind],
    )
    shape = workload.shape or stand_in(workload.parameters, workload.vocab, workload.context)
    if layout is not None:
        _check_layout(workload, machine, layout, nodes, executable_only=executable_only)
        layouts = space.of([layout])
    else:
        counts = [nodes] if nodes else space.node_counts(_most_nodes(machine, queue))
        layouts = space.enumerate_layouts(
            counts, machine.accelerators_per_node, workload.global_batch, shape, executable_only=executable_only
        )
        if not len(layouts):
            raise _indivisible(workload, machine, nodes)
    weighed = search.weigh(workload, shape, machine, layouts, limits)
    choice = search.choose(workload, machine, weighed, limits)
    return _plan(workload, shape, machine, queue, choice, limits)


def _plan(
    workload: Workload, shape: ModelShape, machine: Machine, queue: Partition | None, choice: Choice, limits: Limits
) -> Plan:
    weighed, position = choice.weighed, choice.position
    chosen = weighed.layouts.take(np.array([position]))
    layout = chosen.at(0)
    times = step_times(workload, shape, machine, chosen)
    total_s = float(times.total[0])
    low, high = _interval(machine)
    step_s = Interval(low=total_s * low, expected=total_s, high=total_s * high)
    tokens = workload.tokens_per_step
    peak = machine.accelerator.peak_flops[workload.precision] * layout.world_size
    steps = workload.steps
    plan = Plan(
        workload=workload,
        machine=machine.id,
        partition=queue.name if queue else None,
        layout=layout,
        step_time=StepTime(parts={name: float(part[0]) for name, part in times.parts.items()}, total_s=step_s),
        memory=footprint(workload, shape, machine, chosen).at(0),
        tokens_per_s=Interval(low=tokens / step_s.high, expected=tokens / total_s, high=tokens / step_s.low),
        mfu=min(1.0, workload.flops_per_token * tokens / total_s / peak),
        steps=steps,
        wall_time_s=Interval(
            low=steps * step_s.low + limits.startup_s,
            expected=steps * total_s + limits.startup_s,
            high=steps * step_s.high + limits.startup_s,
        ),
        accelerator_seconds=round((steps * total_s + limits.startup_s) * layout.world_size),
        why=(),
        estimates=_estimates(workload, shape, machine, layout, limits),
        considered=choice.considered,
        searched=len(weighed.layouts),
        machine_digest=machine.digest(),
        made_at=now(),
    )
    why = explain.sentences(
        plan,
        nodes_because=choice.reason,
        job_limit_s=queue.max_wall_time_s if queue else None,
        charged=_charged(machine, layout, plan.wall_time_s.expected),
    )
    return plan.model_copy(update={"why": why})


def _charged(machine: Machine, layout: Layout, wall_s: float) -> str:
    """The amount in the site's own unit, where that is not one for each rank and hour."""
    billing = machine.billing
    if billing is None or billing.units_per_node_hour == machine.accelerators_per_node:
        return ""
    amount = wall_s / 3600 * layout.nodes * billing.units_per_node_hour
    return f"{format_count(amount)} in its own unit, {billing.unit}"


def _interval(machine: Machine) -> tuple[float, float]:
    if machine.calibration is None:
        return _FORMULAS
    half = min(0.6, float(np.hypot(machine.calibration.spread, _CALIBRATED_SPREAD)))
    return 1 - half, 1 + half


def _estimates(
    workload: Workload, shape: ModelShape, machine: Machine, layout: Layout, limits: Limits
) -> tuple[str, ...]:
    """What this plan rests on that nobody measured or published."""
    found = []
    for source in machine.sources:
        if source.confidence in ("estimate", "derived"):
            how = "an estimate" if source.confidence == "estimate" else "derived, not published"
            found.append(f"{machine.name}: {source.part}: {how}.")
    if machine.calibration is None:
        if machine.accelerator.kind != "cpu" and not rates.ceiling(machine.accelerator)[1]:
            found.append(f"Which share of its peak an {machine.accelerator.name} reaches: an estimate.")
        found.append("This machine was not calibrated: published peaks and the shares of them that others measured.")
    if workload.shape is None:
        found.append(
            f"The module's shape is not known: planned as a transformer of {shape.layers} layers of {shape.hidden} "
            "with about as many parameters."
        )
    found.append(f"Start-up of {limits.startup_s:.0f} s a job: an estimate; waiting in the queue is not counted.")
    if (because := refusal(layout)) is not None:
        found.append(because)
    return tuple(found)


def _check_precision(workload: Workload, machine: Machine) -> None:
    known = machine.accelerator.peak_flops
    if workload.precision not in known:
        raise PlanError(
            f"{machine.accelerator.name} has no {workload.precision} rate",
            where=f"{workload.name} on {machine.id}",
            fix=f"Set precision: {' or '.join(known)}.",
        )


def _partition(machine: Machine, name: str | None, nodes: int | None) -> Partition | None:
    """The named partition, or the first that takes that many nodes."""
    if not machine.partitions:
        if name is not None:
            raise PlanError(f'{machine.id} has no partition "{name}"', where=machine.id)
        return None
    named = [each for each in machine.partitions if name is None or each.name == name]
    if not named:
        known = ", ".join(dict.fromkeys(each.name for each in machine.partitions))
        raise PlanError(f'{machine.id} has no partition "{name}"', where=machine.id, fix=f"Known: {known}.")
    wide_enough = [each for each in named if nodes is None or nodes <= _most_nodes(machine, each)]
    if not wide_enough:
        most = max(_most_nodes(machine, each) for each in named)
        raise PlanError(
            f"{nodes} nodes are more than {named[0].name if name else machine.id} gives one job",
            where=machine.id,
            fix=f"Ask for {most} at most.",
        )
    return wide_enough[0]


def _most_nodes(machine: Machine, queue: Partition | None) -> int:
    bounds = [machine.nodes, queue.nodes if queue else None, queue.max_nodes if queue else None]
    return min((each for each in bounds if each is not None), default=_MOST_NODES_OF_A_REFERENCE)


def _check_layout(
    workload: Workload, machine: Machine, layout: Layout, nodes: int | None, *, executable_only: bool
) -> None:
    where = f"layout {layout.describe()}"
    if layout.cp > 1 or layout.ep > 1:
        raise PlanError("the planner does not know context and expert parallelism yet", where=where)
    if executable_only and (because := refusal(layout)) is not None:
        raise PlanError(because, where=where)
    if nodes is not None and layout.nodes != nodes:
        raise PlanError(f"the layout has {layout.nodes} nodes and where.nodes asks for {nodes}", where=where)
    ranks = machine.accelerators(layout.nodes)
    if layout.world_size != ranks:
        raise PlanError(
            f"its degrees make {layout.world_size} ranks and {layout.nodes} nodes of {machine.id} hold {ranks}",
            where=where,
            fix=f"Make dp × fsdp × tp × pp equal {ranks}, or change nodes.",
        )
    if layout.global_batch != workload.global_batch:
        raise PlanError(
            f"it works through {layout.global_batch} sequences a step and batch is {workload.global_batch}",
            where=where,
            fix="Make dp × fsdp × micro_batch × accumulate equal batch.",
        )


def _indivisible(workload: Workload, machine: Machine, nodes: int | None) -> PlanError:
    ranks = machine.accelerators(nodes or 1)
    batch = workload.global_batch
    below, above = batch // ranks * ranks, -(-batch // ranks) * ranks
    multiples = " or ".join(str(each) for each in (below, above) if each)
    held = f"{nodes} node{'s' if nodes != 1 else ''}" if nodes else "a node"
    return PlanError(
        f"a batch of {batch} sequences cannot be shared evenly by the {ranks} ranks of {held}",
        where=f"{workload.name} on {machine.id}",
        fix=f"Set batch: {multiples}.",
    )
