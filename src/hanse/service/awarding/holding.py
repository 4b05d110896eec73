"""What befalls an allocation without a request: suspension, hours given back, and what is left at its end."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F

from hanse.contracts.awarding import GivenBack
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.contracts.units import SECONDS_PER_HOUR
from hanse.service.access.awards import Allocation
from hanse.service.access.people import Person
from hanse.service.awarding import policy
from hanse.service.awarding.changes import OPEN_STATES
from hanse.service.awarding.movements import move
from hanse.service.runs.events import Event


def suspend(allocation: Allocation, by: Person, *, reason: str) -> None:
    """Nothing new starts on it; what runs may run on.

    Raises:
        PolicyError: not an officer, or of its organisation.
        Conflict: it is suspended, or has ended.
    """
    _require_judge(allocation, by)
    if not reason.strip():
        raise UsageError("a suspension needs its reason", where="reason", fix="say why; the project reads it")
    with transaction.atomic():
        done = Allocation.objects.filter(pk=allocation.pk, suspended_at=None, ended_at=None).update(
            suspended_at=now(), suspended_because=reason.strip()
        )
        if not done:
            raise Conflict("it is suspended already, or has ended", where=allocation.public_id)
        Event.record("officer:allocation:suspended", allocation.public_id, by=by.username, reason=reason)


def resume(allocation: Allocation, by: Person, *, reason: str) -> None:
    """Raises: as `suspend`."""
    _require_judge(allocation, by)
    with transaction.atomic():
        done = Allocation.objects.filter(pk=allocation.pk, suspended_at__isnull=False).update(
            suspended_at=None, suspended_because=""
        )
        if not done:
            raise Conflict("it is not suspended", where=allocation.public_id)
        Event.record("officer:allocation:resumed", allocation.public_id, by=by.username, reason=reason)


def give_back(allocation: Allocation, by: Person, given: GivenBack) -> None:
    """Return free hours before the end, as a member of the project.

    Raises:
        PolicyError: not a member, or granted elsewhere.
        UsageError: nothing is free.
        Conflict: less is free than is returned.
    """
    if not by.belongs_to(allocation.project.organisation):
        raise PolicyError("only members of the project return its hours", where=allocation.public_id)
    if allocation.award is None:
        raise PolicyError("its hours were granted elsewhere", where=allocation.public_id, fix="return them there")
    with transaction.atomic():
        held = Allocation.locked(allocation.public_id)
        free = held.free_accelerator_seconds
        amount = free if given.gpu_hours is None else given.gpu_hours * SECONDS_PER_HOUR
        if amount <= 0:
            raise UsageError("nothing is free on it", where="gpu_hours")
        move(held, "returned", -amount, by=by.username, reason=given.reason)


def return_what_is_left(at: datetime) -> int:
    """Of awards that ended a while ago and have nothing open any more; how many had something left."""
    limit = at.date() - timedelta(days=policy.return_after_days())
    ended = Allocation.objects.with_balance().filter(award__isnull=False, ended_at__isnull=False, ends__lt=limit)
    found = 0
    # Counted in the database: of years of awards nearly all have nothing left.
    left = ended.filter(granted_accelerator_seconds__gt=F("used"), reserved=0)
    for one in left.exclude(changes__state__in=OPEN_STATES).order_by("pk"):
        with transaction.atomic():
            held = Allocation.locked(one.public_id)
            if held.free_accelerator_seconds > 0 and not held.reserved:  # type: ignore[attr-defined]
                move(held, "returned", -held.free_accelerator_seconds, by="tick", reason="it ended unused")
                found += 1
    return found


def _require_judge(allocation: Allocation, by: Person) -> None:
    by.require_officer()
    if by.belongs_to(allocation.project.organisation) and not settings.HANSE_EMBEDDED:
        raise PolicyError(
            f"you stand in {allocation.project.organisation}, whose allocation it is", where=allocation.public_id,
            fix="another officer has to do that",
        )  # fmt: skip
