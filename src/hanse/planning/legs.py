"""From one way to train across machines to what each leg is launched with: its own plan, for its share.

Its share of the tokens is what its calendar gives it (`training.outer.steps`): rounds × inner steps × its batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from hanse.contracts.across import AcrossSpec
from hanse.contracts.machine import Machine
from hanse.contracts.plan import Plan
from hanse.contracts.workload import Workload
from hanse.planning.plan import make
from hanse.planning.ways import Way


def plan_of(way: Way, machine: Machine, workload: Workload, *, partition: str | None = None) -> Plan:
    """The plan of the leg on that machine, on the nodes and for the batch that the comparison gave it.

    Raises:
        KeyError: the way has no leg there.
        PlanError: it fits in no way there.
    """
    leg = next((each for each in way.legs if each.machine == machine.id), None)
    if leg is None:
        raise KeyError(machine.id)
    tokens = way.exchanges * leg.inner_steps * leg.batch * workload.context
    part = workload.model_copy(update={"global_batch": leg.batch, "total_tokens": tokens})
    return make(part, machine, nodes=leg.nodes, partition=partition, executable_only=True)


def settled(asked: AcrossSpec, way: Way) -> AcrossSpec:
    """What train.yaml says, and for what it leaves open what the comparison chose."""
    assert way.terms is not None
    chosen = {name: getattr(way.terms, name) for name in ("inner_steps", "codec", "fragments", "overlap_steps")}
    return asked.model_copy(update={name: value for name, value in chosen.items() if getattr(asked, name) is None})


def apart(ways: Sequence[Way]) -> Way:
    """The way with a leg on each machine."""
    return next(way for way in ways if way.kind == "apart")
