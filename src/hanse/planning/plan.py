"""One workload on one machine: the plan, or a PlanError that says what stood in the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hanse.contracts.base import now
from hanse.contracts.layout import Layout
from hanse.contracts.machine import Machine
from hanse.contracts.plan import Expense, Interval, Plan, StepTime
from hanse.contracts.units import format_count
from hanse.contracts.workload import Workload
from hanse.planning import bounds, error, estimates, expense, explain, interval, memory, search, space, stages
from hanse.planning.clock import Clock
from hanse.planning.levers import levers
from hanse.planning.refuse import Asked
from hanse.planning.search import Choice, Limits, Objective
from hanse.planning.steptime import step_times
from hanse.workloads.shapes import stand_in


def make(
    workload: Workload,
    machine: Machine,
    *,
    nodes: int | None = None,
    partition: str | None = None,
    layout: Layout | None = None,
    max_wall_time_s: float | None = None,
    max_accelerator_seconds: float | None = None,
    finish_by_s: float | None = None,
    objective: Objective | None = None,
    executable_only: bool = True,
    wanted: Mapping[str, int] | None = None,
    with_levers: bool = False,
    others: Sequence[Machine] = (),
) -> Plan:
    """The best layout within the limits, or the given `layout` weighed. Raises PlanError if nothing keeps to them.

    `nodes=None` lets the planner choose: by the objective; without one the fewest that keep `max_wall_time_s` (or the
    given layout's), else the cheapest. `finish_by_s` counts from the run's start. `wanted` holds columns of
    `space.Layouts` to one value. `with_levers`: also what would change the plan, on `others` too.
    """
    limits = Limits(wall_time_s=max_wall_time_s, finish_by_s=finish_by_s, accelerator_seconds=max_accelerator_seconds)
    bounds.check(
        workload,
        nodes=nodes,
        above_zero={
            "the wall time": max_wall_time_s,
            "the time to finish by": finish_by_s,
            "the cap on accelerator-seconds": max_accelerator_seconds,
        },
    )
    count = nodes if nodes is not None else layout.nodes if layout else None
    bounds.check_machine(workload, machine, nodes=count)
    bounds.partition(machine, partition, count)
    shape = workload.shape or stand_in(workload.parameters, workload.vocab, workload.context)
    rules = search.rules(workload, machine, executable_only=executable_only, wanted=wanted)
    most = bounds.widest(machine, partition)
    counts = [count] if count is not None else space.node_counts(most, workload.global_batch, rules.ranks_per_node)
    asked = Asked(
        workload=workload, shape=shape, machine=machine, rules=rules, nodes=tuple(counts), most_nodes=most,
        partition=partition, stages=layout.stages if layout else (),
    )  # fmt: skip
    if layout is not None:
        bounds.check_layout(workload, shape, machine, layout, nodes, executable_only=executable_only)
        choice = search.given(asked, space.of([layout]), limits)
    else:
        choice = search.find(asked, limits, objective)
    plan = _plan(asked, choice, layout)
    if not with_levers:
        return plan
    changed = levers(workload, shape, machine, plan.layout, others=others, executable_only=executable_only)
    return plan.model_copy(update={"levers": changed})


def _plan(asked: Asked, choice: Choice, given: Layout | None) -> Plan:
    workload, shape, machine = asked.workload, asked.shape, asked.machine
    chosen = choice.layouts
    layout = given or stages.laid_out(shape, chosen.at(0))
    queue = bounds.queue_of(machine, asked.partition, layout.nodes)
    clock = Clock(workload=workload, machine=machine, partition=asked.partition)
    times = step_times(workload, shape, machine, chosen, stages=layout.stages)
    total_s = float(times.total[0])
    step_s = interval.around(total_s, workload, machine, layout)
    wall_s = clock.wall_time(layout.nodes, step_s)
    tokens = workload.tokens_per_step
    spent = expense.expense(machine, layout.nodes, wall_s)
    held = memory.fullest(workload, shape, machine, layout)
    share = interval.mfu(workload, machine, total_s, layout.world_size)
    plan = Plan(
        workload=workload,
        machine=machine.id,
        partition=queue.name if queue else None,
        layout=layout,
        step_time=StepTime(
            parts={name: float(part[0]) for name, part in times.parts.items()},
            total_s=step_s,
            hidden={name: float(part[0]) for name, part in times.hidden.items()},
        ),
        memory=held,
        memory_range=interval.scaled(held.total, error.memory_interval(workload, machine)),
        memory_by_stage=memory.by_stage(workload, shape, machine, layout) if layout.pp > 1 else (),
        tokens_per_s=Interval(low=tokens / step_s.high, expected=tokens / total_s, high=tokens / step_s.low),
        mfu=share,
        mfu_range=Interval(
            low=share * total_s / step_s.high, expected=share, high=min(1.0, share * total_s / step_s.low)
        ),
        steps=workload.steps,
        wall_time_s=wall_s,
        accelerator_seconds=round(wall_s.expected * layout.world_size),
        why=(),
        goodput=clock.goodput(layout.nodes, total_s),
        expense=spent,
        outside=error.outside(workload, machine, layout),
        estimates=estimates.of(workload, shape, machine, layout),
        considered=choice.considered,
        searched=choice.weighed.weighed,
        machine_digest=machine.digest(),
        made_at=now(),
    )
    why = explain.sentences(
        plan,
        nodes_because=choice.reason,
        job_limit_s=queue.max_wall_time_s if queue else None,
        charged=_charged(machine, spent),
    )
    return plan.model_copy(update={"why": why})


def _charged(machine: Machine, spent: Expense) -> str:
    """The amount in the site's own unit, where that is not one for each rank and hour."""
    billing = machine.billing
    if billing is None or spent.amount is None or billing.units_per_node_hour == machine.accelerators_per_node:
        return ""
    return f"{format_count(spent.amount.expected)} in its own unit, {billing.unit}"
