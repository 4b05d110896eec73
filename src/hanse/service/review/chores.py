"""Its timed work, idempotent; called by the tick: reminders of reviews that are due, and stand-ins for late ones."""

from __future__ import annotations

from datetime import datetime


def run(at: datetime) -> int:
    """How many reminders there were to write, and how many stand-ins to propose."""
    from hanse.service.review import stand_ins
    from hanse.service.review.models import Assignment

    waiting = Assignment.objects.filter(state="given", application__state="in-review")
    rows = waiting.select_related("application", "reviewer__person")
    return sum(one.remind(at) for one in rows) + stand_ins.look_after(at)
