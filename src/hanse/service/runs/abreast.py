"""Runs across machines: a leg on each of several at once, of which each goes on, ends or is lost by itself.

A leg stays on its machine and goes on there from attempt to attempt, like an ordinary run. One that cannot is given up,
and the others go on without it as long as they may commit (`OuterTerms.enough`, `min_legs`). The run ends with its
last leg: finished if any leg finished, since whoever ends has what enough of them have.
"""

from __future__ import annotations

from typing import Any

from hanse.contracts.agentapi import LostLegs
from hanse.contracts.run import FINAL_ATTEMPT_STATES, AttemptState, RunState
from hanse.contracts.telemetry import TrainResult
from hanse.service.access.awards import Allocation
from hanse.service.runs import chains
from hanse.service.runs.attempts import Attempt
from hanse.service.runs.events import Event
from hanse.service.runs.legs import Leg

FINISHED_HERE = "this leg of the run has finished"


def current(run: Any) -> list[Leg]:
    """The latest leg of each slot, in the order of the terms."""
    latest = {leg.slot: leg for leg in run.legs.select_related("machine", "allocation").order_by("number")}
    return [latest[each.name] for each in run.across.legs if each.name in latest]


def speaker(run: Any) -> Leg:
    """The leg whose steps and losses stand for the run's: the first in order that was not lost."""
    found: Leg = min(run.legs.all(), key=lambda leg: (leg.left_because != "", leg.number))
    return found


def lost_beside(machine: Any) -> tuple[LostLegs, ...]:
    """Of each run under way with a leg on a machine, the legs elsewhere that were given up."""
    from hanse.service.runs.lifecycle import Run

    # By the parcels to it, which only such runs have: every sync asks this, of machines with thousands of attempts.
    runs = Run.objects.filter(parcels__kind="outer", parcels__to_machine=machine, legs__left_because__gt="")
    runs = runs.filter(state__in=(RunState.QUEUED, RunState.RUNNING)).distinct()
    found = []
    for run in runs:
        lost = (leg for leg in current(run) if leg.left_because and leg.machine_id != machine.pk)
        found.append(LostLegs(run_id=run.public_id, names=tuple(leg.slot for leg in lost)))
    return tuple(each for each in found if each.names)


def follow(run: Any, attempt: Attempt, *, by: str) -> None:
    """Draw what follows from a changed attempt of one leg. Needs the run locked, and not ended."""
    state, leg = AttemptState(attempt.state), attempt.leg
    leg.run = run
    others = [each for each in run.open_attempts() if each.pk != attempt.pk]
    ahead = [each for each in others if each.leg_id == leg.pk]
    if state not in FINAL_ATTEMPT_STATES:
        if run.state != RunState.CANCELLING and state in {AttemptState.QUEUED, AttemptState.RUNNING}:
            run.note_begun(state, others, by=by)
    elif run.state == RunState.CANCELLING:
        if not others:
            run.end(RunState.CANCELLED, run.reason, by=by)
    elif state is AttemptState.FINISHED:
        _recall(ahead, FINISHED_HERE, by=by)
        _settle(run, by=by)
    elif _finished(leg) or leg.left_because:
        _settle(run, by=by)
    elif any(each.number < attempt.number for each in ahead):
        chains.break_off(attempt, by=by)
    elif state is AttemptState.CANCELLED and not attempt.recalled:
        _give_up(run, leg, run.cancelled_elsewhere(attempt), ahead, by=by)
    elif not (attempt.recalled and ahead):
        _go_on(run, leg, attempt, ahead, by=by)


def _go_on(run: Any, leg: Any, ended: Attempt, ahead: list[Attempt], *, by: str) -> None:
    told = chains.last_of(leg) or ended
    told.leg = leg
    allocation = None if ahead else Allocation.locked(leg.allocation.public_id)
    if why_not := run.why_no_further_attempt(told, allocation):
        _give_up(run, leg, why_not, ahead, by=by)
        return
    if allocation is None:
        chains.extend(leg, Allocation.locked(leg.allocation.public_id), by=by)
    else:
        run.plan_next(leg, allocation, by=by)
    _settle(run, by=by)


def _give_up(run: Any, leg: Any, because: str, ahead: list[Attempt], *, by: str) -> None:
    Leg.objects.filter(pk=leg.pk).update(left_because=because)
    leg.left_because = because
    Event.record("service:leg:lost", leg.public_id, by=by, reason=because, run=run.public_id, slot=leg.slot)
    _recall(ahead, because, by=by)
    _settle(run, by=by)


def _recall(attempts: list[Attempt], why: str, *, by: str) -> None:
    for each in sorted(attempts, key=lambda one: -one.number):
        each.recall(why, by=by)


def _settle(run: Any, *, by: str) -> None:
    """End the run if its legs have, or if too few are left; else say how it stands."""
    from hanse.service.runs import placing

    legs = current(run)
    finished = {leg.slot for leg in legs if _finished(leg)}
    lost = {leg.slot for leg in legs if leg.left_because} - finished
    told = placing.history(run)
    if len(finished | lost) == len(legs):
        if finished:
            run.end(RunState.FINISHED, told, by=by)
        else:
            run.end(RunState.FAILED, told, by=by)
        return
    left = {leg.slot for leg in legs} - lost
    if not finished and not (len(left) >= run.across.min_legs and run.across.enough(left)):
        names = " and ".join(sorted(left))
        run.end(RunState.FAILED, f"{told} {names} alone may not commit for all, so the run ends.", by=by)
        return
    running = any(each.state in {AttemptState.RUNNING, AttemptState.UNKNOWN} for each in run.open_attempts())
    run.become(RunState.RUNNING if running else RunState.QUEUED, by=by, reason=told)
    run.tell(told)


def _finished(leg: Any) -> bool:
    """The leg, or one that it follows in its slot, has trained to its end."""
    return Attempt.objects.filter(
        leg__run=leg.run_id, leg__slot=leg.slot, state=AttemptState.FINISHED
    ).exists()  # fmt: skip


def begin_again(run: Any, *, by: str) -> None:
    """At a person's word: a new leg on the machine of each that has not finished. Needs the run locked.

    Raises:
        PolicyError: hours or days are missing on a machine; nothing is begun.
    """
    from hanse.contracts.errors import PolicyError

    before = [leg for leg in current(run) if not _finished(leg)]
    number = max(leg.number for leg in current(run))
    begun: list[tuple[Leg, Allocation]] = []
    for leg in sorted(before, key=lambda each: each.allocation_id):
        allocation = Allocation.locked(leg.allocation.public_id)
        number += 1
        again = Leg(
            run=run, number=number, machine=leg.machine, allocation=allocation, plan=leg.plan, slot=leg.slot, asked=True
        )  # fmt: skip
        if why_not := run.why_not_now(again, allocation):
            raise PolicyError(
                f"{leg.slot} cannot go on with its leg now", where=run.public_id, history=(f"{leg.slot}: {why_not}",),
                fix="free hours there, or extend the allocation",
            )  # fmt: skip
        again.save()
        Attempt.plan(again, 1, allocation, by=by)
        begun.append((again, allocation))
    for leg, allocation in begun:
        chains.extend(leg, allocation, by=by)


def take_result(run: Any, machine: Any, result: TrainResult, *, by: str) -> None:
    """One leg's result; the run's is made of all that have come."""
    leg = run.legs.filter(machine=machine, result__isnull=True).order_by("-number").first()
    if leg is None:
        return
    if Leg.objects.filter(pk=leg.pk, result__isnull=True).update(result=result):
        Event.record("agent:leg:result", leg.public_id, by=by, run=run.public_id, steps=result.steps)
    results = [each.result for each in run.legs.exclude(result__isnull=True).order_by("number")]
    type(run).objects.filter(pk=run.pk).update(result=merged(results))


def merged(results: list[TrainResult]) -> TrainResult:
    """What the legs trained in all, beside what the first of them says of the model they share."""
    read: dict[str, Any] = {}
    for each in (one for result in results for one in result.datasets):
        before = read.get(each.name)
        read[each.name] = (
            each
            if before is None
            else before.model_copy(
                update={name: getattr(before, name) + getattr(each, name) for name in ("samples", "tokens")}
            )
        )
    return results[0].model_copy(
        update={
            "tokens": sum(each.tokens for each in results),
            "steps": max(each.steps for each in results),
            "training_s": max(each.training_s for each in results),
            "finished_at": max(each.finished_at for each in results),
            "datasets": tuple(read.values()),
        }
    )
