"""Runs: launch, watch, cancel, and the record of one. Code bundles are sent before the launch that needs them."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Header, Router

from hanse.client.answers import (
    CancelRequest,
    GoneRequest,
    LaunchRequest,
    LogText,
    MachineOffer,
    Page,
    RetryRequest,
    Trouble,
)
from hanse.client.summary import RunSummary
from hanse.contracts import event
from hanse.contracts import run as contract
from hanse.contracts.errors import UsageError
from hanse.contracts.record import RunRecord
from hanse.contracts.telemetry import StepSummary
from hanse.service.api.replies import PROBLEMS, PagingQuery, find, page, page_of, part_of, reply
from hanse.service.runs import glance, placing, trouble
from hanse.service.runs import launch as launching
from hanse.service.runs import record as recording
from hanse.service.runs.models import Attempt, CodeBundle, LogChunk, Machine, Run, StepRow
from hanse.service.runs.operators import require_operator

router = Router(tags=["runs"])
TELEMETRY_PAGE = 1000


def _runs(request: HttpRequest) -> Any:
    return Run.objects.seen_by(request.auth)


@router.put("code/{sha256}", response={200: contract.CodeBundle, **PROBLEMS}, summary="Store a code bundle (tar.gz)")
def put_code(request: HttpRequest, sha256: str) -> HttpResponse:
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise UsageError("a bundle is named by its SHA-256 in hexadecimal", where="sha256")
    return reply(CodeBundle.receive(request, sha256, by=request.auth).contract())


@router.post("runs", response={201: contract.Run, **PROBLEMS}, summary="Launch a run; 403 carries admission's findings")
def launch(
    request: HttpRequest, body: LaunchRequest, key: str | None = Header(None, alias="Idempotency-Key", max_length=100)
) -> HttpResponse:
    started = launching.launch(request.auth, body, key=key)
    return reply(Run.objects.whole().get(pk=started.pk).contract(), status=201)


@router.get(
    "runs",
    response={200: Page[contract.Run], **PROBLEMS},
    summary="Runs, newest first; plans without their alternatives",
)
def runs(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    rows = _runs(request).whole()
    part, count = part_of(rows, paging)
    return page_of((row.brief() for row in part), count=count)


@router.get(
    "run-summaries", response={200: Page[RunSummary], **PROBLEMS}, summary="Runs at a glance: what a list shows of each"
)
def run_summaries(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    part, count = part_of(glance.rows(_runs(request)), paging)
    return page_of(glance.summaries(part), count=count)


@router.get("runs/{id}", response={200: contract.Run, **PROBLEMS}, summary="One run; poll it with If-None-Match")
def run(request: HttpRequest, id: str) -> HttpResponse:
    return reply(find(_runs(request).whole(), id).contract())


@router.post("runs/{id}/cancel", response={200: contract.Run, **PROBLEMS}, summary="Ask for a run's end")
def cancel(request: HttpRequest, id: str, body: CancelRequest) -> HttpResponse:
    find(_runs(request), id).cancel(by=request.auth.username, reason=body.reason)
    return reply(find(_runs(request).whole(), id).contract())


@router.post("runs/{id}/retry", response={200: contract.Run, **PROBLEMS}, summary="Begin an ended run anew")
def retry(
    request: HttpRequest,
    id: str,
    body: RetryRequest,
    key: str | None = Header(None, alias="Idempotency-Key", max_length=100),
) -> HttpResponse:
    find(_runs(request), id).retry(by=request.auth.username, machine=body.machine, key=key)
    return reply(find(_runs(request).whole(), id).contract())


@router.post("attempts/{id}/gone", response={200: contract.Attempt, **PROBLEMS}, summary="Close a job nobody can find")
def gone(request: HttpRequest, id: str, body: GoneRequest) -> HttpResponse:
    attempt = find(Attempt.objects.seen_by(request.auth), id)
    attempt.declare_gone(request.auth, body.because)
    return reply(attempt.contract())


@router.get("offers", response={200: Page[MachineOffer], **PROBLEMS}, summary="How machines with hours of yours stand")
def offers(request: HttpRequest) -> HttpResponse:
    rows = placing.offered_to(request.auth)
    return page_of(rows, count=len(rows))


@router.get("machines/{id}/trouble", response={200: Page[Trouble], **PROBLEMS}, summary="Nodes that gave trouble")
def troubled(request: HttpRequest, id: str) -> HttpResponse:
    return _trouble(_operated(request, id))


@router.delete("machines/{id}/trouble/{node}", response={200: Page[Trouble], **PROBLEMS}, summary="A node is mended")
def mended(request: HttpRequest, id: str, node: str) -> HttpResponse:
    machine = _operated(request, id)
    trouble.clear(machine, node, by=request.auth.username)
    return _trouble(machine)


def _operated(request: HttpRequest, id: str) -> Machine:
    machine: Machine = find(Machine.objects.select_related("site__organisation"), id)
    require_operator(request.auth, machine)
    return machine


def _trouble(machine: Machine) -> HttpResponse:
    rows = [row.contract() for row in trouble.open_on(machine)]
    return page_of(rows, count=len(rows))


@router.get(
    "runs/{id}/telemetry", response={200: Page[StepSummary], **PROBLEMS}, summary="Steps after a step, in order"
)
def telemetry(request: HttpRequest, id: str, after_step: int = 0) -> HttpResponse:
    rows = StepRow.of_run(find(_runs(request), id), after_step=after_step)
    return page_of((row.row for row in rows[:TELEMETRY_PAGE]), count=rows.count())


@router.get("runs/{id}/log", response={200: LogText, **PROBLEMS}, summary="The log from an offset on")
def log(request: HttpRequest, id: str, offset: int = 0) -> HttpResponse:
    return reply(LogChunk.read(find(_runs(request), id), max(0, offset)))


@router.get("runs/{id}/events", response={200: Page[event.Event], **PROBLEMS}, summary="What happened, in order")
def events(request: HttpRequest, id: str, paging: PagingQuery) -> HttpResponse:
    return page(recording.events_of(find(_runs(request).whole(), id)), paging)


@router.get("runs/{id}/record", response={200: RunRecord, **PROBLEMS}, summary="All that is known of a run")
def record(request: HttpRequest, id: str) -> HttpResponse:
    return reply(recording.record_of(find(_runs(request).whole(), id)))
