"""The reserve list of a closed round: a place that a winner gives up goes to the next on it, in order.

A place is held by an award and by a winner who waits for the decision. It is free again when that application is
declined or withdrawn, or when its award is given up: then what its allocations still hold is returned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import models, transaction

from hanse.contracts import review_ends as contract
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, UsageError
from hanse.programme.review.panel import Settled
from hanse.service.access.models import Allocation, Application, Person
from hanse.service.awarding.movements import move
from hanse.service.review.panel import settled
from hanse.service.review.ranked import Round
from hanse.service.review.reviewers import require_judge
from hanse.service.runs.events import AppendOnly, Event

WAITING = ("sent", "in-review")


class PlaceFreed(AppendOnly):
    """That a winner gave up an award."""

    application = models.OneToOneField(Application, on_delete=models.PROTECT, related_name="place_freed")
    reason = models.TextField()
    by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=now)

    class Meta:
        app_label = "review"
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.application.public_id} gave up its place"


def state(
    held: Round, order: Sequence[Settled] | None = None, states: Mapping[str, str] | None = None,
    gave_up: Mapping[str, str] | None = None,
) -> contract.Reserve:  # fmt: skip
    """Places held and free, and who is next. The order, states, and who gave up are read where not at hand."""
    order = settled(held) if order is None else order
    if states is None:
        rows = Application.objects.filter(recommendations__round=held).values_list("public_id", "state")
        states = dict(rows)
    if gave_up is None:
        freed = PlaceFreed.objects.filter(application__recommendations__round=held)
        gave_up = dict(freed.values_list("application__public_id", "reason"))
    holding = sum(
        (states[one.id] == "granted" and one.id not in gave_up)
        or (states[one.id] in WAITING and one.standing == "grant")
        for one in order
    )
    free = max(0, (held.places or 0) - holding)
    waiting = [one.id for one in order if one.standing == "reserve" and states[one.id] in WAITING]
    return contract.Reserve(
        round=held.public_id,
        places=held.places or 0,
        held=holding,
        free=free,
        next=tuple(waiting[:free]),
        freed=dict(gave_up),
    )


def before(application: Any, now_at: contract.Reserve) -> str:
    """Why an application on the reserve list cannot be awarded yet; empty: it is its turn."""
    if application.public_id in now_at.next:
        return ""
    if not now_at.free:
        return f"It is on the reserve list, and all {now_at.places:,} places are held."
    return f"{now_at.next[0]} comes before it on the reserve list." if now_at.next else ""


def free(application: Application, by: Person, *, reason: str) -> contract.Reserve:
    """A winner gives up the award: what it still holds is returned, and the next on the reserve list can be awarded.

    Raises:
        PolicyError: not an officer, or one of the applicants.
        UsageError: no reason.
        Conflict: it holds no place of a closed round, or gave it up before.
    """
    require_judge(by, application)
    if not reason.strip():
        raise UsageError("giving up a place needs its reason", where="reason", fix="say what the winner said")
    with transaction.atomic():
        one = Application.objects.select_for_update(of=("self",)).select_related("call").get(pk=application.pk)
        held = Round.of(one)
        if held is None or held.state != "closed" or one.state != "granted":
            raise Conflict("it holds no place of a closed round", where=one.public_id, fix="see the ranking")
        _, new = PlaceFreed.objects.get_or_create(application=one, defaults={"reason": reason.strip(), "by": by})
        if not new:
            raise Conflict("it gave up its place before", where=one.public_id, fix="see the reserve list")
        for name in (
            Allocation.objects.filter(award__application=one).order_by("pk").values_list("public_id", flat=True)
        ):
            allocation = Allocation.locked(name)
            if allocation.free_accelerator_seconds > 0:
                move(allocation, "returned", -allocation.free_accelerator_seconds, by=by.username, reason=reason)
        Event.record("officer:place:freed", one.public_id, by=by.username, reason=reason, round=held.public_id)
        now_at = state(held)
        for name in now_at.next:
            Event.record("review:reserve:next", name, by=by.username, round=held.public_id)
    return now_at
