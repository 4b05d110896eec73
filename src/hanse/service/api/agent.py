"""The agent protocol: enrol, hello, sync, code. An agent speaks for its own machine only."""

from __future__ import annotations

from typing import Any

from django.http import FileResponse, HttpRequest, HttpResponse
from ninja import NinjaAPI, Router
from ninja.security import HttpBearer
from ninja.throttling import AuthRateThrottle, SimpleRateThrottle
from pydantic import model_validator

from hanse.client.answers import NewToken, RedeemRequest
from hanse.contracts.agentapi import ACCEPTED_PROTOCOLS, Exchange, Hello, SyncRequest, SyncResponse, Welcome
from hanse.contracts.run import FINAL_ATTEMPT_STATES
from hanse.service.access.enrol import redeem, renew
from hanse.service.api.previous import answered
from hanse.service.api.replies import PROBLEMS, Missing, failure, find, reply
from hanse.service.runs import exchanges, issue
from hanse.service.runs.machines import UnknownProtocol
from hanse.service.runs.models import Attempt, CodeBundle
from hanse.service.runs.sync import sync as take_in

router = Router(tags=["agent"])


def _known_protocol(given: Any) -> Any:
    """Before anything else is looked at: what another protocol's fields mean is not known here."""
    protocol = given.get("protocol", 1) if isinstance(given, dict) else 1
    if isinstance(protocol, int) and protocol not in ACCEPTED_PROTOCOLS:
        raise UnknownProtocol(protocol)
    return given


class SpokenHello(Hello):
    _protocol = model_validator(mode="before")(_known_protocol)


class SpokenSync(SyncRequest):
    _protocol = model_validator(mode="before")(_known_protocol)


class CodeAuth(HttpBearer):
    """The code is what it shows itself by; whether it is good is found out by using it."""

    def authenticate(self, _request: HttpRequest, token: str) -> str:
        return token


class ByAddress(SimpleRateThrottle):
    scope = "enrol"

    def get_cache_key(self, request: HttpRequest) -> str:
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}


@router.post(
    "enrol",
    auth=CodeAuth(),
    response={201: NewToken, **PROBLEMS},
    throttle=[ByAddress("20/m")],
    summary="Exchange a one-time code for the token of one machine's agent",
)
def enrol(request: HttpRequest, body: RedeemRequest) -> HttpResponse:
    return reply(redeem(request.auth, body), status=201)


@router.post("token", response={201: NewToken, **PROBLEMS}, throttle=[AuthRateThrottle("10/m")],
             summary="A new token in place of the one this is asked with")  # fmt: skip
def token(request: HttpRequest) -> HttpResponse:
    return reply(renew(request.auth, request.token), status=201)  # type: ignore[attr-defined]


@router.post("hello", response={200: Welcome, **PROBLEMS}, summary="Begin an epoch")
def hello(request: HttpRequest, body: SpokenHello) -> HttpResponse:
    return answered(request.auth.greet(body, ticket_key=issue.public_key()), body.protocol)


@router.post("sync", response={200: SyncResponse, **PROBLEMS}, summary="Report what was seen, learn what is wanted")
def sync(request: HttpRequest, body: SpokenSync) -> HttpResponse:
    return answered(take_in(request.auth, body), body.protocol)


@router.get("code/{sha256}", response=PROBLEMS, summary="The code bundle (tar.gz) of a run on this machine")
def code(request: HttpRequest, sha256: str) -> FileResponse:
    own = CodeBundle.objects.filter(sha256=sha256, runs__legs__machine=request.auth)
    bundle = own.first()
    if bundle is None:
        raise Missing(f"no run on this machine uses a bundle {sha256[:12]}", where=sha256[:16])
    return FileResponse(bundle.path.open("rb"), content_type="application/gzip")


@router.get(
    "attempts/{id}/exchange",
    response={200: Exchange, **PROBLEMS},
    summary="Of one leg among several: its terms and key",
)
def exchange(request: HttpRequest, id: str) -> HttpResponse:
    open_here = Attempt.objects.filter(machine=request.auth).exclude(state__in=FINAL_ATTEMPT_STATES)
    return reply(exchanges.exchange_for(find(open_here.select_related("leg__run", "machine"), id)))


def install(api: NinjaAPI) -> None:
    """Note whose agent speaks another protocol, and say so in one sentence."""

    def unknown(request: HttpRequest, error: UnknownProtocol) -> HttpResponse:
        error.note(getattr(request, "auth", None))
        return failure(error)

    api.add_exception_handler(UnknownProtocol, unknown)
