"""Redress: an applicant asks for a decline to be looked at again, and an officer who did not decide answers."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from hanse.contracts.base import now
from hanse.contracts.errors import HanseError
from hanse.service.access.models import Application, Person
from hanse.service.review import redress, typed
from hanse.service.review.redress import Redress

MOST = 8000
"""Characters of the grounds; ours."""


@login_required
def page(request: HttpRequest, application_id: str) -> HttpResponse:
    person: Any = request.user
    rows = Application.objects.seen_by(person).exclude(state="draft").select_related("call", "organisation")
    found = get_object_or_404(rows, public_id=application_id)
    every = list(Redress.seen_by(person).filter(application=found))
    refusal: dict[str, Any] = {}
    if request.method == "POST":
        waits = next((one for one in every if one.state == "asked"), None)
        try:
            messages.success(request, _act(request, found, waits, person))
            return redirect("review:redress", application_id=application_id)
        except HanseError as refused:
            refusal = {"problem": typed.told(refused), "typed": request.POST}
            found.refresh_from_db()
            every = list(Redress.seen_by(person).filter(application=found))
    member, until = person.belongs_to(found.organisation), redress.deadline(found)
    of_this = next((one for one in every if one.decided_at == found.decided_at), None)
    waits = next((one for one in every if one.state == "asked"), None)
    judge = person.is_officer and not member
    return render(request, "review/redress.html", {
        "application": found, "every": every, "until": until, "most": MOST, "member": member,
        "may_ask": member and of_this is None and until is not None and now() <= until,
        "withdraws": member and waits is not None, "waits": waits, "judge": judge and waits is not None,
        "own": judge and waits is not None and person.pk in redress.deciders(found),
    } | refusal)  # fmt: skip


def _act(request: HttpRequest, found: Application, waits: Redress | None, person: Person) -> str:
    posted = request.POST
    if "ask" in posted:
        Redress.ask(found, person, grounds=typed.text(posted, "grounds", most=MOST))
        return "It is asked for; an officer who did not decide answers."
    if waits is None:
        raise Http404
    if "withdraw" in posted:
        waits.withdraw(person)
        return "It is withdrawn; the decision stands."
    outcome = {"uphold": "upheld", "redo": "redone"}.get(posted.get("answer", ""))
    if outcome is None:
        raise Http404
    waits.answer(person, outcome=outcome, reason=typed.text(posted, most=MOST))
    return "The decision stands." if outcome == "upheld" else "The application is in review again."
