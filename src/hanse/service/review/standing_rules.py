"""By which rules applications are scored: those of the call's version that the first of a round applied under.

A round is ranked by one set of rules. An amendment while a round is open changes nothing for those who are in it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef

from hanse.contracts.programme import CallTerms
from hanse.contracts.review import ReviewRules
from hanse.programme.review import rules
from hanse.service.access.models import Application, Call


def terms_of(call: str, cut_off: datetime) -> CallTerms | None:
    """The terms that hold for a round; None: nobody applied in it."""
    entered = Application.objects.filter(call=OuterRef("pk"), cut_off=cut_off).exclude(state="draft")
    first = Call.objects.filter(Exists(entered), call_id=call).order_by("version").first()
    return first.terms if first else None


def rules_of(application: Any) -> ReviewRules:
    """The rules an application is scored by."""
    terms = terms_of(application.call.call_id, application.cut_off) if application.cut_off else None
    return rules.of(terms or application.call.terms)
