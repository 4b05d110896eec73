"""The right to reply: an applicant sees values and comments without names and answers once, before a moment.

The answer is seen by officers, the application's reviewers and the panel; it changes no score.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.urls import reverse

from hanse.contracts import review_ends as contract
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.service.access.models import Application, Person
from hanse.service.review import rounds
from hanse.service.review.assignments import Assignment
from hanse.service.review.panel import PanelMember
from hanse.service.review.ranked import Round
from hanse.service.review.reviewers import opened
from hanse.service.review.standing_rules import rules_of
from hanse.service.runs.events import AppendOnly, Event

MOST_CHARACTERS = 8000


class Reply(AppendOnly):
    application = models.OneToOneField(Application, on_delete=models.PROTECT, related_name="reply")
    text = models.TextField()
    by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=now)

    class Meta:
        app_label = "review"
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"reply to the reviews of {self.application.public_id}"


def open_for(call: str, cut_off: datetime, by: Person, *, until: datetime | None = None) -> Round:
    """Show every applicant of the round their reviews, and let them answer until a moment.

    Raises:
        PolicyError: not an officer, or one of the applicants.
        UsageError: the call knows no right to reply and no moment is given, or it is past.
        Conflict: a review is missing, or it was opened before.
    """
    with transaction.atomic():
        waiting = rounds.of(call, cut_off, by)
        rounds.lock(waiting)
        held = Round.objects.select_for_update(of=("self",)).get(pk=Round.kept(call, cut_off).pk)
        if held.reply_until is not None:
            raise Conflict("applicants were asked before", where=call, fix=f"see who answered until {held.reply_until}")
        rows = list(Assignment.objects.filter(application__in=waiting).values_list("application", "state"))
        lacking = next((one for one in waiting if (one.pk, "given") in rows or (one.pk, "sent") not in rows), None)
        if lacking is not None or not waiting:
            raise Conflict(
                "a review is missing", where=lacking.public_id if lacking else call, fix="wait for all of them"
            )
        days = rules_of(waiting[0]).reply_days
        moment = until or (now() + timedelta(days=days) if days else None)
        if moment is None or moment <= now():
            raise UsageError("until when may they answer?", where="until", fix="give a moment that is to come")
        Round.objects.filter(pk=held.pk).update(reply_until=moment)
        for one in waiting:
            Event.record(
                "review:reply:opened", one.public_id, by=by.username, until=moment.isoformat(),
                title=one.form.title, path=reverse("review:reply", args=[one.public_id]),
            )  # fmt: skip
    held.reply_until = moment
    return held


def answer(application: Application, by: Person, *, text: str, at: datetime | None = None) -> Reply:
    """The applicant's answer, once.

    Raises:
        PolicyError: not of the organisation that applied.
        UsageError: nothing is said, or too much.
        Conflict: it is not, or no longer, asked for; or it was answered.
    """
    if not by.belongs_to(application.organisation):
        raise PolicyError("only its organisation answers", where=application.public_id)
    said = text.strip()
    if not said or len(said) > MOST_CHARACTERS:
        raise UsageError(f"an answer has 1 to {MOST_CHARACTERS:,} characters", where="text", fix="shorten or write it")
    with transaction.atomic():
        held = opened(application.pk)
        until = _until(held)
        if until is None or (at or now()) > until:
            raise Conflict("no answer is taken now", where=held.public_id, fix="it was possible until the moment named")
        made, new = Reply.objects.get_or_create(application=held, defaults={"text": said, "by": by})
        if not new:
            raise Conflict("it was answered already", where=held.public_id, fix="an answer is given once")
        Event.record("user:reply:sent", held.public_id, by=by.username)
    return made


def may_see(application: Any, person: Person) -> bool:
    """Officers, the applicant's organisation, the application's reviewers, members of the round's panel."""
    if person.is_officer or person.belongs_to(application.organisation):
        return True
    reviews = Assignment.objects.filter(application=application, reviewer__person=person, state__in=("given", "sent"))
    return reviews.exists() or _in_panel(application, person)


def shown(application: Any, person: Person, *, at: datetime | None = None) -> contract.Reply:
    """Reviews without names, and the answer. Raises PolicyError for who may not see it.

    The applicant sees reviews once they were asked to answer; a reviewer sees the answer alone.
    """
    member = person.belongs_to(application.organisation)
    if not member and not may_see(application, person):
        raise PolicyError("only its organisation, its reviewers, the panel and officers see this", where="reply")
    held = Round.of(application)
    until = held.reply_until if held else None
    said = Reply.objects.filter(application=application).select_related("by").first()
    judge = person.is_officer and (not member or settings.HANSE_EMBEDDED)
    whole = judge or (member and until is not None) or _in_panel(application, person)
    open_now = until is not None and (at or now()) <= until and application.state in rounds.WAITING
    return contract.Reply(
        application=application.public_id, until=until, sheets=sheets(application) if whole else (),
        text=said.text if said else "", by=said.by.username if said and (member or person.is_officer) else "",
        at=said.at if said else None, may_answer=member and open_now and said is None,
    )  # fmt: skip


def sheets(application: Any) -> tuple[contract.BlindSheet, ...]:
    """Its reviews that were sent, without names, in an order that tells nothing."""
    rows = Assignment.objects.filter(application=application, state="sent").order_by("public_id")
    return tuple(
        contract.BlindSheet(number=number, points=one.points, comments=one.comments)
        for number, one in enumerate(rows, 1)
    )


def _until(application: Any) -> datetime | None:
    held = Round.of(application)
    return held.reply_until if held else None


def _in_panel(application: Any, person: Person) -> bool:
    held = Round.of(application)
    return held is not None and PanelMember.objects.filter(panel__round=held, person=person).exists()
