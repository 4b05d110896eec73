"""Permits for data of persons: stated by who holds them, confirmed by an officer, warned of before they end.

Without a confirmed permit that names the dataset and the machine and is still valid, nothing is admitted that reads
such data; when one ends, what still runs on it is asked to save and end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any, Final

from django.conf import settings
from django.db import models, transaction

from hanse.contracts import watch as contract
from hanse.contracts.base import now
from hanse.contracts.decision import Finding
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.contracts.run import FINAL_RUN_STATES
from hanse.contracts.spec import TrainSpec
from hanse.rules import watch
from hanse.service.access.people import Person
from hanse.service.records import ContractField, PublicIdField, transition
from hanse.service.runs.events import Event

PERMIT_TRANSITIONS: Mapping[str, frozenset[str]] = {
    "stated": frozenset({"confirmed", "withdrawn"}),
    "confirmed": frozenset({"withdrawn"}),
    "withdrawn": frozenset(),
}
CITATION: Final = "Reg. (EU) 2025/327 (health data); GDPR Art. 28 (processing by the hosting site)"


class Permit(models.Model):
    STATES = [(state, state) for state in PERMIT_TRANSITIONS]

    public_id = PublicIdField(prefix="prm")
    award = models.ForeignKey("access.Award", on_delete=models.PROTECT, related_name="permits")
    form = ContractField(contract="hanse.contracts.watch.PermitForm")
    valid_until = models.DateField(db_index=True)
    state = models.CharField(max_length=10, choices=STATES, default="stated")
    stated_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    confirmed_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    reason = models.TextField(blank=True)

    class Meta:
        app_label = "compliance"
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.form.number} of {self.form.issuer}"

    @classmethod
    def state_one(cls, award: Any, form: contract.PermitForm, by: Person, *, today: date) -> Permit:
        """File a permit; an officer confirms it. Raises UsageError where it has ended already."""
        if form.valid_until < today:
            raise UsageError(f"it ended on {form.valid_until}", where="valid_until", fix="State one that is valid.")
        with transaction.atomic():
            made = cls.objects.create(award=award, form=form, valid_until=form.valid_until, stated_by=by)
            Event.record(
                "user:permit:stated", made.public_id, by=by.username, award=award.public_id, number=form.number,
                until=form.valid_until.isoformat(),
            )  # fmt: skip
        return made

    def confirm(self, by: Person, *, reason: str) -> None:
        """Raises PolicyError for who may not judge it, or stated it; Conflict where it is not waiting for that."""
        if by == self.stated_by and not settings.HANSE_EMBEDDED:
            raise PolicyError(
                "who stated a permit does not confirm it", where=self.public_id, fix="ask another officer"
            )
        self._judge(by, "confirmed", reason, confirmed_by=by)

    def withdraw(self, by: Person, *, reason: str) -> None:
        self._judge(by, "withdrawn", reason)

    def _judge(self, by: Person, to: str, reason: str, **fields: Any) -> None:
        self.award.application.require_judge(by)
        if not reason.strip():
            raise UsageError("this needs its reason", where="reason", fix="Say what you saw; it is kept.")
        transition(
            self, to, PERMIT_TRANSITIONS, event=f"officer:permit:{to}", by=by.username, reason=reason,
            keep_reason=True, **fields,
        )  # fmt: skip

    def covers(self, dataset: str, machine: str, today: date) -> str:
        """Why it does not allow that; '' where it does."""
        if self.state != "confirmed":
            return f"permit {self.form.number} is {self.state}, not confirmed by an officer"
        if self.valid_until < today:
            return f"permit {self.form.number} ended on {self.valid_until}"
        if dataset not in self.form.datasets:
            return f"permit {self.form.number} does not name {dataset}"
        if machine not in self.form.machines:
            return f"permit {self.form.number} does not name {machine} as a place of processing"
        return ""

    def contract(self) -> contract.Permit:
        return contract.Permit(
            id=self.public_id, award=self.award.public_id, form=self.form, state=self.state,
            stated_by=self.stated_by.username, confirmed_by=self.confirmed_by.username if self.confirmed_by else "",
        )  # fmt: skip


class PermitWarning(models.Model):
    """That an end of a permit was told so many days before, once; 0: that it has ended."""

    permit = models.ForeignKey(Permit, on_delete=models.PROTECT, related_name="warnings")
    days = models.PositiveSmallIntegerField()
    at = models.DateTimeField()

    class Meta:
        app_label = "compliance"
        constraints = [models.UniqueConstraint(fields=["permit", "days"], name="permit_warning_once")]

    def __str__(self) -> str:
        return f"{self.permit} {self.days} days before"


def findings(award: Any, machine: str, spec: TrainSpec, today: date) -> Iterator[Finding]:
    """Of each dataset with data of persons: allowed by a permit, or not and why."""
    held = list(Permit.objects.filter(award=award).exclude(state="withdrawn")) if award is not None else []
    for dataset in (one for one in spec.data if one.personal_data):
        against = [one.covers(dataset.name, machine, today) for one in held]
        good = next((one for one, why in zip(held, against, strict=True) if not why), None)
        if good is not None:
            reason = f"{dataset.name} is used under permit {good.form.number}, valid until {good.valid_until}."
            yield Finding(rule="watch.permit", verdict="allow", reason=reason, citation=CITATION)
            continue
        why = "; ".join(dict.fromkeys(against)) or "no permit for it is on file"
        yield Finding(
            rule="watch.permit", verdict="deny", citation=CITATION,
            reason=f"Dataset {dataset.name} holds personal data: {why}.",
            what_would_change_it="State a permit that names dataset and machine, and have an officer confirm it; or "
            "train on data without personal data.",
        )  # fmt: skip


def number_for(award: Any, machine: str, dataset: str, today: date) -> str | None:
    """The permit that goes into a ticket beside a dataset."""
    held = Permit.objects.filter(award=award, state="confirmed") if award is not None else ()
    return next((one.form.number for one in held if not one.covers(dataset, machine, today)), None)


def for_ticket(spec: TrainSpec, allocation: Any) -> dict[str, str | None]:
    """The number of the permit behind each dataset with personal data; None where there is none."""
    where, today = allocation.machine.public_id, now().date()
    personal = (one.name for one in spec.data if one.personal_data)
    return {name: number_for(allocation.award, where, name, today) for name in personal}


def look_after(at: datetime) -> int:
    """Warn 60, 30 and 7 days before the end, and end what runs on a permit that is over; how much was new."""
    today, new = at.date(), 0
    for permit in Permit.objects.filter(state="confirmed").select_related("award__application"):
        if permit.valid_until >= today:
            days = watch.days_to_warn(permit.valid_until, today)
            left = (permit.valid_until - today).days
            told = f"Permit {permit.form.number} ends on {permit.valid_until}, in {left} days."
            new += days is not None and _once(permit, days, at, "ending", told)
        else:
            ended = f"Permit {permit.form.number} ended on {permit.valid_until}; nothing may read its data any more."
            new += _once(permit, 0, at, "ended", ended) + _end_runs(permit, ended, today)
    return new


def _once(permit: Permit, days: int, at: datetime, what: str, told: str) -> int:
    with transaction.atomic():
        _, new = PermitWarning.objects.get_or_create(permit=permit, days=days, defaults={"at": at})
        if new:
            Event.record(
                f"tick:permit:{what}", permit.public_id, by="tick", reason=told, days=days,
                award=permit.award.public_id, application=permit.award.application.public_id,
            )  # fmt: skip
    return int(new)


def _end_runs(permit: Permit, because: str, today: date) -> int:
    from hanse.service.runs.lifecycle import Run

    ended = 0
    running = Run.objects.filter(legs__allocation__award=permit.award).exclude(state__in=FINAL_RUN_STATES)
    for run in running.exclude(state="cancelling").distinct():
        machines = {leg.machine.public_id for leg in run.legs.select_related("machine")}
        against = [
            one for machine in machines for one in findings(permit.award, machine, run.spec, today)
            if one.verdict == "deny"
        ]  # fmt: skip
        if against:
            try:
                run.cancel(by="watch", reason=because)
                ended += 1
            except Conflict:  # it ended by itself in this moment
                continue
    return ended
