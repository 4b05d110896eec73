"""A round's page for officers: conflicts to answer, reviews to give, replies to ask for, the ranking, and closing it.

What is refused is said at its field, with what was typed still in it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from hanse.contracts.errors import HanseError, PolicyError
from hanse.programme import clock
from hanse.service.access.models import Application, Person
from hanse.service.awarding.pages import officers_only
from hanse.service.review import clearing, replies, round_shown, rounds, tables, typed
from hanse.service.review.reviewers import Reviewer, require_judge_of_all

_IN_IT = ("sent", "in-review", "granted", "declined")


def found(call: str, cut_off: str) -> tuple[datetime, list[Application]]:
    """The round of an address with its applications. Raises Http404: nobody applied in it."""
    try:
        moment = tables.read(cut_off)
    except ValueError:
        raise Http404 from None
    rows = Application.objects.filter(call__call_id=call, cut_off=moment, state__in=_IN_IT)
    # The terms of the call are read once, and not with each of them.
    rows = rows.select_related("organisation", "applicant").prefetch_related("call")
    entered = list(rows.order_by("sent_at", "pk"))
    if not entered:
        raise Http404
    return moment, entered


def judges_only(officer: Person, applications: list[Application]) -> None:
    """Raises Http404 for who stands in an organisation that applied: names and places are not for them."""
    try:
        require_judge_of_all(officer, applications)
    except PolicyError:
        raise Http404 from None


@login_required
def page(request: HttpRequest, call: str, cut_off: str) -> HttpResponse:
    officers_only(request)
    officer: Any = request.user
    moment, entered = found(call, cut_off)
    refusal: dict[str, Any] = {}
    if request.method == "POST":
        field, act = _asked(request, officer, call, moment)
        try:
            messages.success(request, act())
            return redirect("review:round", call=call, cut_off=cut_off)
        except HanseError as refused:
            refusal = {"field": field, "problem": typed.told(refused), "typed": request.POST}
    return render(request, "review/round.html", round_shown.of(officer, call, moment, entered) | refusal)


def _asked(request: HttpRequest, officer: Person, call: str, moment: datetime) -> tuple[str, Callable[[], str]]:
    """What the form asks for, and the field that a refusal is about. Raises Http404: no form asks so."""
    posted = request.POST
    if "assign" in posted:
        return "due_on", lambda: _assign(posted, call, moment, officer)
    if "replies" in posted:
        return "until", lambda: _replies(posted, call, moment, officer)
    if "close" in posted:
        return "places", lambda: _close(posted, call, moment, officer)
    verdict = {"confirm": "confirmed", "clear": "cleared"}.get(posted.get("conflict", ""))
    if verdict is None:
        raise Http404
    rows = Application.objects.select_related("organisation", "applicant", "call")
    application = get_object_or_404(rows, public_id=posted.get("application", ""), call__call_id=call, cut_off=moment)
    reviewer = posted.get("reviewer", "")
    return f"why-{application.public_id}-{reviewer}", lambda: _answer(posted, application, reviewer, officer, verdict)


def _assign(posted: Any, call: str, moment: datetime, officer: Person) -> str:
    told = rounds.assign(call, moment, due_on=typed.day(posted, "due_on"), by=officer)
    said = [f"{len(told.given):,} review{'' if len(told.given) == 1 else 's'} given."]
    if told.short:
        said.append(f"{len(told.short):,} lack reviewers who may judge them: enlist more, or clear a conflict.")
    if told.waiting:
        said.append(f"{len(told.waiting):,} wait for an earlier step.")
    return " ".join(said)


def _replies(posted: Any, call: str, moment: datetime, officer: Person) -> str:
    day = typed.day(posted, "until") if posted.get("until") else None
    until = datetime.combine(day, time(23, 59, 59), tzinfo=clock.ZONE) if day else None
    replies.open_for(call, moment, officer, until=until)
    return "Every applicant sees the reviews, without names, and may answer once."


def _close(posted: Any, call: str, moment: datetime, officer: Person) -> str:
    rounds.close(call, moment, by=officer, places=typed.number(posted, "places"))
    return "The round is closed; its ranking stands."


def _answer(posted: Any, application: Application, reviewer: str, officer: Person, verdict: str) -> str:
    clearing.answer(application, Reviewer.named(reviewer), officer, verdict=verdict, reason=typed.text(posted))
    return "Your word is kept."
