"""Scaling tables as an application for compute asks for them: the same training on more and more nodes.

strong: the batch stays. weak: it grows with the nodes, so that each accelerator keeps its share (Gustafson 1988).
Efficiency is tokens a second an accelerator over that of the first row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from hanse.contracts.errors import HanseError, PlanError, UsageError
from hanse.contracts.machine import Machine
from hanse.contracts.scaling import Option, ScalingRow, ScalingTable
from hanse.contracts.workload import Workload
from hanse.planning import across, bounds
from hanse.planning.choose import Limits


def table(
    workload: Workload,
    machine: Machine,
    kind: Literal["strong", "weak"],
    *,
    nodes: Iterable[int] | None = None,
    executable_only: bool = True,
) -> ScalingTable:
    """The best layout on each number of nodes; numbers on which none fits are left out. PlanError if none is left.

    The workload's batch is that of the fewest nodes of a weak table. `nodes=None`: powers of two.
    """
    counts = sorted(set(nodes)) if nodes is not None else _powers(bounds.widest(machine))
    if not counts or counts[0] < 1:
        raise UsageError("a scaling table needs numbers of nodes from 1 on", where=workload.name)
    found = _strong(workload, machine, counts, executable_only=executable_only)
    if kind == "weak" and found:
        least = found[0].nodes
        found = _weak(workload, machine, [each for each in counts if each >= least], executable_only=executable_only)
    if not found:
        raise PlanError(
            "no layout fits on any of these numbers of nodes",
            where=f"{workload.name} on {machine.id}",
            fix="'hanse plan' with the most of them says what is short.",
        )
    rows = tuple(_row(each, found[0]) for each in found)
    return ScalingTable(kind=kind, machine=machine.id, rows=rows)


def _strong(workload: Workload, machine: Machine, counts: list[int], *, executable_only: bool) -> list[Option]:
    bounds.check_machine(workload, machine, nodes=min(counts))
    survey = across.survey(workload, [machine], nodes=counts, limits=Limits(), executable_only=executable_only)
    return sorted(survey.options, key=lambda each: each.nodes)


def _weak(workload: Workload, machine: Machine, counts: list[int], *, executable_only: bool) -> list[Option]:
    found: list[Option] = []
    for each in counts:
        batch, rest = divmod(workload.global_batch * each, counts[0])
        if rest:
            continue
        grown = workload.model_copy(update={"global_batch": batch})
        try:
            found += _strong(grown, machine, [each], executable_only=executable_only)
        except HanseError:
            continue
    return found


def _row(option: Option, first: Option) -> ScalingRow:
    speed_up = option.tokens_per_s.expected / first.tokens_per_s.expected
    return ScalingRow(option=option, speed_up=speed_up, efficiency=speed_up * first.accelerators / option.accelerators)


def _powers(most: int) -> list[int]:
    return [1 << power for power in range(most.bit_length())]
