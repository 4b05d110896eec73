"""A run that moved waits for its checkpoint: what happens when that does not come, and how it is said.

Where the user allows it the run begins again from step 0 there, which its reason tells. Otherwise it ends and a person
decides: nothing that was trained is trained again unasked.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.db import models, transaction

from hanse.contracts.run import AttemptState, RunState
from hanse.service.runs.attempts import Attempt
from hanse.service.runs.events import Event

RESTARTED: Final = "service:run:restarted"


def look_after(at: datetime) -> int:
    """Give up what does not come, and settle the runs that wait for it; how many were settled. Idempotent."""
    _give_up(at)
    waiting = Attempt.objects.filter(number=1, leg__number__gt=1, job_id=None, leg__run__state=RunState.QUEUED)
    waiting = waiting.filter(state=AttemptState.PLANNED).select_related("leg__run", "leg__machine", "machine")
    return sum(_settle(attempt) for attempt in waiting)


def _give_up(at: datetime) -> None:
    from hanse.service.runs.parcels import WAITED_FOR, Parcel

    slow = Parcel.objects.filter(state__in=WAITED_FOR, from_machine__away_since__isnull=False)
    for parcel in slow.select_related("run", "from_machine"):
        since = max(parcel.ordered_at, parcel.from_machine.away_since)
        if at - since >= timedelta(seconds=parcel.run.spec.where.patience_s):
            parcel.give_up(by="tick", reason=f"its agent is away since {since:%-d %B %H:%M} UTC")


def _settle(attempt: Attempt) -> int:
    from hanse.service.runs.parcels import Parcel

    lost = [each for each in Parcel.of_attempt(attempt) if each.kind == "checkpoint" and each.state == "failed"]
    if not lost:
        return 0
    because = f"the checkpoint of {lost[0].from_machine.public_id} did not arrive: {lost[0].reason.rstrip('.')}"
    with transaction.atomic():
        run = attempt.leg.run.locked()
        attempt.refresh_from_db(fields=["state", "job_id", "offered_at"])
        if run.is_final or attempt.state != AttemptState.PLANNED or attempt.job_id is not None:
            return 0
        if not run.spec.where.restart_elsewhere:
            advice = f"hanse retry {run.public_id}, or where.restart_elsewhere: true"
            for each in run.open_attempts():
                each.withdraw(by="tick", reason=f"{because}; {advice}")
            run.give_up(f"{because[0].upper()}{because[1:]}; {advice}.", by="tick")
            return 1
        if not note_restart(run, attempt.leg, because, by="tick"):
            return 0
        type(run).objects.filter(pk=run.pk).update(reason=_joined(run.reason, restart_of(run)))
    return 1


def note_restart(run: Any, leg: Any, because: str, *, by: str) -> bool:
    """The run begins again from step 0 on that leg, as the user allowed; False if that was noted already."""
    if _noted(run, leg) is not None:
        return False
    reached = Attempt.objects.filter(leg__run=run).aggregate(most=models.Max("last_step"))["most"] or 0
    Event.record(
        RESTARTED, run.public_id, by=by, reason=because, leg=leg.public_id, machine=leg.machine.public_id, step=reached
    )
    return True


def restart_of(run: Any) -> str:
    """'It begins again from step 0 on lumi, as …', if its present leg does; else ''."""
    leg = run.legs.order_by("-number").select_related("machine").first()
    noted = _noted(run, leg) if leg else None
    return f"It begins again from step 0 on {leg.machine.public_id}, as {noted.reason}." if noted else ""


def _noted(run: Any, leg: Any) -> Any:
    events = Event.objects.filter(name=RESTARTED, subject_id=run.public_id).order_by("-pk")
    return next((each for each in events if each.data.get("leg") == leg.public_id), None)


def _joined(*sentences: str) -> str:
    return " ".join(each for each in sentences if each)
