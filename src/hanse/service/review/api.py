"""Its part of the API for people and programs: one's own reviews; the parts of officers stand in api_*.py."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from hanse.client.answers import Page
from hanse.contracts.programme import ApplicationForm
from hanse.contracts.review import DeclineRequest, ReviewSheet, ScoreRequest
from hanse.service.api.replies import PROBLEMS, PagingQuery, find, page, reply
from hanse.service.review import api_ends, api_rounds, api_steps, reading
from hanse.service.review.standing_rules import rules_of

router = Router(tags=["review"])
router.add_router("", api_rounds.router)
router.add_router("", api_steps.router)
router.add_router("", api_ends.router)


def _own(request: HttpRequest) -> Any:
    from hanse.service.review.models import Assignment

    rows = Assignment.objects.filter(reviewer__person=request.auth)
    return rows.select_related("application__call", "reviewer")


@router.get("reviews", response={200: Page[ReviewSheet], **PROBLEMS}, summary="Reviews you were asked for")
def reviews(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    return page(_own(request), paging)


@router.get("reviews/{id}/form", response={200: ApplicationForm, **PROBLEMS}, summary="The application you review")
def form(request: HttpRequest, id: str) -> HttpResponse:
    application = find(_own(request).exclude(state__in=("declined", "replaced")), id).application
    return reply(reading.form_for(application, rules_of(application)))


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
