"""Filters of the pages: badges, dates and amounts in the words and shapes every page shares."""

from __future__ import annotations

from datetime import date, datetime

from django import template

from hanse.contracts.decision import Verdict
from hanse.contracts.programme import ApplicationState
from hanse.contracts.run import RunState
from hanse.reporting import document, measured, words
from hanse.reporting.bars import hatch
from hanse.reporting.markup import Html

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
    return words.full_date(value)


@register.filter
def clock(value: datetime) -> str:
    return words.short_time(value)


@register.filter
def hours(accelerator_seconds: int) -> str:
    return measured.hours(accelerator_seconds)


@register.filter
def thousands(value: int) -> str:
    return f"{value:,}"


@register.simple_tag
def mark() -> Html:
    return document.mark()


@register.simple_tag
def hatch_pattern() -> Html:
    return hatch()
