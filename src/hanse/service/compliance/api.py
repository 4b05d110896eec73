"""Conditions, permits and changes of an award; computation, evaluations and releases of a run."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from hanse.client.answers import Page
from hanse.contracts import release as published
from hanse.contracts import watch as contract
from hanse.contracts.base import now
from hanse.service.access.models import Application
from hanse.service.api.replies import PROBLEMS, Missing, PagingQuery, find, page, page_of, reply
from hanse.service.compliance import conditions, releases
from hanse.service.compliance.models import Condition, Permit, RunChange, RunCompute, RunEvaluation
from hanse.service.runs.models import Run

router = Router(tags=["compliance"])


def _award(request: HttpRequest, id: str) -> Any:
    application = find(Application.objects.seen_by(request.auth).select_related("award"), id)
    award = getattr(application, "award", None)
    if award is None:
        raise Missing(f"{id} was not granted; it has no conditions yet", where=id)
    return award


def _of_award(kind: Any, request: HttpRequest) -> Any:
    seen = Application.objects.seen_by(request.auth).values("pk")
    return kind.objects.filter(award__application__in=seen).select_related("award__application")


def _run(request: HttpRequest, id: str) -> Run:
    found: Run = find(Run.objects.seen_by(request.auth), id)
    return found


@router.get(
    "applications/{id}/conditions",
    response={200: Page[contract.WatchedCondition], **PROBLEMS},
    summary="What must hold on an award, and how it stands",
)
def listed(request: HttpRequest, id: str) -> HttpResponse:
    rows = conditions.open_for(_award(request, id))
    return page_of((one.contract() for one in rows), count=len(rows))


@router.post(
    "conditions/{id}", response={200: contract.WatchedCondition, **PROBLEMS}, summary="An officer's word on a condition"
)
def change(request: HttpRequest, id: str, body: contract.ConditionChange) -> HttpResponse:
    found = find(_of_award(Condition, request), id)
    found.change(body, request.auth)
    return reply(found.contract())


@router.post(
    "conditions/{id}/evidence",
    response={200: contract.WatchedCondition, **PROBLEMS},
    summary="What shows that a condition is met; an officer looks at it",
)
def offer(request: HttpRequest, id: str, body: contract.Evidence) -> HttpResponse:
    found = find(_of_award(Condition, request), id)
    found.offer(body.evidence, request.auth)
    return reply(found.contract())


@router.get(
    "applications/{id}/permits", response={200: Page[contract.Permit], **PROBLEMS}, summary="Permits of an award"
)
def permits(request: HttpRequest, id: str, paging: PagingQuery) -> HttpResponse:
    return page(Permit.objects.filter(award=_award(request, id)).select_related("award", "stated_by"), paging)


@router.post(
    "applications/{id}/permits", response={201: contract.Permit, **PROBLEMS}, summary="State a permit; it is checked"
)
def state_permit(request: HttpRequest, id: str, body: contract.PermitForm) -> HttpResponse:
    made = Permit.state_one(_award(request, id), body, request.auth, today=now().date())
    return reply(made.contract(), status=201)


@router.post("permits/{id}", response={200: contract.Permit, **PROBLEMS}, summary="Confirm or withdraw, as an officer")
def judge_permit(request: HttpRequest, id: str, body: contract.Judgement) -> HttpResponse:
    found = find(_of_award(Permit, request), id)
    (found.confirm if body.accept else found.withdraw)(request.auth, reason=body.reason)
    return reply(found.contract())


@router.get(
    "applications/{id}/changes",
    response={200: Page[contract.RunChange], **PROBLEMS},
    summary="What launches changed against what was granted",
)
def changes(request: HttpRequest, id: str, paging: PagingQuery) -> HttpResponse:
    return page(RunChange.objects.filter(award=_award(request, id)).select_related("award"), paging)


@router.post("changes/{id}", response={200: contract.RunChange, **PROBLEMS}, summary="An officer's answer to a change")
def judge_change(request: HttpRequest, id: str, body: contract.Judgement) -> HttpResponse:
    found = find(_of_award(RunChange, request), id)
    found.decide(request.auth, accept=body.accept, reason=body.reason)
    return reply(found.contract())


@router.get(
    "runs/{id}/compute", response={200: contract.ComputeSeen, **PROBLEMS}, summary="Computation of a run, both formulas"
)
def compute(request: HttpRequest, id: str) -> HttpResponse:
    run = _run(request, id)
    seen = RunCompute.objects.filter(run=run).first()
    if seen is None:
        raise Missing(f"nothing of {id} was seen yet, or it runs on hours granted elsewhere", where=id)
    return reply(seen.seen)


@router.get(
    "runs/{id}/evaluations", response={200: Page[published.Evaluation], **PROBLEMS}, summary="Evaluations of a run"
)
def evaluations(request: HttpRequest, id: str) -> HttpResponse:
    found = releases.evaluations_of(_run(request, id))
    return page_of(found, count=len(found))


@router.post(
    "runs/{id}/evaluations",
    response={201: published.Evaluation, **PROBLEMS},
    summary="Attach results; the same file again changes nothing",
)
def attach(request: HttpRequest, id: str, body: published.Evaluation) -> HttpResponse:
    made: RunEvaluation = releases.attach(_run(request, id), body, request.auth)
    return reply(made.evaluation, status=201)


@router.get("runs/{id}/releases", response={200: Page[published.Release], **PROBLEMS}, summary="What was published")
def released(request: HttpRequest, id: str) -> HttpResponse:
    found = [one.release for one in _run(request, id).releases.all()]
    return page_of(found, count=len(found))


@router.post(
    "runs/{id}/releases", response={201: published.Release, **PROBLEMS}, summary="Tell that a run's model is published"
)
def publish(request: HttpRequest, id: str, body: published.Release) -> HttpResponse:
    return reply(releases.publish(_run(request, id), body, request.auth).release, status=201)
