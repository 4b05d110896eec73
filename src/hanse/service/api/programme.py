"""Calls, applications and allocations."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from hanse.client.answers import DecisionRequest, Page
from hanse.contracts import programme as contract
from hanse.contracts.application import Draft
from hanse.contracts.awarding import AwardTerms
from hanse.contracts.base import now
from hanse.programme import routing
from hanse.programme.completeness import DraftAnswer
from hanse.programme.routing import Need, Suggestion
from hanse.service.access.models import Allocation, Application, Call
from hanse.service.api.replies import PROBLEMS, Missing, PagingQuery, find, page, page_of, reply
from hanse.service.awarding import proposals

router = Router(tags=["programme"])


@router.get("calls", response={200: Page[contract.CallTerms], **PROBLEMS}, summary="Published calls, latest versions")
def calls(request: HttpRequest, paging: PagingQuery) -> HttpResponse:  # noqa: ARG001
    current = Call.current()
    part = current[paging.offset : paging.offset + paging.limit]
    return page_of((call.terms for call in part), count=len(current))


@router.get(
    "calls/{id}/versions/{version}",
    response={200: contract.CallTerms, **PROBLEMS},
    summary="One version of a call, as it was published",
)
def call_version(request: HttpRequest, id: str, version: int) -> HttpResponse:  # noqa: ARG001
    found = Call.objects.filter(call_id=id, version=version).first()
    if found is None:
        raise Missing(f"there is no version {version} of a call {id}", where=id)
    return reply(found.terms)


@router.post(
    "calls", response={201: contract.CallTerms, **PROBLEMS}, summary="Publish a call or its next version, as an officer"
)
def publish(request: HttpRequest, body: contract.CallTerms) -> HttpResponse:
    return reply(Call.publish_next(body, by=request.auth).terms, status=201)


@router.post(
    "calls/suggest", response={200: Suggestion, **PROBLEMS}, summary="Which call suits, and why not the others"
)
def suggest(request: HttpRequest, body: Need) -> HttpResponse:  # noqa: ARG001
    return reply(routing.suggest(body, (call.terms for call in Call.current()), now()))


@router.post(
    "applications/check", response={200: DraftAnswer, **PROBLEMS}, summary="What a draft lacks; nothing is kept"
)
def check(request: HttpRequest, body: Draft) -> HttpResponse:  # noqa: ARG001
    from hanse.service.access.apply import check as answer

    return reply(answer(body))


@router.post(
    "applications", response={201: contract.Application, **PROBLEMS}, summary="Apply; the gate screens at once"
)
def apply(request: HttpRequest, body: contract.ApplicationForm) -> HttpResponse:
    from hanse.service.access.apply import submit

    return reply(submit(request.auth, body).contract(), status=201)


def _applications(request: HttpRequest) -> Any:
    return Application.objects.seen_by(request.auth).select_related("call")


@router.get("applications", response={200: Page[contract.Application], **PROBLEMS}, summary="Applications you may see")
def applications(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    return page(_applications(request).with_allocation(), paging)


@router.get("applications/{id}", response={200: contract.Application, **PROBLEMS}, summary="One application")
def application(request: HttpRequest, id: str) -> HttpResponse:
    return reply(find(_applications(request), id).contract())


@router.post(
    "applications/{id}/decide",
    response={200: contract.Application, **PROBLEMS},
    summary="Grant or decline, as an officer; where two are needed, the first word is a proposal",
)
def decide(request: HttpRequest, id: str, body: DecisionRequest) -> HttpResponse:
    found = find(_applications(request).select_related("screening", "organisation"), id)
    terms = AwardTerms(
        reason=body.reason, gpu_hours=body.gpu_hours, conditions=body.conditions, override_reason=body.override_reason
    )
    place = {"partition": body.partition, "account": body.account}
    came = proposals.decide(found, request.auth, body.decision, terms, **place)
    # Told to the officer only: an applicant does not learn of what is not decided.
    proposer = request.auth.username if came == "proposed" else ""
    return reply(found.contract().model_copy(update={"award_proposed_by": proposer}))


def _allocations(request: HttpRequest) -> Any:
    rows = Allocation.objects.seen_by(request.auth).with_balance()
    return rows.select_related("project", "machine", "award")


@router.get("allocations", response={200: Page[contract.Allocation], **PROBLEMS}, summary="Your allocations")
def allocations(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    return page(_allocations(request), paging)


@router.get("allocations/{id}", response={200: contract.Allocation, **PROBLEMS}, summary="One allocation")
def allocation(request: HttpRequest, id: str) -> HttpResponse:
    return reply(find(_allocations(request), id).contract())
