"""Its timed work, idempotent; called by the tick: reminders of reviews that are due."""

from __future__ import annotations

from datetime import datetime


def run(at: datetime) -> int:
    """How many reminders there were to write."""
    from hanse.service.review.models import Assignment

    waiting = Assignment.objects.filter(state="given", application__state="in-review")
    return sum(one.remind(at) for one in waiting)
