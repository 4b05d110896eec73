"""Filters of the pages: badges, dates and amounts in the words and shapes every page shares."""

from __future__ import annotations

from datetime import date, datetime

from django import template
from django.forms import BoundField
from django.utils.safestring import SafeString

from hanse.contracts.decision import Verdict
from hanse.contracts.programme import ApplicationState
from hanse.contracts.run import RunState
from hanse.reporting import document, measured, words
from hanse.reporting.bars import hatch
from hanse.reporting.markup import Html
from hanse.service.forms.say import say as said

register = template.Library()


@register.filter
def run_badge(state: str) -> Html:
    return words.badge(words.RUN_LOOKS[RunState(state)], large=True)


@register.filter
def application_badge(state: ApplicationState) -> Html:
    return words.badge(words.APPLICATION_LOOKS[state], large=True)


@register.filter
def verdict_badge(verdict: Verdict) -> Html:
    return words.badge(words.VERDICT_LOOKS[verdict])


@register.filter
def full_date(value: date | datetime) -> str:
    return said(words.full_date(value))


@register.filter
def plain_date(value: date | datetime) -> str:
    return said(words.plain_date(value))


@register.filter
def clock(value: datetime) -> str:
    return said(words.short_time(value))


@register.filter
def hours(accelerator_seconds: int) -> str:
    return said(measured.hours(accelerator_seconds))


@register.filter
def thousands(value: int) -> str:
    return said(f"{value:,}")


@register.filter
def say(value: object) -> str:
    """A sentence made elsewhere, in the reader's language; markup stays as it is."""
    return value if isinstance(value, Html | SafeString) else said(str(value if value is not None else ""))


@register.filter
def spoken(field: BoundField) -> BoundField:
    """The field, with what can be chosen in the reader's language."""
    choices = getattr(field.field, "choices", None)
    if choices is not None:
        field.field.choices = [(value, said(str(label))) for value, label in choices]
    return field


@register.simple_tag
def mark() -> Html:
    return document.mark()


@register.simple_tag
def hatch_pattern() -> Html:
    return hatch()
