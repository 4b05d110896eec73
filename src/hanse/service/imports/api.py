"""Its part of the API: officers preview, prepare, look at and decide imports of awards."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from hanse.client.answers import Page
from hanse.contracts import imports as contract
from hanse.service.api.replies import PROBLEMS, PagingQuery, find, page_of, part_of, reply
from hanse.service.imports.batches import Batch, listed

router = Router(tags=["imports"])


def _one(request: HttpRequest, id: str) -> Any:
    request.auth.require_officer()
    return find(Batch.objects.select_related("prepared_by", "decided_by"), id)


@router.get(
    "imports", response={200: Page[contract.ImportBatch], **PROBLEMS}, summary="Imports of awards, as an officer"
)
def imports(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    request.auth.require_officer()
    part, count = part_of(listed(), paging)
    return page_of((one.contract() for one in part), count=count)


@router.post(
    "imports/preview",
    response={200: contract.ImportBatch, **PROBLEMS},
    summary="What rows decided elsewhere would do; nothing is kept",
)
def preview(request: HttpRequest, body: contract.ImportAsked) -> HttpResponse:
    return reply(Batch.preview(request.auth, body))


@router.post(
    "imports",
    response={200: contract.ImportBatch, **PROBLEMS},
    summary="Prepare an import, as an officer; another confirms it. The same again changes nothing",
)
def prepare(request: HttpRequest, body: contract.ImportAsked) -> HttpResponse:
    return reply(Batch.prepare(request.auth, body))


@router.get("imports/{id}", response={200: contract.ImportBatch, **PROBLEMS}, summary="One import with every row")
def one_import(request: HttpRequest, id: str) -> HttpResponse:
    found = _one(request, id)
    return reply(found.contract(found.report(request.auth)))


@router.post(
    "imports/{id}/choose",
    response={200: contract.ImportBatch, **PROBLEMS},
    summary="Say which organisation a row means, as who prepared it",
)
def choose(request: HttpRequest, id: str, body: contract.OrganisationChosen) -> HttpResponse:
    found = _one(request, id)
    found.choose(request.auth, body.line, body.organisation)
    return reply(found.contract(found.report(request.auth)))


@router.post(
    "imports/{id}/decide",
    response={200: contract.ImportBatch, **PROBLEMS},
    summary="confirm or refuse another officer's import, or take-back your own",
)
def decide_import(request: HttpRequest, id: str, body: contract.ImportWord) -> HttpResponse:
    found = _one(request, id)
    if body.decision == "confirm":
        found.confirm(request.auth, seen=body.seen, reason=body.reason)
    elif body.decision == "refuse":
        found.refuse(request.auth, reason=body.reason)
    else:
        found.take_back(request.auth, reason=body.reason)
    return reply(found.contract(found.report(request.auth)))
