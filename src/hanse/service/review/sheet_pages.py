"""A reviewer's own review: the application to read, points and comments to give, or the way to decline."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from hanse.contracts.errors import HanseError
from hanse.service.review import keeping, typed
from hanse.service.review.assignments import Assignment
from hanse.service.review.reading import sections
from hanse.service.review.standing_rules import rules_of

READS = ("given", "sent")
"""Who declined, or was replaced, does not read the application any more."""


@login_required
def page(request: HttpRequest, review_id: str) -> HttpResponse:
    person: Any = request.user
    rows = Assignment.objects.select_related("application__call", "application__organisation", "reviewer__person")
    sheet = get_object_or_404(rows, public_id=review_id, reviewer__person=person)
    rules = rules_of(sheet.application)
    points, comments, problems = keeping.typed(rules, request.POST)
    if request.method == "POST":
        try:
            if "decline" in request.POST:
                if points or comments:  # should declining be refused, nothing that was typed is lost
                    keeping.keep(sheet, person, points=points, comments=comments)
                sheet.decline(person, reason=typed.text(request.POST))
                messages.success(request, "You declined it; an officer finds somebody else.")
                return redirect("review:desk")
            keeping.keep(sheet, person, points=points, comments=comments)
            if "send" in request.POST and not problems:
                sheet.send(person, points=points, comments=comments)
                messages.success(request, "Your review is sent. Thank you.")
                return redirect("review:desk")
            if not problems:
                messages.success(request, "Kept. Only you see it until you send it.")
                return redirect("review:sheet", review_id=review_id)
        except HanseError as refused:
            if refused.where in {"reason", *(one.id for one in rules.criteria)}:
                problems[str(refused.where)] = typed.told(refused)
            else:
                messages.error(request, typed.told(refused))
                return redirect("review:sheet", review_id=review_id)
    held = {"points": points, "comments": comments} if request.method == "POST" else {
        "points": sheet.points, "comments": sheet.comments
    }  # fmt: skip
    return render(request, "review/sheet.html", {
        "sheet": sheet, "rules": rules, "reads": sheet.state in READS,
        "sections": sections(sheet.application, rules) if sheet.state in READS else [],
        "scale": range(rules.max_points + 1), "problems": problems, "reason": request.POST.get("reason", ""),
        "criteria": [
            (one, held["points"].get(one.id), held["comments"].get(one.id, ""), problems.get(one.id, ""))
            for one in rules.criteria
        ],
    })  # fmt: skip
