"""Stand-ins: a review that is late after its reminders goes to another reviewer, as an officer confirms or by rule.

The tick proposes one for each late review (by rule of the call it is done at once); nobody is proposed who has, or
could have, a conflict of interest, or was asked before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from django.db import models, transaction

from hanse.contracts import review_ends as contract
from hanse.contracts.base import now
from hanse.contracts.errors import UsageError
from hanse.programme import clock
from hanse.programme.review import conflicts
from hanse.programme.review.assignment import propose
from hanse.service.access.models import Application, Person
from hanse.service.records import PublicIdField, together, transition
from hanse.service.review import clearing
from hanse.service.review.assignments import TRANSITIONS as OF_REVIEW
from hanse.service.review.assignments import Assignment, ask, require_open_round
from hanse.service.review.reviewers import Reviewer, entry, opened, require_judge
from hanse.service.review.standing_rules import rules_of
from hanse.service.runs.events import Event

TRANSITIONS: Mapping[str, frozenset[str]] = {
    "proposed": frozenset({"confirmed", "dismissed"}),
    "confirmed": frozenset(),
    "dismissed": frozenset(),
}
DAYS = 7
"""So long a stand-in has for the review; ours."""


class StandIn(models.Model):
    public_id = PublicIdField(prefix="sub")
    assignment = models.OneToOneField(Assignment, on_delete=models.PROTECT, related_name="stand_in")
    reviewer = models.ForeignKey(Reviewer, on_delete=models.PROTECT, related_name="stands_in")
    state = models.CharField(max_length=9, choices=[(one, one) for one in TRANSITIONS], default="proposed")
    due_on = models.DateField()
    proposed_at = models.DateTimeField(default=now)
    answered_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    reason = models.TextField(blank=True)

    class Meta:
        app_label = "review"
        ordering = ["pk"]
        verbose_name = "stand-in"

    def __str__(self) -> str:
        return f"{self.reviewer} for {self.assignment}"

    @classmethod
    def waiting(cls) -> Any:
        """Proposals that can still be answered."""
        return cls.objects.filter(state="proposed", assignment__state="given").select_related(
            "assignment__application__organisation", "assignment__reviewer__person", "reviewer__person"
        )

    def confirm(self, by: Person) -> None:
        """Give the review to the stand-in.

        Raises:
            PolicyError: not an officer, one of the applicants, or a conflict came up.
            Conflict: the review was sent meanwhile, the round is closed, or it was answered.
        """
        require_judge(by, self.assignment.application)
        with together():
            self._replace(by.username, answered_by=by)

    def dismiss(self, by: Person, *, reason: str) -> None:
        """Leave the review with who has it. Raises as `confirm`, and UsageError without a reason."""
        require_judge(by, self.assignment.application)
        if not reason.strip():
            raise UsageError("leaving it needs its reason", where="reason", fix="say what the reviewer said")
        transition(
            self, "dismissed", TRANSITIONS, event="officer:stand-in:dismissed", by=by.username, reason=reason,
            keep_reason=True, answered_by=by, data=self._data(),
        )  # fmt: skip

    def _replace(self, by: str, **fields: Any) -> None:
        held = opened(self.assignment.application_id)
        require_open_round(held)
        clearing.require_none(held, self.reviewer)
        transition(
            self.assignment, "replaced", OF_REVIEW, event="review:review:replaced", by=by,
            reason="late after its reminders", keep_reason=True,
            data={"application": held.public_id, "to": self.assignment.reviewer.person.username},
        )  # fmt: skip
        transition(
            self, "confirmed", TRANSITIONS, event="review:stand-in:confirmed", by=by, data=self._data(), **fields
        )
        ask(held, self.reviewer, due_on=self.due_on, by=by)

    def _data(self) -> dict[str, str | int | float | bool | None]:
        return {"application": self.assignment.application.public_id, "review": self.assignment.public_id}

    def contract(self) -> contract.StandIn:
        return contract.StandIn(
            id=self.public_id, review=self.assignment.public_id, application=self.assignment.application.public_id,
            late=self.assignment.reviewer.person.username, reviewer=self.reviewer.person.username, due_on=self.due_on,
            state=self.state,
        )  # fmt: skip


def replace(late: Assignment, by: Person, *, reviewer: Reviewer, due_on: date, reason: str) -> Assignment:
    """Give a review to somebody else, as an officer says; what was proposed for it falls away.

    Raises:
        PolicyError: not an officer, one of the applicants, or a conflict of interest that nobody cleared.
        UsageError: no reason.
        Conflict: it was sent or declined, the round is closed, or the other was asked before.
    """
    require_judge(by, late.application)
    if not reason.strip():
        raise UsageError("replacing a reviewer needs its reason", where="reason", fix="say why; the reviewer reads it")
    with together():
        held = opened(late.application_id)
        require_open_round(held)
        clearing.require_none(held, reviewer)
        transition(
            late, "replaced", OF_REVIEW, event="officer:review:replaced", by=by.username, reason=reason.strip(),
            keep_reason=True, data={"application": held.public_id, "to": late.reviewer.person.username},
        )  # fmt: skip
        for proposed in StandIn.objects.filter(assignment=late, state="proposed"):
            transition(
                proposed, "dismissed", TRANSITIONS, event="officer:stand-in:dismissed", by=by.username,
                reason="another was chosen", keep_reason=True, answered_by=by, data=proposed._data(),
            )  # fmt: skip
        return ask(held, reviewer, due_on=due_on, by=by.username)


def free_for(late: Assignment) -> list[Reviewer]:
    """Who may take a review over: not asked for this application before, without a conflict that stands."""
    asked = set(Assignment.objects.filter(application=late.application).values_list("reviewer_id", flat=True))
    known, cleared = entry(late.application), clearing.cleared([late.application])
    return [
        one
        for one in Reviewer.listed()
        if one.pk not in asked
        and not conflicts.found(one.seen(), known)
        and (not conflicts.possible(one.seen(), known) or (known.id, str(one.pk)) in cleared)
    ]


def look_after(at: datetime) -> int:
    """Propose stand-ins for reviews that are late enough; how many were proposed or done."""
    today = at.astimezone(clock.ZONE).date()
    late = Assignment.objects.filter(
        state="given", application__state="in-review", due_on__lt=today, stand_in=None, reminders__kind="late"
    )
    rows = late.select_related("application__call", "application__organisation", "application__applicant", "reviewer")
    return sum(_propose(one, today) for one in rows.distinct().order_by("pk"))


def _propose(late: Assignment, today: date) -> bool:
    rules = rules_of(late.application)
    if today <= late.due_on + timedelta(days=rules.stand_in_after_days):
        return False
    who = _who(late.application)
    if who is None:
        return False
    with transaction.atomic():
        # The application first, as giving and sending do; then the review may have been sent.
        held = Application.objects.select_for_update(of=("self",)).get(pk=late.application_id)
        if held.state != "in-review" or not Assignment.objects.filter(pk=late.pk, state="given").exists():
            return False
        made, new = StandIn.objects.get_or_create(
            assignment=late, defaults={"reviewer": who, "due_on": today + timedelta(days=DAYS)}
        )
        if new and rules.stand_ins == "rule":
            made._replace("hanse")
        elif new:
            Event.record("review:stand-in:proposed", made.public_id, by="hanse", **made._data())
    return new


def _who(application: Any) -> Reviewer | None:
    asked = set(Assignment.objects.filter(application=application).values_list("reviewer_id", flat=True))
    asked |= set(
        StandIn.objects.filter(assignment__application=application, state="proposed").values_list("reviewer", flat=True)
    )
    load = Counter(Assignment.objects.filter(state="given").values_list("reviewer_id", flat=True))
    people = {str(one.pk): one for one in Reviewer.listed() if one.pk not in asked}
    seen = [one.seen(load=load[one.pk]) for one in people.values()]
    pairs = propose([entry(application)], seen, each=1, cleared=clearing.cleared([application])).pairs
    return people[pairs[0][1]] if pairs else None
