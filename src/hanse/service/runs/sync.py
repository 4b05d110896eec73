"""One sync of an agent: what it saw is stored, what is wanted of it is answered. Repeating one changes nothing.

An agent of the previous protocol hears of everything open each time; one of the present only of what changed since the
answer it names by its cursor.

Everything of a sync happens in one transaction under the machine's lock, so that a hello of a newer agent comes either
before it, and refuses it, or after it.
"""

from __future__ import annotations

import logging

from django.db import transaction

from hanse.contracts.agentapi import ACCEPTED_PROTOCOLS, Assignment, Observation, SyncRequest, SyncResponse
from hanse.contracts.errors import UsageError
from hanse.contracts.run import AttemptState
from hanse.contracts.site import MachineState
from hanse.service.runs import abreast, exchanges, metering
from hanse.service.runs.attempts import Attempt
from hanse.service.runs.events import Event
from hanse.service.runs.lifecycle import Run
from hanse.service.runs.machines import MACHINE_CONTRACTS, Machine, UnknownProtocol
from hanse.service.runs.parcels import Parcel
from hanse.service.runs.telemetry import LogChunk, StepRow
from hanse.service.runs.trail import TrailRow

logger = logging.getLogger(__name__)


def sync(machine: Machine, request: SyncRequest) -> SyncResponse:
    """Take in an agent's report and answer every attempt the service wants something of.

    Raises:
        UsageError: another protocol.
        Conflict: a newer agent speaks for this machine.
    """
    if request.protocol not in ACCEPTED_PROTOCOLS:
        raise UnknownProtocol(request.protocol).note(machine)
    previous = request.protocol == 1
    with transaction.atomic():
        # Not FOR UPDATE: what others write meanwhile refers to this row, and would wait for it with locks of their own.
        machine = Machine.objects.select_for_update(no_key=True).defer(*MACHINE_CONTRACTS).get(pk=machine.pk)
        machine.require_epoch(request.epoch)
        # First, since what follows upon an attempt's end is planned for the nodes that are left.
        if request.state is not None:
            Machine.objects.filter(pk=machine.pk).update(state=_dated(request.state, machine.state))
        attempts = _attempts(machine, request)
        _take_rows(attempts, request)
        _take_results(machine, request)
        acknowledged = _take_observations(machine, attempts, request)
        _take_machine(machine, request)
        machine.heard(acknowledged=acknowledged)
        assignments, closed, cursor = Attempt.offer(machine, 0 if previous else request.cursor)
        if previous:  # it knows neither the kill switch nor a stop with a checkpoint, but it can end jobs
            assignments = tuple(_in_its_words(one, stopped=machine.stopped) for one in assignments)
        return SyncResponse(
            protocol=request.protocol, acknowledged=machine.acknowledged, assignments=assignments,
            drain=machine.draining or (previous and machine.stopped), cursor=cursor, closed=closed,
            stop=machine.stopped, accounts=metering.accounts_of(machine), send=Parcel.orders_for(machine),
            bring=exchanges.to_bring(machine), lost=abreast.lost_beside(machine),
        )  # fmt: skip


def _in_its_words(assignment: Assignment, *, stopped: bool) -> Assignment:
    """For protocol 1."""
    if stopped or assignment.desired == "stop":
        return assignment.model_copy(update={"desired": "cancel"})
    return assignment


def _take_machine(machine: Machine, request: SyncRequest) -> None:
    """What it tells of its accounts' jobs, and how its parcels stand."""
    if request.jobs:
        metering.take_jobs(machine, request.jobs)
    if request.budgets:
        metering.take_budgets(machine, request.budgets)
    for parcel in Parcel.take(machine, request.parcels):
        if parcel.kind == "outer":
            exchanges.go_on(parcel)


def _dated(state: MachineState, before: MachineState | None) -> MachineState:
    """With the time since which each partition that is not up has been heard not to be."""
    known = {each.name: each.down_since for each in before.partitions if not each.up} if before else {}
    return state.model_copy(
        update={
            "partitions": tuple(
                each.model_copy(update={"down_since": None if each.up else known.get(each.name) or state.at})
                for each in state.partitions
            )
        }
    )


def _attempts(machine: Machine, request: SyncRequest) -> dict[str, Attempt]:
    """The attempts spoken of that are this machine's own; others are not its to report."""
    named = {item.attempt_id for item in (*request.observations, *request.telemetry, *request.logs, *request.trails)}
    if not named:
        return {}
    own = Attempt.objects.filter(public_id__in=named, leg__machine=machine)
    found = {a.public_id: a for a in own.select_related("leg__run", "leg__machine", "leg__allocation")}
    for stranger in named - set(found):
        logger.warning("%s reports attempt %s, which is not its own", machine.public_id, stranger)
    return found


def _take_rows(attempts: dict[str, Attempt], request: SyncRequest) -> None:
    for batch in request.telemetry:
        if (attempt := attempts.get(batch.attempt_id)) and batch.rows:
            StepRow.store(attempt, batch.rows)
            attempt.advance_to(max(row.step for row in batch.rows))
    for chunk in request.logs:
        if attempt := attempts.get(chunk.attempt_id):
            LogChunk.store(attempt, chunk.offset, chunk.text)
    for trail in request.trails:
        if (attempt := attempts.get(trail.attempt_id)) and attempt.leg.run.across is not None:
            TrailRow.store(attempt.leg.run, attempt.leg.slot, trail.lines)


def _take_results(machine: Machine, request: SyncRequest) -> None:
    for report in request.results:
        of_legs = Run.objects.filter(public_id=report.run_id, legs__machine=machine, across__isnull=False).distinct()
        for run in of_legs:
            abreast.take_result(run.locked(), machine, report.result, by=machine.actor)
        own = Run.objects.filter(
            public_id=report.run_id, legs__machine=machine, result__isnull=True, across__isnull=True
        )  # fmt: skip
        pks = list(own.values_list("pk", flat=True))
        if Run.objects.filter(pk__in=pks, result__isnull=True).update(result=report.result):
            Event.record("agent:run:result", report.run_id, by=machine.actor, steps=report.result.steps)


def _note_held(attempt: Attempt, seen: Observation, *, by: str) -> None:
    """The site's policy keeps it waiting: its reason is the attempt's, until it is submitted after all."""
    waiting = Attempt.objects.filter(pk=attempt.pk, state=AttemptState.PLANNED).exclude(reason=seen.reason)
    if waiting.update(reason=seen.reason, last_heard_at=seen.at):
        Event.note("agent:attempt:held", attempt.public_id, by=by, reason=seen.reason)


def _take_observations(machine: Machine, attempts: dict[str, Attempt], request: SyncRequest) -> int:
    """Apply observations in order; the answer is the highest sequence of this epoch that is stored.

    An agent sends its outbox from the front, so a number that is missing was superseded, not lost.
    """
    acknowledged = machine.acknowledged
    for seen in sorted(request.observations, key=lambda o: (o.epoch, o.sequence)):
        if seen.epoch > request.epoch:
            raise UsageError(
                f"an observation of epoch {seen.epoch} came in epoch {request.epoch}", where=seen.attempt_id
            )
        if attempt := attempts.get(seen.attempt_id):
            if seen.policy and seen.state == AttemptState.PLANNED:
                _note_held(attempt, seen, by=machine.actor)
            else:
                attempt.observe(seen, by=machine.actor)
        if seen.epoch == request.epoch:
            acknowledged = max(acknowledged, seen.sequence)
    return acknowledged
