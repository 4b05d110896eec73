"""What stands before a decision: steps that are not done, who came earlier, a round that is open, its ranking.

What an officer may set aside falls away with a reason that is kept beside the application; what the call demands (its
steps before a grant) does not. `require` is asked by whoever decides. A service embedded for one user asks nothing.
"""

from __future__ import annotations

from typing import Any, Literal

from django.conf import settings
from django.db import models, transaction

from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, UsageError
from hanse.contracts.review_steps import Obstacle, Obstacles
from hanse.reporting.words import full_date
from hanse.service.access.models import Application, Person
from hanse.service.review import reserve, steps
from hanse.service.review.known import Known
from hanse.service.review.ranked import Round
from hanse.service.review.reviewers import opened, require_judge
from hanse.service.runs.events import AppendOnly, Event

Decision = Literal["grant", "decline"]


class OutOfOrder(AppendOnly):
    """An officer's reason to decide an application against the order, with what stood before it."""

    application = models.ForeignKey(Application, on_delete=models.PROTECT, related_name="out_of_order")
    obstacles = models.JSONField(default=list)
    """Their kinds, which it sets aside."""
    reason = models.TextField()
    by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=now)

    class Meta:
        app_label = "review"
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.application.public_id}: {', '.join(self.obstacles)}"


def obstacles(application: Any, decision: Decision, known: Known | None = None) -> tuple[Obstacle, ...]:
    """What stands before this decision, excused or not. `known` is what a page has read of it already."""
    known = known or Known(application)
    stands = known.stands
    at_turn, broken = steps.turn_of(application, stands), steps.failed_of(stands)
    if broken and decision == "decline":
        return ()
    found = []
    if broken:
        found.append(_obstacle("step", f"The {broken} step failed: it can only be declined.", excusable=False))
    elif at_turn:
        found.append(_obstacle("step", f"The {at_turn} step is not done.", excusable=decision == "decline"))
    ahead, first = known.ahead
    if ahead:
        found.append(_obstacle("turn", f"{ahead:,} came earlier and wait: first {first}."))
    return (*found, *_of_round(application, decision, known))


def _of_round(application: Any, decision: Decision, known: Known) -> tuple[Obstacle, ...]:
    held = known.round
    if held is None or held.state == "open":
        ranked = application.call.terms.order == "ranking" and application.cut_off is not None
        return (_obstacle("round-open", "Its round is not closed: there is no ranking yet."),) if ranked else ()
    found = []
    if held.reply_until is not None and held.reply_until > now():
        found.append(_obstacle("reply-open", f"Applicants may answer until {full_date(held.reply_until)}."))
    met = getattr(held, "panel", None)
    if met is not None and met.state == "open":
        found.append(_obstacle("panel-open", "The panel's meeting is not closed.", excusable=False))
    standing = next((one.standing for one in known.order if one.id == application.public_id), None)
    waits = _reserve(application, held, known) if decision == "grant" and standing == "reserve" else ""
    if waits:
        found.append(_obstacle("reserve", waits))
    if decision == "grant" and standing == "below":
        found.append(_obstacle("recommendation", "The ranking does not recommend it."))
    if decision == "decline" and standing == "grant":
        found.append(_obstacle("recommendation", "The ranking recommends it."))
    return tuple(found)


def _reserve(application: Any, held: Round, known: Known) -> str:
    states = {one: state for one, _, state, _ in known.recommended}
    gave_up = {one: reason for one, _, _, reason in known.recommended if reason is not None}
    return reserve.before(application, reserve.state(held, known.order, states, gave_up))


def missing(application: Any, decision: Decision, known: Known | None = None) -> tuple[Obstacle, ...]:
    """Those that nobody set aside."""
    known = known or Known(application)
    excused = {kind for row in known.excused for kind in row.obstacles}
    return tuple(one for one in obstacles(application, decision, known) if not (one.excusable and one.kind in excused))


def require(application: Any, decision: Decision) -> None:
    """Nothing where this decision is in order, or an officer's reason says why it falls all the same.

    Raises:
        Conflict: something stands before it; all of it is named.
    """
    if settings.HANSE_EMBEDDED:
        return
    left = missing(application, decision)
    if not left:
        return
    fix = "do what is missing first"
    if all(one.excusable for one in left):
        fix += ", or put down why it is decided out of order"
    what = left[0].text.rstrip(".")
    raise Conflict(
        what[:1].lower() + what[1:], where=application.public_id, fix=fix, history=tuple(one.text for one in left)
    )


def allow(application: Application, by: Person, *, reason: str) -> OutOfOrder:
    """Put down why it is decided against the order.

    Raises:
        PolicyError: not an officer, or one of the applicants.
        UsageError: no reason, or nothing stands before it that an officer may set aside.
        Conflict: the application is decided.
    """
    require_judge(by, application)
    if not reason.strip():
        raise UsageError("deciding out of order needs its reason", where="reason", fix="say why it cannot wait")
    with transaction.atomic():
        held = opened(application.pk)
        both = (*missing(held, "grant"), *missing(held, "decline"))
        kinds = sorted({one.kind for one in both if one.excusable})
        if not kinds:
            raise UsageError("nothing stands before it that you may set aside", where=held.public_id)
        made = OutOfOrder.objects.create(application=held, obstacles=kinds, reason=reason.strip(), by=by)
        Event.record(
            "officer:application:out-of-order", held.public_id, by=by.username, reason=reason, what=", ".join(kinds)
        )
    return made


def contract(application: Any, known: Known | None = None) -> Obstacles:
    """What is left before either decision, and the last reason that was put down."""
    known = known or Known(application)
    last = known.excused[-1] if known.excused else None
    return Obstacles(
        application=application.public_id, grant=missing(application, "grant", known),
        decline=missing(application, "decline", known), excused=last.reason if last else "",
    )  # fmt: skip


def _obstacle(kind: Any, text: str, *, excusable: bool = True) -> Obstacle:
    return Obstacle(kind=kind, text=text, excusable=excusable)
