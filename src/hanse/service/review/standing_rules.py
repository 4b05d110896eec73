"""By which rules applications are scored: those of the call's version that the first of a round applied under.

A round is ranked by one set of rules. An amendment while a round is open changes nothing for those who are in it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Min

from hanse.contracts.programme import CallTerms
from hanse.contracts.review import ReviewRules
from hanse.programme.review import rules
from hanse.service.access.models import Application, Call


def terms_of(call: str, cut_off: datetime) -> CallTerms | None:
    """The terms that hold for a round; None: nobody applied in it."""
    rows = Application.objects.filter(call__call_id=call, cut_off=cut_off).exclude(state="draft")
    first = rows.select_related("call").order_by("call__version").first()
    return first.call.terms if first else None


def terms_of_all() -> dict[tuple[str, datetime], CallTerms]:
    """The same of every round, by call and cut-off, with two queries."""
    rows = Application.objects.filter(cut_off__isnull=False).exclude(state="draft").order_by()
    first = rows.values_list("call__call_id", "cut_off").annotate(version=Min("call__version"))
    wanted = {(call, cut_off): (call, version) for call, cut_off, version in first}
    calls = Call.objects.filter(call_id__in={call for call, _ in wanted})
    terms = {(one.call_id, one.version): one.terms for one in calls}
    return {key: terms[version] for key, version in wanted.items()}


def rules_of(application: Any) -> ReviewRules:
    """The rules an application is scored by."""
    terms = terms_of(application.call.call_id, application.cut_off) if application.cut_off else None
    return rules.of(terms or application.call.terms)
