"""The agent protocol: hello, sync, code. An agent speaks for its own machine only."""

from __future__ import annotations

from django.http import FileResponse, HttpRequest, HttpResponse
from ninja import Router

from hanse.contracts.agentapi import Hello, SyncRequest, SyncResponse, Welcome
from hanse.service.api.replies import PROBLEMS, Missing, reply
from hanse.service.runs import issue
from hanse.service.runs.models import CodeBundle
from hanse.service.runs.sync import sync as take_in

router = Router(tags=["agent"])


@router.post("hello", response={200: Welcome, **PROBLEMS}, summary="Begin an epoch")
def hello(request: HttpRequest, body: Hello) -> HttpResponse:
    return reply(request.auth.greet(body, ticket_key=issue.public_key()))


@router.post("sync", response={200: SyncResponse, **PROBLEMS}, summary="Report what was seen, learn what is wanted")
def sync(request: HttpRequest, body: SyncRequest) -> HttpResponse:
    return reply(take_in(request.auth, body))


@router.get("code/{sha256}", response=PROBLEMS, summary="The code bundle (tar.gz) of a run on this machine")
def code(request: HttpRequest, sha256: str) -> FileResponse:
    own = CodeBundle.objects.filter(sha256=sha256, runs__legs__machine=request.auth)
    bundle = own.first()
    if bundle is None:
        raise Missing(f"no run on this machine uses a bundle {sha256[:12]}", where=sha256[:16])
    return FileResponse(bundle.path.open("rb"), content_type="application/gzip")
