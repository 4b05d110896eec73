"""What it adds to the portal's pages; each panel is HTML that is safe as it stands, or nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.template.loader import render_to_string
from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.translation import get_language, gettext

from hanse.contracts.base import now
from hanse.reporting.words import ZONE, full_date
from hanse.service.access.models import Application, Call
from hanse.service.forms.drafts import KeptDraft
from hanse.service.forms.say import say as said

register = template.Library()


@register.simple_tag(takes_context=True)
def home_drafts(context: Any) -> str:
    """Drafts that wait; for who has neither draft nor application, the way to the first."""
    person = context["request"].user
    waiting = list(KeptDraft.objects.seen_by(person).filter(state="open", sketch=None)[:3])
    newcomer = not waiting and not Application.objects.seen_by(person).exists()
    offered = newcomer and any(call.terms.offered for call in Call.current())
    if not waiting and not offered:
        return ""
    return render_to_string("forms/home_panel.html", {"drafts": waiting, "newcomer": newcomer})


@register.filter
def on_day(value: Any) -> str:
    """Friday 29 January 2027, 10:00 Brussels, in the reader's words."""
    if value is None:
        return ""
    language = (get_language() or "en")[:2]
    if language == "en":
        return full_date(value)
    local = value.astimezone(ZONE) if isinstance(value, datetime) else value
    dot = "." if language == "de" else ""
    text = f"{WEEKDAYS[local.weekday()]} {local.day}{dot} {MONTHS[local.month]} {local.year}"
    zone = gettext("Brussels")
    return f"{text}, {local:%H:%M} ({zone})" if isinstance(value, datetime) else text


@register.filter
def saved_clock(value: Any) -> str:
    """09:41 today, else with its day."""
    local = value.astimezone(ZONE)
    return f"{local:%H:%M}" if local.date() == now().astimezone(ZONE).date() else f"{local:%Y-%m-%d %H:%M}"


@register.filter
def say(text: str) -> str:
    return said(text)


@register.filter
def thousands(value: int) -> str:
    return said(f"{value:,}")
