"""Redress: an applicant asks, with grounds, that a decline be looked at again; an officer who did not decide answers.

Upheld, the decision stands. Redone, the application is in review again: the steps that failed are done anew, and the
new decision stands beside the old one. It is asked for once for each decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any

from django.db import models

from hanse.contracts import review_ends as contract
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.programme import clock
from hanse.service.access.models import Application, Person, Review
from hanse.service.awarding.proposals import Proposal
from hanse.service.records import PublicIdField, together, transition
from hanse.service.review.orders import OutOfOrder
from hanse.service.review.reviewers import require_judge
from hanse.service.review.standing_rules import rules_of
from hanse.service.review.steps import Step

TRANSITIONS: Mapping[str, frozenset[str]] = {
    "asked": frozenset({"upheld", "redone", "withdrawn"}),
    "upheld": frozenset(),
    "redone": frozenset(),
    "withdrawn": frozenset(),
}
REOPENS: Mapping[str, frozenset[str]] = {"declined": frozenset({"in-review"})}
"""Only redress takes a decision back; of an award, changes are asked for instead."""
STEP_AGAIN: Mapping[str, frozenset[str]] = {"failed": frozenset({"waiting"})}
SET_ASIDE = ("recommendation", "reserve", "turn")
"""What the answer to a redress stands for, where it is decided anew."""


class Redress(models.Model):
    public_id = PublicIdField(prefix="rdr")
    application = models.ForeignKey(Application, on_delete=models.PROTECT, related_name="redresses")
    decided_at = models.DateTimeField()
    """Of the decision it is about."""
    state = models.CharField(max_length=9, choices=[(one, one) for one in TRANSITIONS], default="asked")
    grounds = models.TextField()
    asked_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(default=now)
    answered_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    answered_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True)
    """The answer."""

    class Meta:
        app_label = "review"
        ordering = ["-pk"]
        verbose_name = "redress"
        constraints = [models.UniqueConstraint(fields=["application", "decided_at"], name="redress_once")]

    def __str__(self) -> str:
        return f"{self.public_id} {self.state}"

    @classmethod
    def seen_by(cls, person: Person) -> Any:
        rows = cls.objects.select_related("application__organisation", "application__call", "asked_by", "answered_by")
        if person.is_officer:
            return rows
        return rows.filter(application__organisation__memberships__person=person).distinct()

    @classmethod
    def ask(cls, application: Application, by: Person, *, grounds: str, at: datetime | None = None) -> Redress:
        """Ask for it.

        Raises:
            PolicyError: not of the organisation that applied.
            UsageError: no grounds.
            Conflict: it was not declined, the time is over, or it was asked for.
        """
        if not by.belongs_to(application.organisation):
            raise PolicyError("only its organisation asks for redress", where=application.public_id)
        if not grounds.strip():
            raise UsageError("redress needs its grounds", where="grounds", fix="say what went wrong in deciding it")
        with together():
            held = Application.objects.select_for_update(of=("self",)).select_related("call").get(pk=application.pk)
            until = deadline(held)
            if until is None:
                raise Conflict(
                    f"the application is {held.state}", where=held.public_id,
                    fix="redress is for what was declined; of an award ask for a change",
                )  # fmt: skip
            if (at or now()) > until:
                raise Conflict(f"redress could be asked for until {until:%Y-%m-%d}", where=held.public_id)
            made, new = cls.objects.get_or_create(
                application=held, decided_at=held.decided_at, defaults={"grounds": grounds.strip(), "asked_by": by}
            )
            if not new:
                raise Conflict("it was asked for already", where=made.public_id, fix="it is asked for once")
            _event("user:redress:asked", made, by, grounds.strip())
        return made

    def withdraw(self, by: Person) -> None:
        if not by.belongs_to(self.application.organisation):
            raise PolicyError("only its organisation withdraws it", where=self.public_id)
        transition(self, "withdrawn", TRANSITIONS, event="user:redress:withdrawn", by=by.username, data=_data(self))

    def answer(self, by: Person, *, outcome: str, reason: str) -> None:
        """Uphold the decision, or take it back so that it is decided anew.

        Raises:
            PolicyError: not an officer, one of the applicants, or of those who decided it.
            UsageError: no reason.
            Conflict: it was answered, or the application is no longer declined.
        """
        require_judge(by, self.application)
        if by.pk in deciders(self.application):
            raise PolicyError(
                "who decided it does not judge the redress", where=self.public_id, fix="another officer has to"
            )
        if not reason.strip():
            raise UsageError("an answer needs its reason", where="reason", fix="say what you found")
        with together():
            held = Application.objects.select_for_update(of=("self",)).get(pk=self.application.pk)
            transition(
                self, outcome, TRANSITIONS, event=f"officer:redress:{outcome}", by=by.username, reason=reason.strip(),
                keep_reason=True, data=_data(self), answered_by=by, answered_at=now(),
            )  # fmt: skip
            if outcome == "redone":
                _reopen(held, by, reason.strip())

    def contract(self) -> contract.Redress:
        return contract.Redress(
            id=self.public_id, application=self.application.public_id, state=self.state, grounds=self.grounds,
            asked_by=self.asked_by.username, asked_at=self.asked_at, answer=self.reason,
            answered_by=self.answered_by.username if self.answered_by else "", answered_at=self.answered_at,
        )  # fmt: skip


def deadline(application: Any) -> datetime | None:
    """The last moment to ask at: the end of the day in Brussels; None where it was not declined."""
    if application.state != "declined" or application.decided_at is None:
        return None
    day = application.decided_at.astimezone(clock.ZONE).date() + timedelta(days=rules_of(application).redress_days)
    return datetime.combine(day, time.max, tzinfo=clock.ZONE)


def deciders(application: Any) -> set[int]:
    """Everybody who decided it, or proposed or confirmed the decision."""
    took = set(Review.objects.filter(application=application).values_list("officer_id", flat=True))
    rows = Proposal.objects.filter(application=application, state="confirmed")
    return took | {one for row in rows.values_list("proposed_by_id", "decided_by_id") for one in row if one}


def _reopen(held: Application, by: Person, reason: str) -> None:
    if held.state != "declined":
        raise Conflict(f"the application is {held.state}", where=held.public_id, fix="look at it again")
    transition(
        held, "in-review", REOPENS, event="officer:application:reopened", by=by.username, reason=reason,
        data={"declined_at": held.decided_at.isoformat() if held.decided_at else None}, decided_at=None,
    )  # fmt: skip
    Application.objects.filter(pk=held.pk).update(reason="")
    for step in Step.objects.filter(application=held, state="failed"):
        transition(
            step, "waiting", STEP_AGAIN, event="review:step:reopened", by=by.username, reason=step.reason,
            data={"application": held.public_id, "kind": step.kind}, done_by=None, done_at=None, findings=[],
        )  # fmt: skip
        Step.objects.filter(pk=step.pk).update(reason="")
    OutOfOrder.objects.create(application=held, obstacles=list(SET_ASIDE), reason=f"Redress: {reason}", by=by)


def _data(one: Redress) -> dict[str, str | int | float | bool | None]:
    return {"application": one.application.public_id, "title": one.application.form.title}


def _event(name: str, one: Redress, by: Person, reason: str) -> None:
    from hanse.service.runs.events import Event

    Event.record(name, one.public_id, by=by.username, reason=reason, **_data(one))
