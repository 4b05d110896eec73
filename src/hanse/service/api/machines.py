"""Machines of the federation, how their agents fare, and enrolling an agent."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router
from ninja.throttling import AuthRateThrottle

from hanse.client.answers import (
    AgentStatus,
    CodeRequest,
    Drained,
    DrainRequest,
    EnrolRequest,
    NewCode,
    NewToken,
    OwnHoursRequest,
    Page,
    UndrainRequest,
)
from hanse.contracts import machine as contract
from hanse.contracts.programme import Allocation
from hanse.contracts.site import MachineState
from hanse.service.access import own
from hanse.service.access.enrol import enrol_agent, make_code
from hanse.service.api.replies import PROBLEMS, Missing, PagingQuery, find, page_of, part_of, reply
from hanse.service.runs import operating
from hanse.service.runs.models import Machine

router = Router(tags=["machines"])


def _joined() -> Any:
    return Machine.objects.exclude(facts__isnull=True)


@router.get(
    "machines", response={200: Page[contract.Machine], **PROBLEMS}, summary="Machines whose agent has said hello"
)
def machines(request: HttpRequest, paging: PagingQuery) -> HttpResponse:  # noqa: ARG001
    rows = _joined()
    part, count = part_of(rows, paging)
    return page_of((row.facts for row in part), count=count)


@router.get("machines/{id}", response={200: contract.Machine, **PROBLEMS}, summary="One machine")
def machine(request: HttpRequest, id: str) -> HttpResponse:  # noqa: ARG001
    return reply(find(_joined(), id).facts)


@router.get("machines/{id}/agent", response={200: AgentStatus, **PROBLEMS}, summary="When its agent was last heard")
def agent_status(request: HttpRequest, id: str) -> HttpResponse:  # noqa: ARG001
    return reply(find(Machine.objects.select_related("site"), id).status())


@router.get("machines/{id}/state", response={200: MachineState, **PROBLEMS}, summary="How full it is, as last told")
def machine_state(request: HttpRequest, id: str) -> HttpResponse:  # noqa: ARG001
    told = find(_joined(), id).state
    if told is None:
        raise Missing("its agent has not told yet how full it is", where=id)
    return reply(told)


@router.post("machines/{id}/drain", response={200: Drained, **PROBLEMS}, summary="Take nothing new there, as operator")
def drain(request: HttpRequest, id: str, body: DrainRequest) -> HttpResponse:
    row = find(Machine.objects.select_related("site__organisation"), id)
    moving = operating.drain(row, by=request.auth, because=body.reason, move=body.move)
    return reply(Drained(machine=row.public_id, draining=True, moving=moving))


@router.post("machines/{id}/undrain", response={200: Drained, **PROBLEMS}, summary="Take jobs again there, as operator")
def undrain(request: HttpRequest, id: str, body: UndrainRequest) -> HttpResponse:
    row = find(Machine.objects.select_related("site__organisation"), id)
    operating.operate(row, "undrain", by=request.auth, because=body.reason)
    return reply(Drained(machine=row.public_id, draining=False))


@router.post(
    "machines/{id}/own-hours",
    response={201: Allocation, **PROBLEMS},
    summary="Enter hours granted elsewhere, as operator; the same account again changes them",
)
def own_hours(request: HttpRequest, id: str, body: OwnHoursRequest) -> HttpResponse:
    row = find(Machine.objects.select_related("site__organisation"), id)
    entered = own.enter(
        row, by=request.auth, account=body.account, partition=body.partition or "",
        accelerator_seconds=body.gpu_hours * 3600, ends=body.ends,
    )  # fmt: skip
    return reply(entered.contract(), status=201)


@router.post(
    "agents/enrol",
    response={201: NewToken, **PROBLEMS},
    throttle=[AuthRateThrottle("20/m")],
    summary="A token for the agent of one machine, as an operator of its site",
)
def enrol(request: HttpRequest, body: EnrolRequest) -> HttpResponse:
    return reply(enrol_agent(request.auth, body), status=201)


@router.post(
    "agents/codes",
    response={201: NewCode, **PROBLEMS},
    throttle=[AuthRateThrottle("20/m")],
    summary="A one-time code with which the agent of one machine enrols itself, as an operator of its site",
)
def code(request: HttpRequest, body: CodeRequest) -> HttpResponse:
    return reply(make_code(request.auth, body), status=201)
