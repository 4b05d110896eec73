"""Scores on their way: what a reviewer has typed so far is kept with the sheet, and counts for nothing until sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hanse.contracts.errors import Conflict, PolicyError
from hanse.contracts.review import ReviewRules
from hanse.service.access.models import Person
from hanse.service.review.assignments import Assignment


def keep(sheet: Assignment, by: Person, *, points: Mapping[str, int], comments: Mapping[str, str]) -> None:
    """Keep them as they are, whole or not.

    Raises:
        PolicyError: somebody else's review.
        Conflict: it was sent or declined.
    """
    if sheet.reviewer.person_id != by.pk:  # type: ignore[attr-defined]
        raise PolicyError("this review was given to somebody else", where=sheet.public_id)
    changed = {"points": dict(points), "comments": dict(comments)}
    if not Assignment.objects.filter(pk=sheet.pk, state="given").update(**changed):
        raise Conflict("it was sent or declined before", where=sheet.public_id, fix="look at it again")
    sheet.points, sheet.comments = changed["points"], changed["comments"]


def typed(rules: ReviewRules, posted: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, str], dict[str, str]]:
    """(points, comments, problems by criterion) of a posted sheet; what is no number of points is a problem."""
    points, comments, problems = {}, {}, {}
    for one in rules.criteria:
        text = str(posted.get(f"points-{one.id}", "")).strip()
        comment = str(posted.get(f"comment-{one.id}", "")).replace("\0", "").strip()
        if comment:
            comments[one.id] = comment
        if text.isascii() and text.isdecimal() and int(text) <= rules.max_points:
            points[one.id] = int(text)
        elif text:
            problems[one.id] = f"Give 0 to {rules.max_points} points."
    return points, comments, problems
