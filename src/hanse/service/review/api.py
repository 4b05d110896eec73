"""Its part of the API for people and programs: one's own reviews; the parts of officers stand in api_*.py."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from hanse.client.answers import Page
from hanse.contracts.application import Reviewers
from hanse.contracts.programme import ApplicationForm
from hanse.contracts.review import DeclineRequest, ReviewSheet, ScoreRequest
from hanse.service.api.replies import PROBLEMS, PagingQuery, find, page, reply
from hanse.service.review import api_rounds, api_steps

router = Router(tags=["review"])
router.add_router("", api_rounds.router)
router.add_router("", api_steps.router)


def _own(request: HttpRequest) -> Any:
    from hanse.service.review.models import Assignment

    rows = Assignment.objects.filter(reviewer__person=request.auth)
    return rows.select_related("application", "reviewer")


@router.get("reviews", response={200: Page[ReviewSheet], **PROBLEMS}, summary="Reviews you were asked for")
def reviews(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    return page(_own(request), paging)


@router.get("reviews/{id}/form", response={200: ApplicationForm, **PROBLEMS}, summary="The application you review")
def form(request: HttpRequest, id: str) -> HttpResponse:
    form = find(_own(request).exclude(state="declined"), id).application.form
    if form.whole:  # whom the applicant does not want is for officers alone
        form = form.model_copy(update={"whole": form.whole.model_copy(update={"reviewers": Reviewers()})})
    return reply(form)


@router.post("reviews/{id}/send", response={200: ReviewSheet, **PROBLEMS}, summary="Send your scores; frozen then")
def send(request: HttpRequest, id: str, body: ScoreRequest) -> HttpResponse:
    found = find(_own(request), id)
    found.send(request.auth, points=body.points, comments=body.comments)
    return reply(found.contract())


@router.post("reviews/{id}/decline", response={200: ReviewSheet, **PROBLEMS}, summary="Decline a review with a reason")
def decline(request: HttpRequest, id: str, body: DeclineRequest) -> HttpResponse:
    found = find(_own(request), id)
    found.decline(request.auth, reason=body.reason)
    return reply(found.contract())
