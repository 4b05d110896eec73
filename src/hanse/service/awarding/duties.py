"""Reports and obligations of an award, from their due day to an officer's confirmation, with reminders.

Which there are, and when they are due, follows from the call the award was made under (programme/obligations.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import Sum

from hanse.contracts import awarding as contract
from hanse.contracts.awarding import DutyAnswers, DutyFigures
from hanse.contracts.base import now
from hanse.contracts.errors import PolicyError, UsageError
from hanse.programme import obligations
from hanse.programme.awards import month_of
from hanse.service.access.awards import Award
from hanse.service.access.people import Organisation, Person
from hanse.service.awarding import policy
from hanse.service.records import ContractField, PublicIdField, transition
from hanse.service.runs.events import Event

TRANSITIONS: Mapping[str, frozenset[str]] = {
    "open": frozenset({"sent", "waived"}),
    "sent": frozenset({"accepted", "sent-back", "waived"}),
    "sent-back": frozenset({"sent", "waived"}),
    "accepted": frozenset(),
    "waived": frozenset(),
}
OWED = ("open", "sent-back")
REPORTS = ("progress-report", "final-report")
KINDS = (*REPORTS, "obligation")


class Duty(models.Model):
    public_id = PublicIdField(prefix="dut")
    award = models.ForeignKey(Award, on_delete=models.PROTECT, related_name="duties")
    kind = models.CharField(max_length=16, choices=[(kind, kind) for kind in KINDS])
    name = models.CharField(max_length=63)
    text = models.TextField()
    due = models.DateField(null=True, blank=True)
    after_end = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=[(one, one) for one in TRANSITIONS], default="open")
    answers = ContractField(contract="hanse.contracts.awarding.DutyAnswers", null=True, blank=True)
    figures = ContractField(contract="hanse.contracts.awarding.DutyFigures", null=True, blank=True)
    """As they were when it was sent."""
    sent_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    sent_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True)

    class Meta:
        app_label = "awarding"
        ordering = ["due", "pk"]
        verbose_name_plural = "duties"
        indexes = [models.Index(fields=["state", "due"], name="duty_due")]
        constraints = [models.UniqueConstraint(fields=["award", "name"], name="duty_once_an_award")]

    def __str__(self) -> str:
        return f"{self.name} of {self.award.public_id}"

    @classmethod
    def seen_by(cls, person: Person) -> Any:
        rows = cls.objects.select_related("award__project__organisation", "award__application")
        if person.is_officer:
            return rows
        return rows.filter(award__project__organisation__memberships__person=person).distinct()

    def save_draft(self, by: Person, answers: DutyAnswers) -> None:
        """Keep what is written so far; nobody reads it yet."""
        self._require_member(by)
        if not type(self).objects.filter(pk=self.pk, state__in=OWED).update(answers=answers):
            raise UsageError(f"it is {self.state} and cannot be edited", where=self.public_id)
        self.answers = answers

    def send(self, by: Person, answers: DutyAnswers) -> None:
        """Hand it in, with the figures of the records as they are now.

        Raises:
            PolicyError: not a member of the project.
            UsageError: a report without its summary and results, an obligation without evidence.
            Conflict: it was sent or settled already.
        """
        self._require_member(by)
        if self.kind in REPORTS:
            for name in ("summary", "results"):
                if not getattr(answers, name).strip():
                    raise UsageError(f"a report needs its {name}", where=name, fix="write it, then send it")
        elif not (answers.evidence_url or answers.evidence_text.strip()):
            raise UsageError(
                "an obligation needs its evidence", where="evidence_url", fix="give a link, or say it in words"
            )
        figures = figures_of(self.award) if self.kind in REPORTS else None
        self._to("sent", by, "", source="user", answers=answers, figures=figures, sent_by=by, sent_at=now())

    def accept(self, by: Person, *, reason: str = "") -> None:
        self._judge(by)
        self._to("accepted", by, reason)

    def send_back(self, by: Person, *, reason: str) -> None:
        self._judge(by, reason)
        self._to("sent-back", by, reason)

    def waive(self, by: Person, *, reason: str) -> None:
        self._judge(by, reason)
        self._to("waived", by, reason)

    def set_due(self, by: Person, due: date, *, reason: str) -> None:
        """Another day, or one where the call names none."""
        self._judge(by, reason)
        with transaction.atomic():
            type(self).objects.filter(pk=self.pk).update(due=due, after_end=False)
            Reminder.objects.filter(duty=self).delete()
            Event.record("officer:duty:due-set", self.public_id, by=by.username, reason=reason, due=due.isoformat())
        self.due = due

    @property
    def overdue(self) -> bool:
        return self.state in OWED and obligations.overdue(self.due, now().date())

    def _judge(self, by: Person, reason: str = "some") -> None:
        by.require_officer()
        if by.belongs_to(self.award.project.organisation) and not settings.HANSE_EMBEDDED:
            raise PolicyError(
                f"you stand in {self.award.project.organisation}, whose duty it is", where=self.public_id,
                fix="another officer has to decide this one",
            )  # fmt: skip
        if not reason.strip():
            raise UsageError("this needs its reason", where="reason", fix="say why; the project reads it")

    def _require_member(self, by: Person) -> None:
        if not by.belongs_to(self.award.project.organisation):
            raise PolicyError("only members of the project hand it in", where=self.public_id)

    def _to(self, to: str, by: Person, reason: str, *, source: str = "officer", **fields: Any) -> None:
        transition(
            self, to, TRANSITIONS, event=f"{source}:duty:{to}", by=by.username, reason=reason, keep_reason=True,
            data={"award": self.award.public_id, "duty": self.name}, **fields,
        )  # fmt: skip

    def contract(self) -> contract.Duty:
        return contract.Duty(
            id=self.public_id,
            award=self.award.public_id,
            kind=self.kind,
            name=self.name,
            text=self.text,
            due=self.due,
            state=self.state,
            overdue=self.overdue,
            answers=self.answers,
            figures=self.figures or (figures_of(self.award) if self.kind in REPORTS else None),
            answer=self.reason,
        )


class Reminder(models.Model):
    """That a stage of reminding was reached; a notice goes out once for each."""

    duty = models.ForeignKey(Duty, on_delete=models.CASCADE, related_name="reminders")
    stage = models.CharField(max_length=10)
    at = models.DateTimeField()

    class Meta:
        app_label = "awarding"
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["duty", "stage"], name="reminder_once_a_stage")]

    def __str__(self) -> str:
        return f"{self.stage} of {self.duty.public_id}"


def open_for(award: Award) -> None:
    """The duties of a new award, by its call."""
    ends = max(award.allocations.values_list("ends", flat=True))  # type: ignore[attr-defined]
    for one in obligations.duties(award.application.call.terms.obligations, award.starts, ends):
        Duty.objects.create(
            award=award, kind=one.kind, name=one.name, text=one.text, due=one.day, after_end=one.after_end
        )


def moved(award: Award, *, by: str) -> None:
    """The award ends on another day: what is counted from the end moves with it."""
    ends = max(award.allocations.values_list("ends", flat=True))  # type: ignore[attr-defined]
    for one in obligations.duties(award.application.call.terms.obligations, award.starts or ends, ends):
        duty = Duty.objects.filter(award=award, name=one.name, after_end=True, state__in=OWED).first()
        if one.after_end and duty is not None and duty.due != one.day:
            Duty.objects.filter(pk=duty.pk).update(due=one.day)
            Reminder.objects.filter(duty=duty).delete()
            Event.record("service:duty:moved", duty.public_id, by=by, due=one.day.isoformat() if one.day else "")


def owed_by(organisation: Organisation, on: date) -> Any:
    """What it should have handed in by that day."""
    return Duty.objects.filter(award__project__organisation=organisation, state__in=OWED, due__lt=on)


def require_none_overdue(organisation: Organisation) -> None:
    """Raises PolicyError where the service's policy is that overdue duties come first."""
    if not policy.overdue_blocks():
        return
    late = list(owed_by(organisation, now().date())[:10])
    if late:
        raise PolicyError(
            f"{organisation.name} owes something of an earlier award: {late[0].name}, due {late[0].due:%d %B %Y}",
            where=late[0].public_id,
            fix="hand it in, or ask an officer to waive it or to set another day; then apply",
            history=tuple(f"{one.name}, due {one.due:%d %B %Y}: {one.text}" for one in late),
        )


def remind(at: datetime) -> int:
    """Note each stage once, with an event that a notice is made from."""
    made = 0
    owed = Duty.objects.filter(state__in=OWED, due__isnull=False)
    told = set(Reminder.objects.filter(duty__state__in=OWED).values_list("duty_id", "stage"))
    stages = ((pk, obligations.stage(due, at.date())) for pk, due in owed.values_list("pk", "due"))
    fresh = {pk: stage for pk, stage in stages if stage and (pk, stage) not in told}
    for pk, stage in fresh.items():
        duty = Duty.objects.select_related("award__project").get(pk=pk)
        with transaction.atomic():
            _, new = Reminder.objects.get_or_create(duty=duty, stage=stage, defaults={"at": at})
            if new:
                Event.record(
                    "service:duty:overdue" if stage == "overdue" else "service:duty:reminded", duty.public_id,
                    by="tick", award=duty.award.public_id, stage=stage, due=duty.due.isoformat(),
                    title=duty.award.project.name,
                )  # fmt: skip
                made += 1
    return made


def figures_of(award: Award) -> DutyFigures:
    """What the records say of it now."""
    from hanse.service.awarding.movements import Movement
    from hanse.service.runs.lifecycle import Run
    from hanse.service.runs.usage import UsageEntry

    entries = UsageEntry.objects.filter(allocation__award=award)
    by_month: Counter[str] = Counter()
    by_machine: Counter[str] = Counter()
    for seconds, recorded, machine in entries.values_list(
        "accelerator_seconds", "recorded_at", "allocation__machine__public_id"
    ):
        by_month[month_of(recorded.date())] += seconds
        by_machine[machine] += seconds
    runs = Run.objects.filter(legs__allocation__award=award).distinct()
    moved_hours = Counter[str]()
    for kind, seconds in Movement.objects.filter(allocation__award=award).values_list("kind", "accelerator_seconds"):
        moved_hours["returned" if kind == "returned" else "granted"] += seconds
    return DutyFigures(
        made_at=now(),
        granted_accelerator_seconds=moved_hours["granted"],
        used_accelerator_seconds=sum(by_machine.values()),
        returned_accelerator_seconds=-moved_hours["returned"],
        runs=runs.count(),
        runs_finished=runs.filter(state="finished").count(),
        by_month=dict(sorted(by_month.items())),
        by_machine=dict(sorted(by_machine.items())),
        energy_joules=entries.aggregate(total=Sum("energy_joules"))["total"] or 0,
    )
