"""From spec, plan and machine to the one job an attempt is. Pure: contracts in, contracts out."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.contracts.job import JobSpec, Step
from hanse.contracts.machine import Machine, Partition
from hanse.contracts.plan import Plan
from hanse.contracts.spec import TrainSpec

MIN_WALL_TIME_S = 60
"""Less is not worth queueing for."""
STOP_SIGNAL_BEFORE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a job asks of a machine."""

    partition: str | None
    nodes: int
    accelerators_per_node: int
    """Ranks on each node."""
    held_per_node: int
    """What the site counts: an exclusive partition gives, and charges, whole nodes."""
    wall_time_s: int

    @property
    def held(self) -> int:
        return self.nodes * self.held_per_node

    @property
    def accelerator_seconds(self) -> int:
        """At most, when all of the wall time is used."""
        return self.held * self.wall_time_s


def partition_of(spec: TrainSpec, plan: Plan | None, machine: Machine, granted: str) -> Partition | str | None:
    """The partition asked for, planned for or granted; the machine's only one; None for the scheduler's default.

    A name the machine does not know comes back as that name.
    """
    name = spec.where.partition or (plan.partition if plan else None) or granted or None
    if name is None:
        return machine.partitions[0] if len(machine.partitions) == 1 else None
    nodes = spec.where.nodes if spec.command is not None else plan.layout.nodes if plan else None
    return _entry(machine, name, nodes) or name


def _entry(machine: Machine, name: str | None, nodes: int | None) -> Partition | None:
    """Of the partition's entries, one for each QoS, the first that gives one job so many nodes; else the first."""
    named = [each for each in machine.partitions if each.name == name]
    wide = [each for each in named if nodes is None or each.max_nodes is None or nodes <= each.max_nodes]
    return next(iter(wide or named), None)


def shape_of(spec: TrainSpec, plan: Plan | None, machine: Machine, *, granted_partition: str = "") -> Shape:
    """Nodes and time of every attempt of a run, before its hours are looked at."""
    if spec.command is not None:
        nodes, ranks = spec.where.nodes or 1, spec.command.accelerators_per_node
    else:
        assert plan is not None, "a training is launched with its plan"
        nodes, ranks = plan.layout.nodes, plan.layout.ranks_per_node
    partition = partition_of(spec, plan, machine, granted_partition)
    known = partition if isinstance(partition, Partition) else None
    whole = known is not None and known.exclusive
    limits = [spec.where.wall_time_s, *([known.max_wall_time_s] if known and known.max_wall_time_s else [])]
    return Shape(
        partition=known.name if known else partition,  # type: ignore[arg-type]
        nodes=nodes,
        accelerators_per_node=ranks,
        held_per_node=max(ranks, machine.accelerators_per_node) if whole else ranks,
        wall_time_s=min(limits),
    )


def job_of(
    spec: TrainSpec,
    machine: Machine,
    shape: Shape,
    *,
    run_id: str,
    attempt_id: str,
    number: int,
    wall_time_s: int,
    account: str,
) -> JobSpec:
    """The job of one attempt: tokenise, then train; or the user's command."""
    known = _entry(machine, shape.partition, shape.nodes)
    steps: tuple[Step, ...]
    if spec.command is not None:
        steps = (Step(name="command", argv=("bash", "-c", spec.command.run), nodes=shape.nodes),)
    else:
        steps = (
            Step(name="prepare", argv=("hanse", "train", "--prepare"), nodes=1),
            Step(name="train", argv=("hanse", "train"), nodes=shape.nodes),
        )
    return JobSpec(
        name=f"hanse-{attempt_id}",
        run_id=run_id,
        attempt_id=attempt_id,
        attempt_number=number,
        machine=machine.id,
        partition=shape.partition,
        account=account or spec.where.account,
        qos=known.qos if known else None,
        nodes=shape.nodes,
        accelerators_per_node=shape.accelerators_per_node,
        wall_time_s=wall_time_s,
        steps=steps,
        image=spec.command.image if spec.command else None,
        # A program that does not know the signal would be killed by it.
        stop_signal_before_s=0 if spec.command else min(STOP_SIGNAL_BEFORE_S, wall_time_s // 4),
        uses_code_bundle=spec.command is not None,
    )
