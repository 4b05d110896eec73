"""The part of the API for the steps of review and for lanes: whoever does a step, and officers."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from ninja import Router

from hanse.client.answers import Page
from hanse.contracts.review_steps import (
    LaneShown,
    Obstacles,
    OrderRequest,
    Step,
    StepKind,
    Steps,
    StepSheet,
    StepWord,
)
from hanse.service.access.models import Application
from hanse.service.api.replies import PROBLEMS, Missing, PagingQuery, find, page_of, reply
from hanse.service.review import lanes, orders, steps
from hanse.service.review import queue as waiting

router = Router(tags=["review"])
_ROWS = ("call", "organisation", "applicant")


def _seen(request: HttpRequest, id: str) -> Application:
    """An application whose steps this person may see: an officer's, or one they have a step to do for."""
    found = find(Application.objects.select_related(*_ROWS), id) if request.auth.is_officer else None
    if found is None:
        rows = Application.objects.select_related(*_ROWS).filter(public_id=id).exclude(state="draft")
        checks = (one for one in rows if steps.has(one, "technical"))
        found = next((one for one in checks if steps.may(one, "technical", request.auth)), None)
    if found is None:
        raise Missing(f"there is no application {id} that you may see", where=id)
    return found


@router.get("steps", response={200: Page[StepSheet], **PROBLEMS}, summary="Steps of review that wait for you")
def queue(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    part, count = waiting.part(request.auth, offset=paging.offset, limit=paging.limit)
    return page_of((steps.sheet(one, kind) for one, kind in part), count=count)


@router.get("applications/{id}/steps", response={200: Steps, **PROBLEMS}, summary="The steps of an application")
def of_application(request: HttpRequest, id: str) -> HttpResponse:
    found = _seen(request, id)
    return reply(Steps(application=found.public_id, steps=steps.of(found)))


@router.post("applications/{id}/steps/{kind}", response={200: Step, **PROBLEMS}, summary="Pass or fail a step")
def do(request: HttpRequest, id: str, kind: StepKind, body: StepWord) -> HttpResponse:
    return reply(steps.do(_seen(request, id), kind, request.auth, body))


@router.get("lanes", response={200: Page[LaneShown], **PROBLEMS}, summary="Calls taken in order of arrival")
def all_lanes(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    every = lanes.all_shown(by=request.auth)
    return page_of(every[paging.offset : paging.offset + paging.limit], count=len(every))


@router.get("lanes/{call}", response={200: LaneShown, **PROBLEMS}, summary="A call's lane, with its clock")
def lane(request: HttpRequest, call: str) -> HttpResponse:
    return reply(lanes.shown(call, by=request.auth))


@router.get(
    "applications/{id}/obstacles", response={200: Obstacles, **PROBLEMS}, summary="What stands before its decision"
)
def obstacles(request: HttpRequest, id: str) -> HttpResponse:
    request.auth.require_officer()
    return reply(orders.contract(_seen(request, id)))


@router.post(
    "applications/{id}/out-of-order",
    response={200: Obstacles, **PROBLEMS},
    summary="Say why it is decided out of order",
)
def out_of_order(request: HttpRequest, id: str, body: OrderRequest) -> HttpResponse:
    request.auth.require_officer()
    found = _seen(request, id)
    orders.allow(found, request.auth, reason=body.reason)
    return reply(orders.contract(found))
