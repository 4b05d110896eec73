"""Going on with fewer nodes: a partition that has lost some cannot start a job that wants them all.

Only where the user allows it (`where.min_nodes`). Each attempt is planned anew, so that the next has all of its nodes
again once they are back. The trainer reads a checkpoint into whatever layout it is given.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.db import models, transaction

from hanse.contracts.errors import PlanError
from hanse.contracts.plan import Plan
from hanse.contracts.run import FINAL_ATTEMPT_STATES, AttemptState, RunState
from hanse.service.runs.events import Event

WAITS: Final = (AttemptState.PLANNED, AttemptState.QUEUED)


def plan_for(run: Any, leg: Any) -> Plan | None:
    """For the leg's next attempt, on as many nodes as are sound; None: as it was planned, or not at all on fewer."""
    planned: Plan | None = leg.plan or run.plan
    least = run.spec.where.min_nodes
    if planned is None or least is None:
        return None
    sound = sound_nodes(run, leg, planned)
    if sound is None or sound >= planned.layout.nodes:
        return None
    from hanse.planning.plan import make

    for nodes in _counts(sound, least):
        try:
            return make(planned.workload, leg.machine.facts, nodes=nodes, partition=planned.partition)
        except PlanError:  # the batch does not divide, or the memory does not suffice
            continue
    return None


def _counts(sound: int, least: int) -> list[int]:
    """All there are, then powers of two, which most batches divide."""
    powers = [1 << power for power in range(sound.bit_length() - 1, -1, -1)]
    return [nodes for nodes in dict.fromkeys((sound, *powers, least)) if least <= nodes <= sound]


def sound_nodes(run: Any, leg: Any, planned: Plan) -> int | None:
    """Of the leg's partition: neither down by the scheduler's word nor to blame by ours; None where nobody knows."""
    from hanse.service.runs import trouble

    state = leg.machine.state
    if state is None:
        return None
    wanted = planned.partition or leg.allocation.partition or run.spec.where.partition
    named = [each for each in state.partitions if each.name == wanted]
    [partition] = named or (state.partitions if len(state.partitions) == 1 else [None])
    if partition is None or not partition.nodes:
        return None
    known = {each.name for each in state.bad_nodes}
    ours = [node for node in trouble.blamed(run, leg.machine) if node not in known]
    return max(0, partition.nodes - partition.nodes_down - len(ours))


def look_after(at: datetime) -> int:  # noqa: ARG001 - a chore is told the time
    """Have attempts that wait in vain for lost nodes end: the next is planned on fewer. How many. Idempotent."""
    from hanse.service.runs.attempts import Attempt

    waiting = Attempt.objects.filter(
        models.Q(after=None) | models.Q(after__state__in=FINAL_ATTEMPT_STATES), state__in=WAITS, started_at=None,
        recalled="", leg__run__state=RunState.QUEUED, leg__run__spec__where__min_nodes__gte=1,
    )  # fmt: skip
    rows = waiting.select_related("leg__run", "leg__machine", "leg__allocation", "machine")
    return sum(_replace(attempt) for attempt in rows)


def _replace(attempt: Any) -> bool:
    from hanse.service.access.awards import Allocation
    from hanse.service.runs import chains

    leg = attempt.leg
    found = plan_for(leg.run, leg)
    if found is None or found.layout.nodes >= attempt.job.nodes:
        return False
    with transaction.atomic():
        run = leg.run.locked()
        attempt.refresh_from_db(fields=["state", "recalled", "started_at", "offered_at"])
        if run.is_final or attempt.state not in WAITS or attempt.recalled or attempt.started_at is not None:
            return False
        leg.run = run
        Event.record(
            "service:attempt:fewer-nodes", attempt.public_id, by="tick", reason=chains.FEWER_NODES, run=run.public_id,
            planned=attempt.job.nodes, nodes=found.layout.nodes,
        )  # fmt: skip
        for each in reversed([one for one in chains.attempts_of(leg) if one.state not in FINAL_ATTEMPT_STATES]):
            each.recall(chains.FEWER_NODES, by="tick")
        if not any(one.state not in FINAL_ATTEMPT_STATES for one in chains.attempts_of(leg)):
            run.plan_next(leg, Allocation.locked(leg.allocation.public_id), by="tick")  # no agent had been told of it
    return True
