"""What it adds to the portal's pages; each panel is HTML that is safe as it stands, or nothing."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.loader import render_to_string

from hanse.reporting.words import badge
from hanse.service.review import lanes, orders, steps, tables
from hanse.service.review.assignments import Assignment

register = template.Library()
_OPEN = ("sent", "in-review")


@register.simple_tag(takes_context=True)
def application_review(context: Any, application: Any) -> str:
    """For the applicant where it stands; for officers besides who reviews it and what stands before a decision."""
    if application.state == "draft":
        return ""
    person = context["request"].user
    officer = person.is_officer and not person.belongs_to(application.organisation)
    shown = steps.of(application)
    waits = application.state in _OPEN
    ahead = lanes.ahead(application) if waits else []
    sheets = Assignment.objects.filter(application=application).select_related("reviewer__person") if officer else ()
    if not (shown or ahead or sheets):
        return ""
    return render_to_string("review/application_review.html", {
        "application": application, "officer": officer, "ahead": len(ahead), "waits": waits,
        "steps": shown,
        "sheets": [(one, badge(tables.SHEET_LOOKS[one.state])) for one in sheets],
        "orders": orders.contract(application) if officer and waits else None,
        "round": tables.stamp(application.cut_off) if officer and application.cut_off else "",
    }, request=context["request"])  # fmt: skip
