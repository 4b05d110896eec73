"""The part of the API with which officers run a round: reviewers, possible conflicts, assignment, ranking, closing."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from hanse.client.answers import Page
from hanse.contracts.base import Timestamp
from hanse.contracts.errors import UsageError
from hanse.contracts.review import Assigned, Ranking, RoundRequest
from hanse.contracts.review_steps import (
    CloseRequest,
    ConflictWord,
    PossibleConflict,
    ReviewerForm,
    ReviewerShown,
    RoundShown,
)
from hanse.service.access.models import Application, Person
from hanse.service.api.replies import PROBLEMS, PagingQuery, find, page, page_of, reply
from hanse.service.review import clearing, rounds
from hanse.service.review.reviewers import Reviewer

router = Router(tags=["review"])


@router.post(
    "reviews/assign", response={200: Assigned, **PROBLEMS}, summary="Give a round its reviewers, as an officer"
)
def assign(request: HttpRequest, body: RoundRequest) -> HttpResponse:
    return reply(rounds.assign(body.call, body.cut_off, due_on=body.due_on, by=request.auth))


@router.get("reviews/ranking", response={200: Ranking, **PROBLEMS}, summary="A round in order, as an officer")
def ranking(
    request: HttpRequest, call: str, cut_off: Timestamp, places: int | None = Query(None, ge=0)
) -> HttpResponse:
    moment: datetime = cut_off
    return reply(rounds.ranking(call, moment, places=places, by=request.auth))


@router.get("reviews/rounds", response={200: Page[RoundShown], **PROBLEMS}, summary="All rounds, as an officer")
def all_rounds(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    every = rounds.shown(by=request.auth)
    return page_of(every[paging.offset : paging.offset + paging.limit], count=len(every))


@router.post(
    "reviews/rounds/close", response={200: Ranking, **PROBLEMS}, summary="Close a round; its ranking is frozen then"
)
def close(request: HttpRequest, body: CloseRequest) -> HttpResponse:
    return reply(rounds.close(body.call, body.cut_off, places=body.places, by=request.auth))


@router.get("reviews/conflicts", response={200: Page[PossibleConflict], **PROBLEMS}, summary="Conflicts of interest")
def conflicts(request: HttpRequest, call: str, cut_off: Timestamp, paging: PagingQuery) -> HttpResponse:
    moment: datetime = cut_off
    every = (*rounds.conflicts(call, moment, by=request.auth), *rounds.certain(call, moment, by=request.auth))
    return page_of(every[paging.offset : paging.offset + paging.limit], count=len(every))


@router.post(
    "reviews/conflicts", response={200: PossibleConflict, **PROBLEMS}, summary="Confirm or clear a possible conflict"
)
def answer_conflict(request: HttpRequest, body: ConflictWord) -> HttpResponse:
    request.auth.require_officer()
    application = find(Application.objects.select_related("organisation", "applicant", "call"), body.application)
    reviewer = Reviewer.named(body.reviewer)
    clearing.answer(application, reviewer, request.auth, verdict=body.verdict, reason=body.reason)
    shown = clearing.possible([application])
    return reply(next(one for one in shown if one.reviewer == body.reviewer))


@router.get("reviewers", response={200: Page[ReviewerShown], **PROBLEMS}, summary="Who reviews, as an officer")
def reviewers(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    request.auth.require_officer()
    return page(Reviewer.counted(), paging)


@router.post("reviewers", response={200: ReviewerShown, **PROBLEMS}, summary="Make a person a reviewer, as an officer")
def enlist(request: HttpRequest, body: ReviewerForm) -> HttpResponse:
    request.auth.require_officer()
    person = Person.objects.filter(username=body.person, is_active=True).first()
    if person is None:
        raise UsageError(f"nobody here is called {body.person}", where="person", fix="invite them first")
    made = Reviewer.enlist(
        person, organisation=body.organisation, keywords=body.keywords, active=body.active, by=request.auth
    )
    return reply(made.contract())
