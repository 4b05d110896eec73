"""What the reviewers say, without names, and the applicant's one answer to it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from hanse.contracts.errors import HanseError, PolicyError
from hanse.service.access.models import Application
from hanse.service.review import replies, typed
from hanse.service.review.standing_rules import rules_of


@login_required
def page(request: HttpRequest, application_id: str) -> HttpResponse:
    """For the applicant's organisation, officers, its reviewers and its panel; for others there is no such page."""
    person: Any = request.user
    rows = Application.objects.exclude(state="draft").select_related("call", "organisation")
    found = get_object_or_404(rows, public_id=application_id)
    problem = ""
    if request.method == "POST":
        try:
            replies.answer(found, person, text=typed.text(request.POST, "text", most=replies.MOST_CHARACTERS))
            messages.success(request, "Your answer is sent.")
            return redirect("review:reply", application_id=application_id)
        except HanseError as refused:
            problem = typed.told(refused)
    try:
        shown, rules = replies.shown(found, person), rules_of(found)
    except PolicyError:
        raise Http404 from None
    return render(request, "review/reply.html", {
        "application": found, "shown": shown, "problem": problem, "text": request.POST.get("text", ""),
        "most": replies.MOST_CHARACTERS, "known": person.is_officer or person.belongs_to(found.organisation),
        "sheets": [
            (sheet.number, [
                (one.title, sheet.points.get(one.id), rules.max_points, sheet.comments.get(one.id, ""))
                for one in rules.criteria
            ])
            for sheet in shown.sheets
        ],
    })  # fmt: skip
