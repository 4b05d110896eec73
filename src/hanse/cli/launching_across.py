"""Launch one training with a leg on each of several machines: weigh them, plan each leg, and start them as one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hanse.cli import costing, pick, planning
from hanse.cli.machine import unknown
from hanse.contracts.errors import PlanError, UsageError

if TYPE_CHECKING:
    from hanse.cli.planning import Question
    from hanse.client.answers import LaunchLeg
    from hanse.client.api import Client
    from hanse.contracts.machine import Machine
    from hanse.contracts.plan import Plan
    from hanse.contracts.programme import Allocation
    from hanse.contracts.run import Run
    from hanse.contracts.spec import TrainSpec
    from hanse.planning.ways import Between

SMOKE_ROUNDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Legs:
    """A launch across machines, planned: the spec with all that its legs agree on, and a plan for each machine."""

    spec: TrainSpec
    plans: tuple[tuple[Machine, Plan, int], ...]
    """With the inner steps of each leg."""
    made: Between


def refuse_beside(machine: str | None, allocation: str | None) -> None:
    """Raises UsageError for options that name one place."""
    if machine is not None or allocation is not None:
        raise UsageError(
            f"{'--machine' if machine else '--allocation'} names one place, and this train.yaml has across:.",
            fix="where.machines names the machines; of each your open allocation is charged.",
        )


def in_smoke(spec: TrainSpec, steps: int) -> TrainSpec:
    """The same, exchanging twice in so few steps."""
    assert spec.across is not None
    few = {"inner_steps": max(1, steps // SMOKE_ROUNDS), "fragments": 1, "overlap_steps": 0}
    return spec.model_copy(update={"across": spec.across.model_copy(update=few)})


def alone(asked: Question, machine: Machine) -> Plan:
    """The whole on one machine: within the limits; where it cannot keep to them, what it does soonest."""
    try:
        return planning.answer(asked, machine)
    except PlanError:
        unbound = replace(asked, wall_time_s=None, gpu_hours=None, finish_by_s=None, objective="time")
        return planning.answer(unbound, machine)


def weigh(spec: TrainSpec, spec_path: Path, machines: Sequence[Machine]) -> Legs:
    """What each machine would train, and what the legs agree on.

    Raises:
        PlanError: a leg has no layout on its machine.
    """
    from hanse.planning import between, legs

    assert spec.across is not None
    asked = planning.question(spec, spec_path)
    made = between.compare(
        [alone(asked, each) for each in machines], machines, inner_steps=spec.across.inner_steps,
        codec=spec.across.codec, limits=asked.limits(),
    )  # fmt: skip
    way = legs.apart(made.ways)
    steps = {leg.machine: leg.inner_steps for leg in way.legs}
    plans = tuple(
        (each, legs.plan_of(way, each, made.workload, partition=spec.where.partition), steps[each.id])
        for each in machines
    )
    return Legs(spec=spec.model_copy(update={"across": legs.settled(spec.across, way)}), plans=plans, made=made)


def launch(client: Client, spec: TrainSpec, spec_path: Path, *, say: Callable[[str], None]) -> Run:
    """Start it on all machines. Whatever the service refuses is raised with its findings."""
    from hanse.cli import launching

    open_to_me, known = client.allocations(), {one.id: one for one in client.machines()}
    reserved = launching.reserved(spec)
    charged = {name: pick.allocation(open_to_me, (name,), reserved, None) for name in spec.where.machines}
    for name in spec.where.machines:
        if name not in known:
            raise unknown(name, tuple(known))
    found = weigh(spec, spec_path, [known[name] for name in spec.where.machines])
    for line in told(found):
        say(line)
    for machine, plan, _ in found.plans:
        for sentence in costing.before_launch(client, plan, charged[machine.id]):
            say(f"{machine.id}: {sentence}")
    parts = tuple(_leg(machine, plan, steps, charged[machine.id]) for machine, plan, steps in found.plans)
    first = parts[0]
    return client.launch(
        found.spec, first.plan, allocation=first.allocation, machine=first.machine, legs=parts,
        code_sha256=launching.send_code(client, found.spec, spec_path, first.machine, say),
    )  # fmt: skip


def _leg(machine: Machine, plan: Plan, steps: int, charged: Allocation) -> LaunchLeg:
    from hanse.client.answers import LaunchLeg

    return LaunchLeg(machine=machine.id, allocation=charged.id, plan=plan, inner_steps=steps)


def told(found: Legs) -> list[str]:
    """The shares and the arithmetic; and the advice to stay on one machine, where that is better."""
    from hanse.planning import between_text, legs

    way, best = legs.apart(found.made.ways), found.made.best
    lines = [
        f"{leg.machine}: {leg.nodes} {'node' if leg.nodes == 1 else 'nodes'}, {leg.batch} sequences a step, "
        f"{leg.inner_steps} steps a round"
        for leg in way.legs
    ]
    lines += between_text.arithmetic(found.made, way)
    if best is not None and best.kind == "one machine":
        lines.append(f"It would fit on {best.machines[0]} alone; without across: it is launched so.")
    return lines
