"""An award that was changed where it was decided: the change is kept as a request that is asked and granted at once.

What the call allows of extensions binds requests made here, not what another programme decided about its own award.
"""

from __future__ import annotations

from datetime import date

from django.db import transaction

from hanse.contracts.awarding import ChangeAsked
from hanse.contracts.base import now
from hanse.contracts.units import SECONDS_PER_HOUR
from hanse.programme.awards import site_amount
from hanse.service.access.awards import Allocation
from hanse.service.access.people import Person
from hanse.service.awarding import duties
from hanse.service.awarding.changes import ChangeRequest
from hanse.service.awarding.movements import move
from hanse.service.runs.events import Event


def restate(
    allocation: Allocation, *, more_gpu_hours: int, ends: date | None, prepared_by: Person, by: Person, reason: str
) -> None:
    """Add or take off hours, and move the end. Fewer hours and an earlier end are no requests: nobody asks for them.

    Raises:
        Conflict: less is free than is taken off.
    """
    with transaction.atomic():
        held = Allocation.locked(allocation.public_id)
        seconds = more_gpu_hours * SECONDS_PER_HOUR
        if seconds > 0:
            amount = site_amount(seconds, held.machine.facts)
            said = f"It holds {more_gpu_hours:,} GPU-hours more{f' ({amount})' if amount else ''}."
            asked = ChangeAsked(kind="supplement", reason=reason, gpu_hours=more_gpu_hours)
            change = _granted(held, asked, said, prepared_by, by)
            move(held, "supplement", seconds, by=by.username, reason=reason, change=change)
        elif seconds < 0:
            move(held, "stated", seconds, by=by.username, reason=reason)
        if ends is not None:
            if ends > held.ends:
                said = f"It ends on {ends:%d %B %Y} instead of {held.ends:%d %B %Y}."
                months = min(60, max(1, (ends.year - held.ends.year) * 12 + ends.month - held.ends.month))
                _granted(held, ChangeAsked(kind="extension", reason=reason, months=months), said, prepared_by, by)
            Allocation.objects.filter(pk=held.pk).update(ends=ends, ended_at=None)
            if held.award is not None:
                duties.moved(held.award, by=by.username)
        if seconds < 0 or (ends is not None and ends < held.ends):
            Event.record(
                "officer:allocation:restated", held.public_id, by=by.username, reason=reason, gpu_hours=more_gpu_hours,
                ends=(ends or held.ends).isoformat(),
            )  # fmt: skip


def _granted(held: Allocation, asked: ChangeAsked, said: str, prepared_by: Person, by: Person) -> ChangeRequest:
    at = now()
    made = ChangeRequest.objects.create(
        allocation=held, kind=asked.kind, asked=asked, state="granted", asked_by=prepared_by, asked_at=at,
        proposed_by=prepared_by, decided_by=by, decided_at=at, reason=asked.reason, explained=said, result=held,
    )  # fmt: skip
    Event.record(
        "officer:request:granted", made.public_id, by=by.username, reason=asked.reason, allocation=held.public_id,
        kind=asked.kind,
    )  # fmt: skip
    return made
