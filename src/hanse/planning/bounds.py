"""What a machine and a request allow: partitions, numbers of nodes, ranges of what was typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hanse.contracts.errors import PlanError, UsageError
from hanse.contracts.layout import Layout
from hanse.contracts.machine import Machine, Partition
from hanse.contracts.workload import ModelShape, Workload
from hanse.planning.space import Rules
from hanse.planning.supported import refusal

_MOST_NODES_OF_A_REFERENCE: Final = 1024
_MOST_BATCH: Final = 10**8
_MOST_PARAMETERS: Final = 10**14


def rules(
    workload: Workload,
    machine: Machine,
    *,
    executable_only: bool,
    wanted: Mapping[str, int] | None = None,
    beyond: bool = False,
) -> Rules:
    """What bounds the space of this workload on this machine; `wanted` and `beyond` as in `Rules`."""
    return Rules(
        ranks_per_node=machine.accelerators_per_node,
        domain_ranks=machine.accelerators_per_node * machine.domain_nodes,
        global_batch=workload.global_batch,
        context=workload.context,
        executable_only=executable_only,
        # Without both figures nobody can say what moving the optimiser's state would take.
        offload=machine.host_memory_bytes is not None and machine.host_bytes_per_s is not None,
        wanted=wanted or {},
        beyond=beyond,
    )


def check(workload: Workload, *, nodes: int | None, above_zero: dict[str, float | None]) -> None:
    """One clear message for what no training can be."""
    if nodes is not None and nodes < 1:
        raise UsageError(f"{nodes} nodes hold nothing", where=workload.name, fix="Ask for one node or more.")
    for name, value in above_zero.items():
        if value is not None and not value > 0:
            raise UsageError(f"{name} is {value:g}; it must be more than 0", where=workload.name)
    if workload.parameters > _MOST_PARAMETERS:
        raise UsageError(
            f"a model of {workload.parameters:,} parameters is larger than any this planner was made for",
            where=workload.name,
            fix=f"Check the dimensions: {_MOST_PARAMETERS:,} is the most.",
        )
    if workload.global_batch > _MOST_BATCH:
        raise UsageError(
            f"a batch of {workload.global_batch:,} sequences is larger than any this planner was made for",
            where=workload.name,
            fix=f"Check batch: it counts sequences, not tokens; {_MOST_BATCH:,} is the most.",
        )


def check_machine(workload: Workload, machine: Machine, *, nodes: int | None = None) -> None:
    """Raises PlanError if too little is known of a machine to plan on it, or if it lacks the precision."""
    missing = []
    if not machine.accelerator.peak_flops:
        missing.append(f"the peak rates of {machine.accelerator.name}")
    if machine.accelerators_per_node > 1 and machine.in_node is None:
        missing.append("the links in its node")
    if machine.status == "planned" and machine.nodes is None and nodes is None:
        missing.append("its number of nodes")
    if missing:
        alone = missing == ["its number of nodes"]
        raise PlanError(
            f"{machine.name} cannot be planned for: nobody has published {' and '.join(missing)}",
            where=f"{workload.name} on {machine.id}",
            fix="Say how many nodes." if alone else f"'hanse machines show {machine.id}' says what is known of it.",
        )
    check_precision(workload, machine)


def check_precision(workload: Workload, machine: Machine) -> None:
    known = machine.accelerator.peak_flops
    if workload.precision not in known:
        raise PlanError(
            f"{machine.accelerator.name} has no {workload.precision} rate",
            where=f"{workload.name} on {machine.id}",
            fix=f"Set precision: {' or '.join(known)}.",
        )


def partition(machine: Machine, name: str | None, nodes: int | None) -> Partition | None:
    """The named partition, or the first that takes that many nodes."""
    if not machine.partitions:
        if name is not None:
            raise PlanError(f'{machine.id} has no partition "{name}"', where=machine.id)
        if nodes is not None and machine.nodes is not None and nodes > machine.nodes:
            raise PlanError(
                f"{nodes} nodes are more than {machine.id} has",
                where=machine.id,
                fix=f"Ask for {machine.nodes} at most.",
            )
        return None
    named = [each for each in machine.partitions if name is None or each.name == name]
    if not named:
        known = ", ".join(dict.fromkeys(each.name for each in machine.partitions))
        raise PlanError(f'{machine.id} has no partition "{name}"', where=machine.id, fix=f"Known: {known}.")
    found = queue_of(machine, name, nodes)
    if found is None:
        most = max(most_nodes(machine, each) for each in named)
        raise PlanError(
            f"{nodes} nodes are more than {named[0].name if name else machine.id} gives one job",
            where=machine.id,
            fix=f"Ask for {most} at most.",
        )
    return found


def queue_of(machine: Machine, name: str | None, nodes: int | None) -> Partition | None:
    """The first partition (of that name) that takes so many nodes; None if none does."""
    for each in machine.partitions:
        if (name is None or each.name == name) and (nodes is None or nodes <= most_nodes(machine, each)):
            return each
    return None


def widest(machine: Machine, name: str | None = None) -> int:
    """The most nodes any partition, or the named one, gives one job."""
    named = [each for each in machine.partitions if name is None or each.name == name]
    return max((most_nodes(machine, each) for each in named), default=most_nodes(machine, None))


def most_nodes(machine: Machine, queue: Partition | None) -> int:
    bounds = [machine.nodes, queue.nodes if queue else None, queue.max_nodes if queue else None]
    return min((each for each in bounds if each is not None), default=_MOST_NODES_OF_A_REFERENCE)


def check_layout(
    workload: Workload,
    shape: ModelShape,
    machine: Machine,
    layout: Layout,
    nodes: int | None,
    *,
    executable_only: bool,
) -> None:
    """Raises PlanError if a layout of the user's does not divide ranks, batch and model, or cannot be executed."""
    where = f"layout {layout.describe()}"
    if executable_only and (because := refusal(layout, workload)) is not None:
        raise PlanError(because, where=where)
    if nodes is not None and layout.nodes != nodes:
        raise PlanError(f"the layout has {layout.nodes} nodes and where.nodes asks for {nodes}", where=where)
    ranks = machine.accelerators(layout.nodes)
    if layout.world_size != ranks:
        raise PlanError(
            f"its degrees make {layout.world_size} ranks and {layout.nodes} nodes of {machine.id} hold {ranks}",
            where=where,
            fix=f"Make dp × fsdp × tp × pp × cp equal {ranks}, or change nodes.",
        )
    if layout.global_batch != workload.global_batch:
        raise PlanError(
            f"it works through {layout.global_batch} sequences a step and batch is {workload.global_batch}",
            where=where,
            fix="Make dp × fsdp × micro_batch × accumulate equal batch.",
        )
    if workload.shape is not None and (because := _undivided(shape, workload.context, layout)) is not None:
        raise PlanError(because, where=where)


def _undivided(shape: ModelShape, context: int, layout: Layout) -> str | None:
    """What of the model the layout does not divide."""
    stages = layout.pp * layout.chunks
    if shape.heads % layout.tp or shape.ffn % layout.tp:
        return f"tp {layout.tp} does not divide {shape.heads} heads and a feed-forward of {shape.ffn}"
    if stages > shape.layers:
        return f"{stages} stages are more than the model's {shape.layers} layers"
    if layout.stages and sum(layout.stages) != shape.layers:
        return f"its stages hold {sum(layout.stages)} layers and the model has {shape.layers}"
    if layout.cp > 1 and context % (2 * layout.cp):
        return f"cp {layout.cp} cuts a context in {2 * layout.cp} pieces, and {context} does not divide so"
    held = shape.experts.count if shape.experts is not None else 1
    if held % layout.ep:
        return f"ep {layout.ep} does not divide {held} expert{'s' if held > 1 else ''}"
    if layout.dp * layout.fsdp * layout.cp % layout.ep:
        return f"ep {layout.ep} does not divide the {layout.dp * layout.fsdp * layout.cp} ranks of dp × fsdp × cp"
    return None
