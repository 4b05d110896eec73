"""Drafts over the API: keep, read, save by revision, send; and an application as the draft it was."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from ninja import Router

from hanse.client.answers import Page
from hanse.contracts import programme as contract
from hanse.contracts.application import Draft
from hanse.contracts.errors import Conflict
from hanse.contracts.forms import KeptDraft as Told
from hanse.contracts.forms import SaveDraft, SendDraft
from hanse.programme import drafts as pure
from hanse.service.access.models import Application
from hanse.service.api.replies import PROBLEMS, PagingQuery, find, page, reply
from hanse.service.forms.drafts import KeptDraft

router = Router(tags=["forms"])


def _seen(request: HttpRequest):  # type: ignore[no-untyped-def]
    return KeptDraft.objects.seen_by(request.auth).select_related("shared_with", "saved_by", "application", "sketch")


@router.get("drafts", response={200: Page[Told], **PROBLEMS}, summary="Drafts you may see")
def drafts(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    return page(_seen(request), paging)


@router.post("drafts", response={201: Told, **PROBLEMS}, summary="Keep a new draft")
def begin(request: HttpRequest, body: SaveDraft) -> HttpResponse:
    return reply(KeptDraft.begin(request.auth, body.draft).contract(), status=201)


@router.get("drafts/{id}", response={200: Told, **PROBLEMS}, summary="One draft")
def draft(request: HttpRequest, id: str) -> HttpResponse:
    return reply(find(_seen(request), id).contract())


@router.put("drafts/{id}", response={200: Told, **PROBLEMS}, summary="Save a draft that stood at a revision")
def save(request: HttpRequest, id: str, body: SaveDraft) -> HttpResponse:
    kept = find(_seen(request), id)
    if body.revision is None:
        raise Conflict("the revision is missing", where=id, fix="read the draft, and name the revision it has")
    kept.replace(body.draft, seen=body.revision, by=request.auth)
    return reply(kept.contract())


@router.post(
    "drafts/{id}/send", response={201: contract.Application, **PROBLEMS}, summary="Send a draft, once it is complete"
)
def send(request: HttpRequest, id: str, body: SendDraft) -> HttpResponse:
    return reply(find(_seen(request), id).send(seen=body.revision, by=request.auth).contract(), status=201)


@router.get("applications/{id}/draft", response={200: Draft, **PROBLEMS}, summary="An application as a draft")
def application_draft(request: HttpRequest, id: str) -> HttpResponse:
    rows = Application.objects.seen_by(request.auth).select_related("call")
    return reply(pure.draft_of(find(rows, id).form))
