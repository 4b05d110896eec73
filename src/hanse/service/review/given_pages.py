"""One review as officers see it while it is written: how late it is, reminding, a stand-in, another reviewer."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from hanse.contracts.base import now
from hanse.contracts.errors import HanseError
from hanse.programme import clock
from hanse.service.access.models import Person
from hanse.service.awarding.pages import officers_only
from hanse.service.notices import viewings
from hanse.service.review import stand_ins, tables, typed
from hanse.service.review.assignments import Assignment
from hanse.service.review.reviewers import Reviewer
from hanse.service.review.round_pages import judges_only
from hanse.service.review.stand_ins import StandIn


@login_required
def page(request: HttpRequest, review_id: str) -> HttpResponse:
    officers_only(request)
    officer: Any = request.user
    rows = Assignment.objects.select_related(
        "application__call", "application__organisation", "application__applicant", "reviewer__person"
    )
    found = get_object_or_404(rows, public_id=review_id)
    judges_only(officer, [found.application])
    viewings.showing(request, found)
    refusal: dict[str, Any] = {}
    if request.method == "POST":
        try:
            messages.success(request, _act(request, found, officer))
            return redirect("review:given", review_id=review_id)
        except HanseError as refused:
            about = next((name for name in ("remind", "confirm", "dismiss") if name in request.POST), refused.where)
            field = about if about in ("remind", "confirm", "dismiss", "reviewer", "due_on") else "reason"
            refusal = {"field": field, "problem": typed.told(refused), "typed": request.POST}
            found.refresh_from_db()
    proposed = StandIn.waiting().filter(assignment=found).first()
    today = now().astimezone(clock.ZONE).date()
    return render(request, "review/given.html", {
        "sheet": found, "late": found.state == "given" and found.due_on < today, "proposed": proposed,
        "reminders": list(found.reminders.all()),  # type: ignore[attr-defined]
        "free": stand_ins.free_for(found) if found.state == "given" else [],
        "days": clock.add_working_days(now(), 5).date().isoformat(),
        "round": tables.stamp(found.application.cut_off) if found.application.cut_off else "",
    } | refusal)  # fmt: skip


def _act(request: HttpRequest, found: Assignment, officer: Person) -> str:
    posted = request.POST
    if "remind" in posted:
        found.nudge(officer)
        return f"{found.reviewer} is reminded."
    if "replace" in posted:
        another = Reviewer.named(posted.get("reviewer", ""))
        due_on, reason = typed.day(posted, "due_on"), typed.text(posted)
        stand_ins.replace(found, officer, reviewer=another, due_on=due_on, reason=reason)
        return f"{another} is asked instead."
    proposed = StandIn.objects.filter(assignment=found).select_related("reviewer__person").first()
    if proposed is None or not {"confirm", "dismiss"} & set(posted):
        raise Http404
    proposed.assignment = found
    if "confirm" in posted:
        proposed.confirm(officer)
        return f"{proposed.reviewer} stands in."
    proposed.dismiss(officer, reason=typed.text(posted, "stays"))
    return f"The review stays with {found.reviewer}."
