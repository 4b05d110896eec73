"""One reviewer's review of one application: given, then sent or declined; sent scores are frozen.

Giving and sending lock the application first, so that none comes after its decision; of two that race, one
wins and the other raises Conflict.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from django.db import models, transaction

from hanse.contracts import review as contract
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.programme import clock
from hanse.programme.review import rules
from hanse.service.access.calls import APPLICATION_TRANSITIONS
from hanse.service.access.models import Application, Person
from hanse.service.records import PublicIdField, together, transition
from hanse.service.review import clearing, steps
from hanse.service.review.ranked import Round
from hanse.service.review.reviewers import Reviewer, opened, require_judge
from hanse.service.review.standing_rules import rules_of
from hanse.service.runs.events import Event

TRANSITIONS: Mapping[str, frozenset[str]] = {
    "given": frozenset({"sent", "declined", "replaced"}),
    "sent": frozenset(),
    "declined": frozenset(),
    "replaced": frozenset(),
}
"""replaced: it was late, and another reviewer stands in."""
REMIND_BEFORE = timedelta(days=2)


class Assignment(models.Model):
    public_id = PublicIdField(prefix="rev")
    application = models.ForeignKey(Application, on_delete=models.PROTECT, related_name="assignments")
    reviewer = models.ForeignKey(Reviewer, on_delete=models.PROTECT, related_name="assignments")
    state = models.CharField(max_length=8, choices=[(one, one) for one in TRANSITIONS], default="given")
    due_on = models.DateField()
    points = models.JSONField(default=dict)
    comments = models.JSONField(default=dict)
    sent_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True)
    """Why it was declined or replaced."""

    class Meta:
        app_label = "review"
        ordering = ["pk"]
        verbose_name = "review"
        constraints = [models.UniqueConstraint(fields=["application", "reviewer"], name="reviewer_once")]

    def __str__(self) -> str:
        return self.public_id

    @classmethod
    def give(cls, application: Application, reviewer: Reviewer, *, due_on: date, by: Person) -> Assignment:
        """Ask a reviewer; the first one takes the application into review.

        Raises:
            PolicyError: not an officer, one of the applicants, or the reviewer has a conflict of interest, or could
                have one that nobody cleared.
            Conflict: the application is not open for review, its round is closed, an earlier step is
                not passed, or the reviewer was asked already.
        """
        require_judge(by, application)
        clearing.require_none(application, reviewer)
        with together():
            held = opened(application.pk)
            require_open_round(held)
            steps.require_before(held, "scientific")
            if held.state == "sent":
                transition(
                    held, "in-review", APPLICATION_TRANSITIONS, event="officer:application:in-review", by=by.username
                )
            given = ask(held, reviewer, due_on=due_on, by=by.username)
        application.state = held.state
        return given

    def send(self, by: Person, *, points: Mapping[str, int], comments: Mapping[str, str]) -> None:
        """Send the scores; they are frozen then.

        Raises:
            PolicyError: somebody else's review.
            UsageError: the sheet does not keep to the rules.
            Conflict: sent or declined before, the round is closed, or the application is decided.
        """
        self._require_own(by)
        rules.check(rules_of(self.application), points, comments)
        with together():
            require_open_round(opened(self.application_id))
            transition(
                self, "sent", TRANSITIONS, event="reviewer:review:sent", by=by.username,
                points=dict(points), comments=dict(comments), sent_at=now(),
            )  # fmt: skip

    def decline(self, by: Person, *, reason: str) -> None:
        """Decline, for a conflict of interest or want of time; an officer then finds a stand-in.

        Raises:
            PolicyError: somebody else's review.
            UsageError: no reason.
            Conflict: sent or declined before, the round is closed, or the application is decided.
        """
        self._require_own(by)
        if not reason.strip():
            raise UsageError("no reason was given", where="reason", fix="say why you cannot review it")
        with together():
            require_open_round(opened(self.application_id))
            transition(
                self, "declined", TRANSITIONS, event="reviewer:review:declined", by=by.username, reason=reason,
                keep_reason=True, data={"application": self.application.public_id},
            )  # fmt: skip

    def remind(self, at: datetime) -> bool:
        """Put down the reminder that is due at `at`, once; whether there was one to write."""
        today = at.astimezone(clock.ZONE).date()
        if self.state != "given" or today < self.due_on - REMIND_BEFORE:
            return False
        kind = "late" if today > self.due_on else "soon"
        with transaction.atomic():
            _, new = Reminder.objects.get_or_create(assignment=self, kind=kind, due_on=self.due_on)
            if new:
                Event.record(
                    "review:reminder:due", self.public_id, by="hanse", reason=kind,
                    application=self.application.public_id, to=self.reviewer.person.username,
                )  # fmt: skip
        return new

    def nudge(self, by: Person) -> None:
        """Remind the reviewer now, beside the reminders that go out by themselves; once a day.

        Raises:
            PolicyError: not an officer, or one of the applicants.
            Conflict: sent or declined before, the application is decided, or they were reminded today.
        """
        require_judge(by, self.application)
        with transaction.atomic():
            held = opened(self.application_id)
            if not Assignment.objects.filter(pk=self.pk, state="given").exists():
                raise Conflict("nothing is waited for", where=self.public_id, fix="look at it again")
            today = now().astimezone(clock.ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
            name = "officer:review:reminded"
            if Event.objects.filter(name=name, subject_id=self.public_id, at__gte=today).exists():
                raise Conflict("they were reminded today", where=self.public_id, fix="wait until tomorrow")
            Event.record(
                name, self.public_id, by=by.username, application=held.public_id, title=held.form.title,
                to=self.reviewer.person.username, due=self.due_on.isoformat(),
            )  # fmt: skip

    def contract(self) -> contract.ReviewSheet:
        return contract.ReviewSheet(
            id=self.public_id, application=self.application.public_id, title=self.application.form.title,
            state=self.state, due_on=self.due_on, points=self.points, comments=self.comments, reason=self.reason,
        )  # fmt: skip

    def _require_own(self, by: Person) -> None:
        if self.reviewer.person_id != by.pk:
            raise PolicyError("this review was given to somebody else", where=self.public_id)


class Reminder(models.Model):
    """That a reviewer was to be reminded; written once for each due date and kind."""

    assignment = models.ForeignKey(Assignment, on_delete=models.CASCADE, related_name="reminders")
    kind = models.CharField(max_length=4, choices=[("soon", "soon"), ("late", "late")])
    due_on = models.DateField()
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "review"
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["assignment", "kind", "due_on"], name="reminded_once")]

    def __str__(self) -> str:
        return f"{self.assignment} {self.kind}"


def ask(application: Application, reviewer: Reviewer, *, due_on: date, by: str) -> Assignment:
    """One more review of an application that the caller holds locked. Raises Conflict: they were asked before."""
    given, new = Assignment.objects.get_or_create(
        application=application, reviewer=reviewer, defaults={"due_on": due_on}
    )
    if not new:
        raise Conflict(f"{reviewer} was asked already", where=application.public_id, fix="choose another reviewer")
    Event.record(
        "officer:review:given", given.public_id, by=by, application=application.public_id,
        to=reviewer.person.username,
    )  # fmt: skip
    return given


def require_open_round(application: Application) -> None:
    """Raises Conflict where its round was closed: the ranking stands."""
    held = Round.of(application)
    if held is not None and held.state == "closed":
        raise Conflict(
            "its round is closed and its ranking stands", where=application.public_id, fix="look at the ranking"
        )
