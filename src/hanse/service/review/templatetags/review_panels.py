"""What it adds to the portal's pages; each panel is HTML that is safe as it stands, or nothing."""

from __future__ import annotations

from typing import Any

from django import template
from django.conf import settings
from django.template.loader import render_to_string

from hanse.contracts.base import now
from hanse.reporting.words import badge
from hanse.service.review import orders, steps, tables
from hanse.service.review.assignments import Assignment
from hanse.service.review.known import Known
from hanse.service.review.letter_pages import LANGUAGES
from hanse.service.review.letters import DECIDED, Letter
from hanse.service.review.redress import deadline

register = template.Library()
_OPEN = ("sent", "in-review")


@register.simple_tag(takes_context=True)
def application_review(context: Any, application: Any) -> str:
    """For the applicant where it stands; for officers besides who reviews it and what stands before a decision."""
    if application.state == "draft":
        return ""
    person = context["request"].user
    officer = person.is_officer and not person.belongs_to(application.organisation)
    known = _known(context, application)
    shown = steps.of(application, known)
    waits = application.state in _OPEN
    ahead = known.ahead[0] if waits else 0
    member = person.belongs_to(application.organisation)
    sheets = Assignment.objects.filter(application=application).select_related("reviewer__person") if officer else ()
    ends = _ends(application, person, known, officer=officer, member=member)
    if not (shown or ahead or sheets or any(ends.values())):
        return ""
    return render_to_string("review/application_review.html", {
        "application": application, "officer": officer, "ahead": ahead, "waits": waits,
        "steps": shown, "languages": LANGUAGES.items(), **ends,
        "sheets": [(one, badge(tables.SHEET_LOOKS[one.state])) for one in sheets],
        "round": tables.stamp(application.cut_off) if officer and application.cut_off else "",
    }, request=context["request"])  # fmt: skip


def _known(context: Any, application: Any) -> Known:
    """What the page has read of it, or begins to."""
    known = context.get("known")
    return known if isinstance(known, Known) and known.application is application else Known(application)


def _ends(application: Any, person: Any, known: Known, *, officer: bool, member: bool) -> dict[str, Any]:
    """What followed the reviews: whether there is a reply to read or write, letters, and redress."""
    held = known.round
    decided = application.state in DECIDED
    every = list(Letter.seen_by(person).filter(application=application)) if decided else []
    asked = getattr(application, "asked_redress", None)
    asked = application.redresses.exists() if asked is None else asked
    until = deadline(application) if member else None
    return {
        "replies": held.reply_until if held and (member or officer) else None,
        "letters": every,
        "drafts": officer and decided and not any(one.decided_at == application.decided_at for one in every),
        "redress": asked, "redress_until": until if until and not asked and now() <= until else None,
    }  # fmt: skip


@register.simple_tag(takes_context=True)
def before_decision(context: Any, application: Any) -> str:
    """For an officer what is still missing before it can be granted, and where it is done."""
    person = context["request"].user
    if application.state not in _OPEN or not person.is_officer or settings.HANSE_EMBEDDED:
        return ""
    known = _known(context, application)
    told = orders.contract(application, known)
    turn = steps.turn_of(application, known.stands)
    mine = turn and steps.may(application, turn, person, known) and steps.alone(application, turn, known)
    return render_to_string("review/before_decision.html", {
        "application": application, "left": told.grant, "excused": told.excused,
        "excusable": any(one.excusable for one in (*told.grant, *told.decline)),
        "step": turn if mine else "",
        "round": tables.stamp(application.cut_off) if application.cut_off else "",
    }, request=context["request"])  # fmt: skip
