"""What was used, entry by entry. An attempt is debited once, whatever is repeated or comes late.

`measured` entries are attempts of ours, `site` entries jobs of the scheduler account that are not, and `correction`
entries what a person added or took off, with a reason. Nothing is ever changed: whatever differs later is a new entry.
"""

from __future__ import annotations

from typing import Any

from django.db import models, transaction

from hanse.contracts import usage as contract
from hanse.contracts.agentapi import Observation
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, UsageError
from hanse.planning import energy
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
    energy_estimated = models.BooleanField(default=False)
    """From the nodes' power and time: nobody counted it."""
    site_job = models.ForeignKey(
        "runs.SiteJobRow", on_delete=models.PROTECT, null=True, blank=True, related_name="entries"
    )
    """The job of the site's accounting that a `site` entry is of."""
    key = models.CharField(max_length=100, null=True, blank=True, unique=True, editable=False)
    """A correction's idempotency key."""
    site_amount = models.CharField(max_length=100, null=True, blank=True)
    recorded_at = models.DateTimeField()
    note = models.TextField(blank=True)

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        app_label = "runs"
        ordering = ["pk"]
        verbose_name_plural = "usage entries"
        # Sums over an allocation and over months are read from these alone.
        indexes = [
            models.Index(fields=["allocation", "recorded_at", "accelerator_seconds"], name="usage_of_allocation"),
            models.Index(fields=["recorded_at", "allocation", "accelerator_seconds"], name="usage_by_month"),
        ]
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
        joules, estimated = energy.of(seen.energy_joules, attempt.leg.machine.facts, amount)
        entry = cls.objects.create(
            allocation=attempt.leg.allocation, attempt=attempt, kind="measured", accelerator_seconds=amount,
            energy_joules=joules, energy_estimated=estimated, recorded_at=now(), note="; ".join(note),
        )  # fmt: skip
        Event.record(
            "agent:usage:measured", attempt.public_id, by=by, accelerator_seconds=amount, entry=entry.public_id
        )
        return entry

    @classmethod
    def correct(
        cls, allocation: Any, accelerator_seconds: int, *, by: str, reason: str, key: str | None = None
    ) -> UsageEntry:
        """A person's correction: positive debits, negative gives back. The same key is one correction.

        Raises:
            UsageError: nothing is corrected, or no reason given.
            Conflict: the key was used for another correction.
        """
        if not accelerator_seconds:
            raise UsageError("a correction of nothing corrects nothing", where="accelerator_seconds")
        if not reason.strip():
            raise UsageError("a correction needs its reason", where="reason")
        with transaction.atomic():
            type(allocation).objects.select_for_update().get(pk=allocation.pk)
            before = cls.objects.filter(key=key).first() if key else None
            if before is not None:
                if (before.allocation.pk, before.accelerator_seconds) != (allocation.pk, accelerator_seconds):
                    raise Conflict("this Idempotency-Key was used for another correction", where="Idempotency-Key")
                return before
            entry = cls.objects.create(
                allocation=allocation, kind="correction", accelerator_seconds=accelerator_seconds, recorded_at=now(),
                note=f"{reason.strip()} ({by})", key=key,
            )  # fmt: skip
            Event.record(
                "user:allocation:corrected", allocation.public_id, by=by, reason=reason,
                accelerator_seconds=accelerator_seconds, entry=entry.public_id,
            )  # fmt: skip
        return entry

    def contract(self) -> contract.UsageEntry:
        return contract.UsageEntry(
            id=self.public_id,
            allocation_id=self.allocation.public_id,
            attempt_id=self.attempt.public_id if self.attempt else None,
            kind=self.kind,
            accelerator_seconds=self.accelerator_seconds,
            energy_joules=self.energy_joules,
            energy_estimated=self.energy_estimated,
            site_amount=self.site_amount,
            recorded_at=self.recorded_at,
            note=self.note,
        )
