"""What moved an allocation's hours, entry by entry: opened, added, moved between allocations, returned.

An allocation's granted hours are the sum of its movements; each is written in the transaction that changes them, so
that granted = used + returned + left holds at every moment.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F

from hanse.contracts.awarding import Balance
from hanse.contracts.errors import Conflict
from hanse.programme import awards
from hanse.service.access.awards import Allocation
from hanse.service.records import PublicIdField
from hanse.service.runs.events import AppendOnly, AppendOnlyQuerySet, Event
from hanse.service.runs.usage import UsageEntry

KINDS = ("opened", "supplement", "moved-in", "moved-out", "returned", "stated")


class Movement(AppendOnly):
    public_id = PublicIdField(prefix="mov")
    allocation = models.ForeignKey(Allocation, on_delete=models.PROTECT, related_name="movements")
    kind = models.CharField(max_length=12, choices=[(kind, kind) for kind in KINDS])
    accelerator_seconds = models.BigIntegerField()
    change = models.ForeignKey(
        "awarding.ChangeRequest", on_delete=models.PROTECT, null=True, blank=True, related_name="movements"
    )
    actor = models.CharField(max_length=150)
    reason = models.TextField(blank=True)
    at = models.DateTimeField(auto_now_add=True)

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        app_label = "awarding"
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.kind} {self.accelerator_seconds} accelerator-seconds"

    @classmethod
    def opened(cls, allocation: Allocation, *, by: str, change: Any = None) -> Movement:
        amount = allocation.granted_accelerator_seconds
        return cls.objects.create(
            allocation=allocation, kind="opened", accelerator_seconds=amount, actor=by, change=change
        )

    @classmethod
    def stated(cls, allocation: Allocation, accelerator_seconds: int, *, by: str) -> None:
        """Hours granted elsewhere, as who operates the machine now states them."""
        if accelerator_seconds:
            cls.objects.create(allocation=allocation, kind="stated", accelerator_seconds=accelerator_seconds, actor=by)


def move(
    allocation: Allocation, kind: str, accelerator_seconds: int, *, by: str, reason: str = "", change: Any = None
) -> Movement:
    """Add to what the allocation holds, or take off. Inside a transaction that holds the allocation locked.

    Raises:
        Conflict: less is free than is taken off.
    """
    held = Allocation.objects.with_balance().get(pk=allocation.pk)
    if accelerator_seconds < 0 and held.free_accelerator_seconds + accelerator_seconds < 0:
        raise Conflict(
            f"{max(0, held.free_accelerator_seconds) / 3600:,.1f} GPU-hours are free on it, not "
            f"{-accelerator_seconds / 3600:,.1f}",
            where=allocation.public_id, fix="take less, or wait until what runs has ended",
        )  # fmt: skip
    returned = -accelerator_seconds if kind == "returned" else 0
    Allocation.objects.filter(pk=allocation.pk).update(
        granted_accelerator_seconds=F("granted_accelerator_seconds") + accelerator_seconds,
        returned_accelerator_seconds=F("returned_accelerator_seconds") + returned,
    )
    source = "service" if by == "tick" else "officer" if change else "user"
    Event.record(
        f"{source}:allocation:{kind}", allocation.public_id, by=by, reason=reason,
        accelerator_seconds=accelerator_seconds,
    )  # fmt: skip
    return Movement.objects.create(
        allocation=allocation, kind=kind, accelerator_seconds=accelerator_seconds, actor=by, reason=reason,
        change=change,
    )  # fmt: skip


def hours_of(allocation: Allocation) -> awards.Hours:
    """Counted anew from movements and entries. `allocation` carries its balance (`with_balance`)."""
    moved = Movement.objects.filter(allocation=allocation).values_list("kind", "accelerator_seconds")
    used = UsageEntry.objects.filter(allocation=allocation).values_list("accelerator_seconds", flat=True)
    return awards.hours(moved, used, allocation.reserved)  # type: ignore[attr-defined]


def balance(allocation: Allocation) -> Balance:
    """`allocation` carries its balance (`with_balance`)."""
    counted = hours_of(allocation)
    return Balance(
        allocation=allocation.public_id,
        granted_accelerator_seconds=counted.granted,
        used_accelerator_seconds=counted.used,
        returned_accelerator_seconds=counted.returned,
        reserved_accelerator_seconds=counted.reserved,
        left_accelerator_seconds=counted.left,
        site_amount=awards.site_amount(counted.left, allocation.machine.facts),
        storage_bytes=allocation.storage_bytes,
        suspended=allocation.suspended_because if allocation.suspended_at else "",
    )
