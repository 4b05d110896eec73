"""One workload over many machines and numbers of nodes: the best layout on each, and which nothing else beats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hanse.contracts.errors import HanseError, PlanError
from hanse.contracts.machine import Machine
from hanse.contracts.plan import Interval
from hanse.contracts.scaling import Option
from hanse.contracts.workload import ModelShape, Workload
from hanse.planning import bounds, expense, interval, pareto, space, stages
from hanse.planning.choose import Limits, Objective, best_of_each_count, within
from hanse.planning.clock import Clock
from hanse.planning.weigh import Weighed, seek
from hanse.workloads.shapes import stand_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found, and of each machine without an option why it has none."""

    options: tuple[Option, ...]
    left_out: tuple[tuple[str, str], ...]
    weighed: int


def options(
    workload: Workload,
    machines: Iterable[Machine],
    *,
    nodes: Iterable[int] | None = None,
    max_wall_time_s: float | None = None,
    max_accelerator_seconds: float | None = None,
    finish_by_s: float | None = None,
    objective: Objective | None = None,
    executable_only: bool = True,
) -> tuple[Option, ...]:
    """The best layout on each machine and number of nodes that keeps to the limits, what serves the objective first.

    `nodes=None`: as many numbers as a machine's partitions give one job, `space.node_counts` of them.
    """
    limits = Limits(wall_time_s=max_wall_time_s, finish_by_s=finish_by_s, accelerator_seconds=max_accelerator_seconds)
    found = survey(workload, machines, nodes=nodes, limits=limits, objective=objective, executable_only=executable_only)
    return found.options


def survey(
    workload: Workload,
    machines: Iterable[Machine],
    *,
    nodes: Iterable[int] | None = None,
    limits: Limits,
    objective: Objective | None = None,
    executable_only: bool = True,
) -> Survey:
    """`options` with the machines that have none and why.

    The front is of time and accelerator-seconds, or of time and energy where that is the objective: machines whose
    power nobody knows are left out of it then.
    """
    bounds.check(workload, nodes=None, above_zero={})
    counts = tuple(nodes) if nodes is not None else None
    shape = workload.shape or stand_in(workload.parameters, workload.vocab, workload.context)
    found: list[Option] = []
    left_out: list[tuple[str, str]] = []
    weighed = 0
    for machine in machines:
        try:
            if objective == "energy" and expense.node_watts(machine) is None:
                raise PlanError("nobody has published what its nodes or accelerators draw, so its energy is not known")
            rows, count = _on_one(workload, shape, machine, counts, limits, executable_only=executable_only)
        except HanseError as error:
            left_out.append((machine.id, error.what))
            continue
        found += rows
        weighed += count
    walls = np.array([each.wall_time_s.expected for each in found])
    spent = np.array([_spent(each, objective) for each in found])
    best = pareto.front(walls, spent)
    marked = [each.model_copy(update={"best": bool(flag)}) for each, flag in zip(found, best, strict=True)]
    marked.sort(key=lambda each: (*_rank(each, objective), each.machine, each.nodes))
    return Survey(options=tuple(marked), left_out=tuple(left_out), weighed=weighed)


def _spent(option: Option, objective: Objective | None) -> float:
    """Joules where they are what is asked for, else accelerator-seconds."""
    return option.energy_joules or 0.0 if objective == "energy" else float(option.accelerator_seconds)


def _rank(option: Option, objective: Objective | None) -> tuple[float, float]:
    decides = (option.wall_time_s.expected, _spent(option, objective))
    return decides if objective in (None, "time") else decides[::-1]


def _on_one(
    workload: Workload,
    shape: ModelShape,
    machine: Machine,
    nodes: tuple[int, ...] | None,
    limits: Limits,
    *,
    executable_only: bool,
) -> tuple[list[Option], int]:
    bounds.check_machine(workload, machine, nodes=min(nodes) if nodes else None)
    rules = bounds.rules(workload, machine, executable_only=executable_only)
    most = bounds.widest(machine)
    counts = nodes or space.node_counts(most, workload.global_batch, rules.ranks_per_node)
    layouts = space.whole([each for each in counts if each <= most], shape, rules)
    if not len(layouts):
        raise PlanError("its nodes do not share the batch evenly")
    weighed = seek(workload, shape, machine, layouts)
    if not len(weighed.numbers):
        raise PlanError("the model does not fit into its memory")
    allowed = within(weighed, limits)
    if not allowed.any():
        raise PlanError("nothing on it keeps to the limits")
    positions = best_of_each_count(weighed, allowed)
    return [option(workload, shape, machine, weighed, each) for each in positions], weighed.weighed


def option(workload: Workload, shape: ModelShape, machine: Machine, weighed: Weighed, position: int) -> Option:
    """What is weighed at this position."""
    layout = stages.laid_out(shape, weighed.source.take(weighed.numbers[[position]]).at(0))
    step_s = interval.around(float(weighed.step_s[position]), workload, machine, layout)
    wall_s = Clock(workload=workload, machine=machine).wall_time(layout.nodes, step_s)
    tokens, ranks = workload.tokens_per_step, layout.world_size
    used = round(wall_s.expected * ranks)
    energy = expense.expense(machine, layout.nodes, wall_s).energy_joules
    return Option(
        machine=machine.id,
        nodes=layout.nodes,
        accelerators=ranks,
        layout=layout,
        global_batch=workload.global_batch,
        step_time_s=step_s,
        tokens_per_s=Interval(low=tokens / step_s.high, expected=tokens / step_s.expected, high=tokens / step_s.low),
        mfu=interval.mfu(workload, machine, step_s.expected, ranks),
        wall_time_s=wall_s,
        accelerator_seconds=used,
        energy_joules=energy.expected if energy else None,
    )
