"""The section Compute, filled from a plan: hours with their arithmetic, job sizes, memory, storage, months, scaling.

What a person wrote stays: only open fields are filled, and those that still hold what an earlier plan said. Each filled
value is kept beside the form, so that a change of it can be seen and put back.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from hanse.contracts.application import Draft, Filled, MonthOfUse, ScalingPoint
from hanse.contracts.errors import UsageError
from hanse.contracts.machine import Machine, Partition
from hanse.contracts.plan import Plan
from hanse.contracts.scaling import ScalingTable
from hanse.contracts.units import (
    SECONDS_PER_HOUR,
    format_bytes,
    format_count,
    format_percent,
    format_seconds,
    hours_of,
)
from hanse.programme.completeness import value

CHECKPOINTS_KEPT = 2
LOG_BYTES = 10**9
STORAGE_SPARE = 0.2
WEIGHT_BYTES, MOMENT_BYTES = 4, 8
"""Of a checkpoint, a trained parameter: its weight and Adam's two moments in fp32."""
FROZEN_BYTES = 2
SMALL_VOCAB = 2**16
"""Up to so many tokens an id is stored in two bytes, else in four."""


def fill(
    draft: Draft,
    plan: Plan,
    *,
    machine: Machine | None = None,
    scaling: ScalingTable | None = None,
    spare: float = 0.0,
    again: bool = False,
) -> Draft:
    """The draft with its section Compute from the plan.

    `machine` gives the longest job its partitions allow; `spare` is a share of the hours asked for beside what the plan
    needs; `again` puts back what was changed by hand.

    Raises:
        UsageError: plan and scaling table or machine are not of the same machine, or `spare` is not in [0, 1].
    """
    for name, other in (("scaling table", scaling and scaling.machine), ("description", machine and machine.id)):
        if other and other != plan.machine:
            raise UsageError(f"the plan is for {plan.machine} and the {name} for {other}", fix="Give two that belong.")
    if not 0 <= spare <= 1:
        raise UsageError(f"a spare share of {spare:g} is not between 0 and 1", where="spare")
    hours = max(1, ceil(plan.accelerator_seconds * (1 + spare) / SECONDS_PER_HOUR))
    values: dict[str, Any] = {
        "compute.machine": plan.machine,
        "compute.partition": plan.partition,
        "compute.gpu_hours": hours,
        "compute.arithmetic": arithmetic(plan, hours, spare=spare),
        **_jobs(plan, machine),
        **_storage(plan),
    }
    if scaling is not None:
        values |= _scaling(scaling, plan)
    source = f"plan {plan.workload.name} on {plan.machine}, {plan.made_at:%-d %B %Y} ({plan.digest()[:12]})"
    made = _put(draft, values, source, again=again)
    duration, asked = made.whole.project.duration_months, made.whole.compute.gpu_hours
    if duration and asked:
        made = _put(made, {"compute.by_month": by_month(asked, duration)}, source, again=again)
    return made


def arithmetic(plan: Plan, hours: int, *, spare: float = 0.0) -> str:
    """How the hours come about, line by line, from steps to what is asked for."""
    ranks, step = plan.layout.world_size, plan.step_time.total_s
    useful = plan.steps * step.expected * ranks / SECONDS_PER_HOUR
    needed = plan.accelerator_seconds / SECONDS_PER_HOUR
    lines = [
        f"{format_count(plan.workload.total_tokens)} tokens at {format_count(plan.workload.tokens_per_step)} a step: "
        f"{plan.steps:,} steps.",
        f"{plan.steps:,} steps × {format_seconds(step.expected)} × {ranks:,} accelerators = {useful:,.0f} GPU-hours "
        f"(80 % interval of a step: {format_seconds(step.low)} to {format_seconds(step.high)}).",
    ]
    if plan.goodput is not None:
        lines.append(
            f"Failures, checkpoints and restarts leave {plan.goodput.share.expected * 100:.1f} % of the time a "
            f"job holds its nodes: {needed:,.0f} GPU-hours."
        )
    else:
        lines.append(f"Charged for the whole run: {needed:,.0f} GPU-hours.")
    if spare:
        lines.append(f"With {format_percent(spare)} spare for tests and repeated runs: {hours:,} GPU-hours.")
    else:
        lines.append(f"Asked for: {hours:,} GPU-hours.")
    if plan.expense is not None and plan.expense.amount is not None and plan.expense.unit:
        lines.append(
            f"The machine's own unit for the run: {plan.expense.amount.expected:,.0f} {hours_of(plan.expense.unit)}."
        )
    return "\n".join(lines)


def by_month(gpu_hours: int, months: int) -> tuple[MonthOfUse, ...]:
    """`gpu_hours` spread evenly over the months, in whole hours that come to exactly that.

    Evenly, because sites give a month's share of the whole and lower the priority of what goes beyond.
    """
    if gpu_hours < 0 or months < 1:
        raise ValueError("hours are spread over at least one month")
    ends = [gpu_hours * month // months for month in range(months + 1)]
    return tuple(
        MonthOfUse(month=n, gpu_hours=ends[n] - ends[n - 1], milestone=f"{n * 100 // months} % of the training")
        for n in range(1, months + 1)
    )


def changed(draft: Draft) -> tuple[Filled, ...]:
    """What a plan filled in and a person has changed since."""
    return tuple(one for one in draft.whole.filled if _text(value(draft, one.path)) != one.value)


def spread_again(draft: Draft) -> Draft:
    """The months anew after hours or duration were changed, where they still stand as a plan had spread them."""
    path, compute, months = "compute.by_month", draft.whole.compute, draft.whole.project.duration_months
    kept = next((one for one in draft.whole.filled if one.path == path), None)
    if kept is None or not months or not compute.gpu_hours or _text(compute.by_month) not in ("", kept.value):
        return draft
    return _put(draft, {path: by_month(compute.gpu_hours, months)}, kept.source, again=True)


def _jobs(plan: Plan, machine: Machine | None) -> dict[str, Any]:
    layout, total_s = plan.layout, max(1, ceil(plan.wall_time_s.expected))
    longest = _longest(plan, machine)
    wall_time_s = min(total_s, longest) if longest else total_s
    stages = plan.memory_by_stage
    average = sum(one.total for one in stages) // len(stages) if stages else None
    return {
        "compute.jobs.nodes_largest": layout.nodes,
        "compute.jobs.nodes_average": layout.nodes,
        "compute.jobs.accelerators_per_node": layout.ranks_per_node,
        "compute.jobs.wall_time_s": wall_time_s,
        "compute.jobs.at_once": 1,
        "compute.jobs.count": ceil(total_s / wall_time_s),
        "compute.jobs.memory_bytes_largest": plan.memory.total * layout.world_size,
        "compute.jobs.memory_bytes_average": average * layout.world_size if average is not None else None,
        "compute.jobs.checkpoints": True,
        "compute.jobs.checkpoint_every_s": plan.goodput.checkpoint_every_s if plan.goodput else None,
    }


def _longest(plan: Plan, machine: Machine | None) -> int | None:
    """The longest wall time of a partition that takes jobs of this size; None where that is not known."""
    if machine is None:
        return None

    def takes(partition: Partition) -> bool:
        most = partition.max_nodes or partition.nodes or plan.layout.nodes
        return most >= plan.layout.nodes and plan.partition in (None, partition.name)

    return max((one.max_wall_time_s for one in machine.partitions if takes(one) and one.max_wall_time_s), default=None)


def _storage(plan: Plan) -> dict[str, Any]:
    workload = plan.workload
    data = workload.total_tokens * (2 if workload.vocab <= SMALL_VOCAB else 4)
    trained = workload.trainable
    checkpoint = trained * (WEIGHT_BYTES + MOMENT_BYTES) + (workload.parameters - trained) * FROZEN_BYTES
    whole = ceil((data + CHECKPOINTS_KEPT * checkpoint + LOG_BYTES) * (1 + STORAGE_SPARE))
    why = (
        f"Tokens as they are read: {format_bytes(data)}. {CHECKPOINTS_KEPT} checkpoints of {format_bytes(checkpoint)} "
        f"(weights and Adam's moments in fp32). Logs: {format_bytes(LOG_BYTES)}. With {format_percent(STORAGE_SPARE)} "
        f"spare: {format_bytes(whole)}. The text before it was cut into tokens is not in it."
    )
    return {
        "compute.storage.scratch_bytes": whole,
        "compute.storage.transfer_bytes": data,
        "compute.storage.why": why,
    }


def _scaling(table: ScalingTable, plan: Plan) -> dict[str, Any]:
    points = tuple(
        ScalingPoint(
            nodes=row.option.nodes, accelerators=row.option.accelerators, tokens_per_s=row.option.tokens_per_s.expected,
            speed_up=row.speed_up, efficiency=row.efficiency,
        )
        for row in table.rows
    )  # fmt: skip
    if not points:
        return {}
    nodes = plan.layout.nodes
    first, last = points[0], points[-1]
    here = next((one for one in reversed(points) if one.nodes <= nodes), last)
    text = (
        f"Predicted by Hanse's planner for {table.machine}, not measured. From {first.nodes} to {here.nodes} nodes "
        f"({table.kind} scaling) {format_percent(here.efficiency)} of the throughput per accelerator is kept"
        + (f", to {last.nodes} nodes {format_percent(last.efficiency)}" if last.nodes > here.nodes else "")
        + f". {' '.join(plan.why[:2])}"
    )
    return {
        "compute.scaling": points,
        "compute.scaling_kind": table.kind,
        "compute.scaling_evidence": text.strip(),
    }


def _put(draft: Draft, values: Mapping[str, Any], source: str, *, again: bool) -> Draft:
    """The draft with each value at its path, unless a person wrote something else there."""
    kept = {one.path: one for one in draft.whole.filled}
    whole = draft.whole
    for path, new in values.items():
        if new is None:
            continue
        now = value(draft, path)
        ours = path in kept and _text(now) == kept[path].value
        if again or now in (None, (), "") or ours:
            whole = _with(whole, path.split("."), new)
        kept[path] = Filled(path=path, value=_text(new), source=source)
    return draft.model_copy(update={"whole": whole.model_copy(update={"filled": tuple(kept.values())})})


def _with(held: Any, path: list[str], new: Any) -> Any:
    name, *rest = path
    return held.model_copy(update={name: _with(getattr(held, name), rest, new) if rest else new})


def _text(held: Any) -> str:
    """A value as it is kept for comparing."""
    if isinstance(held, tuple):
        return "; ".join(one.canonical().decode() if hasattr(one, "canonical") else str(one) for one in held)
    return "" if held is None else str(held)
