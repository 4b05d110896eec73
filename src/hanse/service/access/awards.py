"""Awards and the allocations they open; the balance of an allocation is always a sum.

used = the usage entries; reserved = what the open attempts may still come to cost at most; free = granted - both.
What an allocation holds changes only with a movement (awarding/movements.py) in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from django.db import models, transaction
from django.db.models import OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from hanse.contracts import programme as contract
from hanse.contracts.awarding import AwardPart
from hanse.contracts.base import now
from hanse.contracts.errors import UsageError
from hanse.contracts.run import FINAL_ATTEMPT_STATES
from hanse.contracts.units import SECONDS_PER_HOUR
from hanse.programme.awards import PATTERN_WORDS, PATTERNS
from hanse.programme.awards import months_later as months_later
from hanse.service.access.calls import Application
from hanse.service.access.people import Person, Project
from hanse.service.records import PublicIdField
from hanse.service.runs.events import Event


class Award(models.Model):
    """What an officer granted, with the conditions that go with it into every ticket."""

    public_id = PublicIdField(prefix="awd")
    application = models.OneToOneField(Application, on_delete=models.PROTECT, related_name="award")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="awards")
    gpu_hours = models.PositiveBigIntegerField()
    conditions = models.JSONField(default=list)
    starts = models.DateField(null=True, blank=True)
    duration_months = models.PositiveSmallIntegerField(null=True, blank=True)
    pattern = models.CharField(max_length=10, choices=[(one, PATTERN_WORDS[one]) for one in PATTERNS], default="even")
    """How its use lies over its months."""
    pays_per_use = models.BooleanField(default=False)
    granted_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    granted_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "access"

    def __str__(self) -> str:
        return self.public_id

    def open_allocations(self, parts: Iterable[AwardPart], *, by: Person) -> list[Allocation]:
        """One for each part, from the award's first day for as long as it lasts."""
        starts = self.starts or now().date()
        ends = months_later(starts, self.duration_months or self.application.form.duration_months)
        return [
            Allocation.open(
                award=self, project=self.project, machine=machine_named(part.machine), partition=part.partition,
                account=part.account, storage_bytes=part.storage_bytes,
                granted_accelerator_seconds=part.gpu_hours * SECONDS_PER_HOUR, starts=starts, ends=ends,
                by=by.username,
            )
            for part in parts
        ]  # fmt: skip


def machine_named(public_id: str) -> Any:
    """Raises UsageError where no such machine is joined to this service."""
    from hanse.service.runs.machines import Machine

    machine = Machine.objects.filter(public_id=public_id).first()
    if machine is None:
        raise UsageError(
            f"no machine {public_id} is joined to this service",
            where="machine",
            fix="enrol its agent first: POST /api/v1/agents/enrol",
        )
    return machine


class AllocationQuerySet(models.QuerySet):
    def seen_by(self, person: Person) -> Any:
        return self.filter(project__organisation__memberships__person=person).distinct()

    def with_balance(self) -> Any:
        """Adds `used` and `reserved`, in accelerator-seconds."""
        from hanse.service.runs.attempts import Attempt
        from hanse.service.runs.usage import UsageEntry

        entries = UsageEntry.objects.filter(allocation=OuterRef("pk"))
        attempts = Attempt.objects.filter(leg__allocation=OuterRef("pk")).exclude(state__in=FINAL_ATTEMPT_STATES)
        return self.annotate(
            used=_total(entries, "allocation", "accelerator_seconds"),
            reserved=_total(attempts, "leg__allocation", "reserved_accelerator_seconds"),
        )


class Allocation(models.Model):
    """Compute on one machine for one project. Without an award it was granted elsewhere and is only metered here."""

    public_id = PublicIdField(prefix="alc")
    award = models.ForeignKey(Award, on_delete=models.PROTECT, null=True, blank=True, related_name="allocations")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="allocations")
    machine = models.ForeignKey("runs.Machine", on_delete=models.PROTECT, related_name="allocations")
    partition = models.CharField(max_length=63, blank=True)
    account = models.CharField(max_length=63, blank=True)
    unit = models.CharField(max_length=30, default="GPU-hour")
    granted_accelerator_seconds = models.PositiveBigIntegerField()
    """What it holds: granted and since added, less what was moved away or returned."""
    returned_accelerator_seconds = models.PositiveBigIntegerField(default=0)
    storage_bytes = models.PositiveBigIntegerField(default=0)
    starts = models.DateField()
    ends = models.DateField()
    suspended_at = models.DateTimeField(null=True, blank=True, editable=False)
    suspended_because = models.TextField(blank=True, editable=False)
    ended_at = models.DateTimeField(null=True, blank=True, editable=False)
    """When the tick noted its end."""

    objects = AllocationQuerySet.as_manager()

    class Meta:
        app_label = "access"
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.public_id

    @classmethod
    def open(cls, *, by: str, **fields: Any) -> Allocation:
        from hanse.service.awarding.movements import Movement

        with transaction.atomic():
            allocation = cls.objects.create(**fields)
            Movement.opened(allocation, by=by)
            Event.record(
                "service:allocation:opened", allocation.public_id, by=by, machine=allocation.machine.public_id,
                accelerator_seconds=allocation.granted_accelerator_seconds,
            )  # fmt: skip
        return allocation

    @classmethod
    def locked(cls, public_id: str) -> Allocation:
        """The allocation with its balance, held against other launches until the transaction ends."""
        cls.objects.select_for_update().get(public_id=public_id)
        found: Allocation = cls.objects.with_balance().select_related("machine", "project").get(public_id=public_id)
        return found

    @property
    def free_accelerator_seconds(self) -> int:
        """Needs `with_balance`."""
        return int(self.granted_accelerator_seconds - self.used - self.reserved)

    @property
    def conditions(self) -> tuple[str, ...]:
        return tuple(self.award.conditions) if self.award else ()

    def open_on(self, day: date) -> bool:
        return self.starts <= day <= self.ends

    def contract(self) -> contract.Allocation:
        balanced: Any = self if hasattr(self, "used") else type(self).objects.with_balance().get(pk=self.pk)
        return contract.Allocation(
            id=self.public_id,
            project=self.project.public_id,
            machine=self.machine.public_id,
            partition=self.partition or None,
            account=self.account or None,
            granted_accelerator_seconds=self.granted_accelerator_seconds,
            used_accelerator_seconds=balanced.used,
            reserved_accelerator_seconds=balanced.reserved,
            starts=self.starts,
            ends=self.ends,
            conditions=self.conditions,
            suspended=self.suspended_because if self.suspended_at else "",
        )


def _total(rows: Any, group: str, amount: str) -> Any:
    sums: Iterable[Any] = rows.order_by().values(group).annotate(total=Sum(amount)).values("total")
    return Coalesce(Subquery(sums), 0, output_field=models.BigIntegerField())
