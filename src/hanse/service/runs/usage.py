"""What was used, entry by entry. An attempt is debited once, whatever is repeated or comes late."""

from __future__ import annotations

from typing import Any

from django.db import models

from hanse.contracts import usage as contract
from hanse.contracts.agentapi import Observation
from hanse.contracts.base import now
from hanse.service.records import PublicIdField
from hanse.service.runs.events import AppendOnly, AppendOnlyQuerySet, Event


class UsageEntry(AppendOnly):
    KINDS = [(kind, kind) for kind in ("measured", "site", "correction")]

    public_id = PublicIdField(prefix="use")
    allocation = models.ForeignKey("access.Allocation", on_delete=models.PROTECT, related_name="usage")
    attempt = models.ForeignKey("runs.Attempt", on_delete=models.PROTECT, null=True, blank=True, related_name="usage")
    kind = models.CharField(max_length=12, choices=KINDS, default="measured")
    accelerator_seconds = models.BigIntegerField()
    energy_joules = models.PositiveBigIntegerField(null=True, blank=True)
    site_amount = models.CharField(max_length=100, null=True, blank=True)
    recorded_at = models.DateTimeField()
    note = models.TextField(blank=True)

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        app_label = "runs"
        ordering = ["pk"]
        verbose_name_plural = "usage entries"
        constraints = [
            models.UniqueConstraint(
                fields=["attempt", "kind"], condition=models.Q(kind="measured"), name="measured_once_an_attempt"
            )
        ]

    def __str__(self) -> str:
        return f"{self.public_id} {self.accelerator_seconds} accelerator-seconds"

    @classmethod
    def debit(cls, attempt: Any, seen: Observation, *, by: str) -> UsageEntry | None:
        """Charge an ended attempt: the scheduler's measure, and what doubled jobs of it held beside.

        An attempt no scheduler ever held costs nothing and has no entry.
        """
        held = seen.accelerator_seconds
        note = []
        if held is None:
            held = attempt.accelerator_seconds
            if held:
                note.append("no final measure came; this is the last one reported")
        if seen.doubled_accelerator_seconds:
            jobs = ", ".join(seen.doubled_jobs) or "doubled jobs"
            note.append(f"includes {seen.doubled_accelerator_seconds} accelerator-seconds of {jobs}, doubled and ended")
        amount = held + seen.doubled_accelerator_seconds
        if not amount and not attempt.job_id:
            return None
        entry = cls.objects.create(
            allocation=attempt.leg.allocation, attempt=attempt, kind="measured", accelerator_seconds=amount,
            energy_joules=seen.energy_joules, recorded_at=now(), note="; ".join(note),
        )  # fmt: skip
        Event.record(
            "agent:usage:measured", attempt.public_id, by=by, accelerator_seconds=amount, entry=entry.public_id
        )
        return entry

    def contract(self) -> contract.UsageEntry:
        return contract.UsageEntry(
            id=self.public_id,
            allocation_id=self.allocation.public_id,
            attempt_id=self.attempt.public_id if self.attempt else None,
            kind=self.kind,
            accelerator_seconds=self.accelerator_seconds,
            energy_joules=self.energy_joules,
            site_amount=self.site_amount,
            recorded_at=self.recorded_at,
            note=self.note,
        )
