"""Moving a run: where it could go on, with its own plan there, and its checkpoint brought after it.

A run that may use one machine only never comes here. Nothing is begun again from step 0 unless the user allowed it,
and no attempt an agent was told of is left behind open: it would train beside the one that follows it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import models, transaction

from hanse.client.answers import MachineOffer
from hanse.contracts.base import now
from hanse.contracts.errors import HanseError
from hanse.contracts.placement import Unusable
from hanse.contracts.plan import Plan
from hanse.contracts.run import FINAL_ATTEMPT_STATES, AttemptState, RunState
from hanse.contracts.site import QueueWait
from hanse.contracts.spec import DatasetSpec
from hanse.contracts.units import SECONDS_PER_HOUR
from hanse.planning import jobs, sites
from hanse.service.access.awards import Allocation
from hanse.service.records import new_id
from hanse.service.runs import admission, arrivals, held_up
from hanse.service.runs.attempts import Attempt
from hanse.service.runs.events import Event
from hanse.service.runs.machines import Machine

HISTORY: Final = timedelta(days=30)
RUNS_LOOKED_AT: Final = 50


def past_waits(machine: Machine) -> tuple[QueueWait, ...]:
    """Medians of what jobs waited there lately, for each partition and number of nodes."""
    rows = Attempt.objects.filter(
        machine=machine, after=None, started_at__gte=now() - HISTORY, offered_at__isnull=False
    ).order_by("-started_at")[:500]
    waits: dict[tuple[str | None, int], list[tuple[float, int]]] = {}
    for row in rows:
        waited = max(0.0, (row.started_at - row.offered_at).total_seconds())
        waits.setdefault((row.job.partition, row.job.nodes), []).append((waited, row.job.wall_time_s))
    return tuple(
        QueueWait(
            partition=partition, nodes=nodes, wall_time_s=max(wall for _, wall in seen),
            wait_s=statistics.median(wait for wait, _ in seen),
        )
        for (partition, nodes), seen in waits.items()
    )  # fmt: skip


def data_on(machine: Machine, organisations: Any) -> tuple[DatasetSpec, ...]:
    """What the latest runs of these organisations have trained on there: each has been prepared on its disks."""
    from hanse.service.runs.lifecycle import Run

    trained = Attempt.objects.filter(
        machine=machine, last_step__gt=0, leg__run__project__organisation__in=organisations
    )
    latest = trained.order_by("-leg__run").values_list("leg__run", flat=True).distinct()[:RUNS_LOOKED_AT]
    specs = Run.objects.filter(pk__in=list(latest)).values_list("spec", flat=True)
    return tuple({(each.name, each.source): each for spec in specs for each in spec.data}.values())


def offered_to(person: Any) -> tuple[MachineOffer, ...]:
    """How each machine stands on which a project of the person's has hours."""
    organisations = list(person.memberships.values_list("organisation", flat=True))
    rows = Machine.objects.filter(allocations__in=Allocation.objects.seen_by(person), facts__isnull=False).distinct()
    return tuple(
        MachineOffer(
            machine=row.public_id, away=row.status().away, draining=row.draining or row.mode != "run",
            stopped=row.stopped, state=row.state, waits=past_waits(row), data=data_on(row, organisations),
        )
        for row in rows
    )  # fmt: skip


def plan_on(run: Any, machine: Machine, allocation: Allocation) -> Plan | None:
    """The run's training planned anew for another machine, within the run's own limits; None for a command.

    Raises:
        HanseError: there is none.
    """
    if run.plan is None:
        return None
    if run.plan.machine == machine.public_id:
        return run.plan  # type: ignore[no-any-return]
    from hanse.planning.plan import make

    where = run.spec.where
    return make(
        run.plan.workload, machine.facts, nodes=where.nodes, partition=where.partition or allocation.partition or None,
        layout=run.spec.layout, max_wall_time_s=where.wall_time_s * where.max_attempts,
        max_accelerator_seconds=round(where.max_gpu_hours * SECONDS_PER_HOUR),
    )  # fmt: skip


def history(run: Any) -> str:
    """'Tried lumi: …; tried leonardo: …', of the machines it has left."""
    left = run.legs.exclude(left_because="").select_related("machine").order_by("number")
    told = [f"tried {leg.machine.public_id}: {leg.left_because.rstrip('.')}" for leg in left]
    moves = f"T{'; '.join(told)[1:]}." if told else ""
    return " ".join(each for each in (moves, arrivals.restart_of(run)) if each)


def offers(run: Any, names: Iterable[str]) -> list[sites.Offer]:
    """What the named machines offer the run's organisation now. Holds their allocations, in order of their age.

    Each application brings a project of its own, so that hours on two machines belong to two of them: as at a launch,
    what the team has on a machine that its train.yaml names may be used.
    """
    found = []
    mine = Allocation.objects.filter(
        project__organisation=run.project.organisation, machine__public_id__in=list(names)
    )  # fmt: skip
    for public_id in mine.order_by("pk").values_list("public_id", flat=True):
        allocation = Allocation.locked(public_id)
        machine = allocation.machine
        if machine.facts is None:
            continue
        plan, why_not = None, ""
        try:
            plan = plan_on(run, machine, allocation)
        except HanseError as error:
            why_not = error.what
        found.append(
            sites.Offer(
                machine=machine.facts, allocation=allocation.contract(), plan=plan, no_plan=why_not,
                state=machine.state, past_waits=past_waits(machine), away=machine.away_since is not None,
                draining=machine.draining or machine.mode != "run", stopped=machine.stopped,
                data_there=sites.has_data(run.spec, data_on(machine, [run.project.organisation_id])),
            )
        )  # fmt: skip
    return found


def others(run: Any, leg: Any) -> list[str]:
    """Machines the user allows that the run has not left, beside the one it is on.

    One leg among several stays: what it sent and was brought lies on its machine's disks.
    """
    if leg.slot:
        return []
    left = set(run.legs.exclude(left_because="").values_list("machine__public_id", flat=True))
    return [name for name in run.spec.where.machines if name != leg.machine.public_id and name not in left]


def move(
    run: Any, leg: Any, because: str, *, by: str, names: list[str] | None = None, asked: bool = False, why: str = ""
) -> Any:
    """Go on with the run on the best other machine; the new leg, or None. Needs the run locked, its attempts ended.

    Where it could have gone is kept with the run, with those it left. `why`: where no choice is left to explain it.
    """
    from hanse.service.runs import chains
    from hanse.service.runs.legs import Leg

    names = others(run, leg) if names is None else names
    if not names:
        return None
    found = {offer.allocation.id: offer for offer in offers(run, names) if offer.allocation}
    placed = sites.place(run.spec, list(found.values()), at=now(), pinned=asked, beside=_left(run, leg, because, names))
    passed_over: list[Unusable] = []
    holder, reached = _holder(run)
    for option in placed.options if placed else ():
        offer, allocation = found[option.allocation_id], Allocation.locked(option.allocation_id)
        target = allocation.machine
        brought = holder is None or holder.pk == target.pk or holder.away_since is None
        refused = _refusal(run, offer, allocation)
        if not refused and not brought and not run.spec.where.restart_elsewhere:
            refused = f"Its checkpoint is on {holder.public_id}, whose agent is away."
        if refused:
            passed_over.append(Unusable(machine=target.public_id, reason=refused))
            continue
        number = run.legs.aggregate(most=models.Max("number"))["most"] + 1
        onward = Leg(run=run, number=number, machine=target, allocation=allocation, plan=offer.plan, asked=asked)
        if run.affordable_wall_time_s(run.shape(onward), allocation) < jobs.MIN_WALL_TIME_S:
            passed_over.append(Unusable(machine=target.public_id, reason="Too few of its hours are left there."))
            continue
        if because:
            type(leg).objects.filter(pk=leg.pk).update(left_because=because)
        onward.save()
        run.placement = sites.chosen_instead(placed, target.public_id, passed_over, why)
        run.save(update_fields=["placement"])
        Event.record(
            "service:run:moved", run.public_id, by=by, reason=because, source=leg.machine.public_id,
            target=target.public_id, step=reached,
        )  # fmt: skip
        if holder is not None and holder.pk != target.pk:
            if brought:
                _parcels().order(run, "checkpoint", holder, target, by=by)
            else:
                arrivals.note_restart(run, onward, f"the agent of {holder.public_id}, which has it, is away", by=by)
        Attempt.plan(onward, 1, allocation, by=by)
        chains.extend(onward, allocation, by=by)
        return onward
    return None


def _parcels() -> Any:
    from hanse.service.runs.parcels import Parcel

    return Parcel


def _holder(run: Any) -> tuple[Machine | None, int]:
    """The machine that has the run's furthest checkpoint, and its step."""
    reached = Attempt.objects.filter(leg__run=run, last_step__gt=0).select_related("machine")
    furthest = reached.order_by("-last_step", "-leg__number").first()
    return (furthest.machine, furthest.last_step or 0) if furthest else (None, 0)


def why_not(run: Any, names: list[str]) -> tuple[str, ...]:
    """Of each named machine, why the run cannot go there."""
    found = offers(run, names)
    told = [f"{each.machine}: {each.reason}" for each in sites.unusable_of(run.spec, found, at=now())]
    known = {offer.machine.id for offer in found}
    return (*told, *(f"{name}: You have no hours there." for name in names if name not in known))


def _left(run: Any, leg: Any, because: str, names: list[str]) -> tuple[Unusable, ...]:
    """Machines but `names` that are out because the run left them; `because` is why it leaves that of `leg` now."""
    before = run.legs.exclude(left_because="").select_related("machine").order_by("number")
    told = {each.machine.public_id: each.left_because for each in before}
    told |= {leg.machine.public_id: because} if because else {}
    out = {name: why.rstrip(".") for name, why in told.items() if name not in names}
    return tuple(Unusable(machine=name, reason=f"The run left it: {why}.") for name, why in out.items())


def _refusal(run: Any, offer: sites.Offer, allocation: Allocation) -> str:
    """What admission has against it; '' if nothing."""
    award = allocation.award
    decision = admission.decide(
        admission.Request(
            run_id=run.public_id or new_id("run"), allocation_id=allocation.public_id, allocation=offer.allocation,
            gate=award.application.gate if award else None, machine_id=offer.machine.id, machine=offer.machine,
            spec=run.spec, plan=offer.plan, at=now(),
        )
    )  # fmt: skip
    if decision.verdict in {"allow", "condition"}:
        return ""
    return " ".join(each.reason for each in decision.findings if each.verdict in {"review", "deny"})


def look_after(at: datetime) -> int:
    """Move what has waited too long at a machine that takes no jobs; how many were asked to leave. Idempotent."""
    its_turn = models.Q(after=None) | models.Q(after__state__in=FINAL_ATTEMPT_STATES)
    waiting = Attempt.objects.filter(
        its_turn, state__in=[AttemptState.PLANNED, AttemptState.QUEUED], recalled="", leg__run__state=RunState.QUEUED,
    ).filter(
        models.Q(machine__draining=True) | models.Q(machine__stopped=True) | models.Q(machine__away_since__isnull=False)
        | models.Q(machine__state__isnull=False)
    )  # fmt: skip
    # Who may use one machine only is left out in the database: to read a run is to read its whole train.yaml.
    waiting = waiting.filter(leg__run__spec__where__machines__1__isnull=False)
    moved = 0
    for attempt in waiting.select_related("leg__run", "leg__machine", "machine", "after"):
        run, machine = attempt.leg.run, attempt.machine
        if not (because := held_up.no_use_waiting(attempt, at)):
            continue
        if machine.away_since is not None and attempt.offered_at is not None:
            continue  # it may have been submitted, and would train beside the one that follows
        moved += recall(run, because, by="tick", unless_alone=True)
    return moved


def recall(run: Any, because: str, *, by: str, unless_alone: bool = False) -> bool:
    """Have every open attempt of the run end so that it goes on elsewhere; False if it has nowhere to go."""
    with transaction.atomic():
        run = run.locked()
        leg = run.legs.order_by("-number").select_related("machine").first()
        if run.state not in {RunState.QUEUED, RunState.RUNNING} or leg is None:
            return False
        if unless_alone and not has_elsewhere(run, leg):
            return False
        mine = Attempt.objects.filter(leg=leg).exclude(state__in=FINAL_ATTEMPT_STATES).order_by("-number")
        for attempt in mine:
            attempt.recall(because, by=by)
        if not run.open_attempts():
            run.go_elsewhere(leg, because, by=by)
    return True


def has_elsewhere(run: Any, leg: Any) -> bool:
    """Another machine the user allows could take it now."""
    names = others(run, leg)
    return bool(names) and sites.place(run.spec, offers(run, names), at=now()) is not None


def clear_out(machine: Machine, because: str, *, by: str) -> int:
    """Have what is there leave, with a checkpoint, for where it may go on; how many runs do."""
    runs = {each.leg.run for each in machine.open_attempts().select_related("leg__run")}
    ordered = sorted(runs, key=lambda run: run.pk)
    return sum(recall(run, because, by=by, unless_alone=True) for run in ordered)
