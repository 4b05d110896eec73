"""Its part of the API for people and programs: proposals, capacity, requests, duties, prices and statements."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from hanse.client.answers import Page
from hanse.contracts import awarding as contract
from hanse.contracts.errors import UsageError
from hanse.service.access.models import Allocation, Application, Organisation
from hanse.service.api.replies import PROBLEMS, PagingQuery, find, page, page_of, reply
from hanse.service.awarding import capacity, holding, paying
from hanse.service.awarding.changes import ChangeRequest
from hanse.service.awarding.duties import Duty
from hanse.service.awarding.movements import balance
from hanse.service.awarding.paying import Price, Statement
from hanse.service.awarding.proposals import Proposal

router = Router(tags=["awarding"])


def _applications(request: HttpRequest) -> Any:
    return Application.objects.seen_by(request.auth).select_related("call", "organisation", "screening")


def _proposals(request: HttpRequest) -> Any:
    request.auth.require_officer()
    return Proposal.objects.select_related(
        "application__call", "application__organisation", "proposed_by", "decided_by"
    )


@router.get("proposals", response={200: Page[contract.Proposal], **PROBLEMS}, summary="Proposals, as an officer")
def proposals(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    return page(_proposals(request), paging)


@router.post(
    "applications/{id}/proposals",
    response={201: contract.Proposal, **PROBLEMS},
    summary="Propose an award, as an officer; another confirms it",
)
def propose(request: HttpRequest, id: str, body: contract.AwardTerms) -> HttpResponse:
    made = Proposal.propose(find(_applications(request), id), request.auth, "grant", body)
    return reply(made.contract(), status=201)


@router.post(
    "proposals/{id}/decide",
    response={200: contract.Proposal, **PROBLEMS},
    summary="confirm or refuse another officer's proposal, or take-back your own",
)
def decide_proposal(request: HttpRequest, id: str, body: contract.OfficersWord) -> HttpResponse:
    found = find(_proposals(request), id)
    verbs = {
        "confirm": lambda: found.confirm(request.auth),
        "take-back": lambda: found.take_back(request.auth, reason=body.reason),
        "refuse": lambda: found.refuse(request.auth, reason=body.reason),
    }
    _act(verbs, body.decision)
    return reply(found.contract())


@router.get(
    "capacity", response={200: Page[contract.CapacityMonth], **PROBLEMS}, summary="What can be awarded, as an officer"
)
def capacities(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    request.auth.require_officer()
    rows = capacity.table()
    return page_of(rows[paging.offset : paging.offset + paging.limit], count=len(rows))


@router.post(
    "capacity", response={200: contract.CapacityMonth, **PROBLEMS}, summary="State what a month offers, as an officer"
)
def offer(request: HttpRequest, body: contract.CapacityOffer) -> HttpResponse:
    return reply(capacity.offer(body, by=request.auth))


def _allocations(request: HttpRequest) -> Any:
    rows = Allocation.objects.all() if request.auth.is_officer else Allocation.objects.seen_by(request.auth)
    return rows.with_balance().select_related("project__organisation", "machine", "award__application__call")


@router.get(
    "allocations/{id}/balance",
    response={200: contract.Balance, **PROBLEMS},
    summary="granted = used + returned + left, in GPU-seconds and the machine's own unit",
)
def allocation_balance(request: HttpRequest, id: str) -> HttpResponse:
    return reply(balance(find(_allocations(request), id)))


@router.post(
    "allocations/{id}/suspend", response={200: contract.Balance, **PROBLEMS}, summary="Nothing new starts on it"
)
def suspend(request: HttpRequest, id: str, body: contract.WithReason) -> HttpResponse:
    holding.suspend(find(_allocations(request), id), request.auth, reason=body.reason)
    return reply(balance(find(_allocations(request), id)))


@router.post("allocations/{id}/resume", response={200: contract.Balance, **PROBLEMS}, summary="End its suspension")
def resume(request: HttpRequest, id: str, body: contract.WithReason) -> HttpResponse:
    holding.resume(find(_allocations(request), id), request.auth, reason=body.reason)
    return reply(balance(find(_allocations(request), id)))


@router.post("allocations/{id}/return", response={200: contract.Balance, **PROBLEMS}, summary="Return unused hours")
def give_back(request: HttpRequest, id: str, body: contract.GivenBack) -> HttpResponse:
    holding.give_back(find(_allocations(request), id), request.auth, body)
    return reply(balance(find(_allocations(request), id)))


@router.post(
    "allocations/{id}/requests",
    response={201: contract.Change, **PROBLEMS},
    summary="Ask for longer, more, a transfer or another machine",
)
def ask(request: HttpRequest, id: str, body: contract.ChangeAsked) -> HttpResponse:
    made = ChangeRequest.ask(find(_allocations(request), id), request.auth, body)
    return reply(made.contract(), status=201)


@router.get("requests", response={200: Page[contract.Change], **PROBLEMS}, summary="Requests you may see")
def requests(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    return page(ChangeRequest.seen_by(request.auth), paging)


@router.post(
    "requests/{id}/decide", response={200: contract.Change, **PROBLEMS}, summary="grant or decline it, as an officer"
)
def decide_request(request: HttpRequest, id: str, body: contract.OfficersWord) -> HttpResponse:
    found = find(ChangeRequest.seen_by(request.auth), id)
    verbs = {
        "grant": lambda: found.grant(request.auth, reason=body.reason),
        "decline": lambda: found.decline(request.auth, reason=body.reason),
    }
    _act(verbs, body.decision)
    return reply(found.contract())


@router.post("requests/{id}/withdraw", response={200: contract.Change, **PROBLEMS}, summary="Withdraw your request")
def withdraw(request: HttpRequest, id: str) -> HttpResponse:
    found = find(ChangeRequest.seen_by(request.auth), id)
    found.withdraw(request.auth)
    return reply(found.contract())


@router.get("duties", response={200: Page[contract.Duty], **PROBLEMS}, summary="Reports and obligations you may see")
def duties(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    return page(Duty.seen_by(request.auth), paging)


@router.get("duties/{id}", response={200: contract.Duty, **PROBLEMS}, summary="One report or obligation")
def duty(request: HttpRequest, id: str) -> HttpResponse:
    return reply(find(Duty.seen_by(request.auth), id).contract())


@router.put("duties/{id}", response={200: contract.Duty, **PROBLEMS}, summary="Keep what is written so far")
def draft(request: HttpRequest, id: str, body: contract.DutyAnswers) -> HttpResponse:
    found = find(Duty.seen_by(request.auth), id)
    found.save_draft(request.auth, body)
    return reply(found.contract())


@router.post("duties/{id}/send", response={200: contract.Duty, **PROBLEMS}, summary="Hand it in")
def send(request: HttpRequest, id: str, body: contract.DutyAnswers) -> HttpResponse:
    found = find(Duty.seen_by(request.auth), id)
    found.send(request.auth, body)
    return reply(found.contract())


@router.post(
    "duties/{id}/decide",
    response={200: contract.Duty, **PROBLEMS},
    summary="accept, send-back or waive it, as an officer",
)
def decide_duty(request: HttpRequest, id: str, body: contract.OfficersWord) -> HttpResponse:
    found = find(Duty.seen_by(request.auth), id)
    verbs = {
        "accept": lambda: found.accept(request.auth, reason=body.reason),
        "send-back": lambda: found.send_back(request.auth, reason=body.reason),
        "waive": lambda: found.waive(request.auth, reason=body.reason),
    }
    _act(verbs, body.decision)
    return reply(found.contract())


@router.post("duties/{id}/due", response={200: contract.Duty, **PROBLEMS}, summary="Set its due day, as an officer")
def set_due(request: HttpRequest, id: str, body: contract.DueDay) -> HttpResponse:
    found = find(Duty.seen_by(request.auth), id)
    found.set_due(request.auth, body.due, reason=body.reason)
    return reply(found.contract())


@router.get(
    "prices", response={200: Page[contract.Price], **PROBLEMS}, summary="What a GPU-hour costs who pays per use"
)
def prices(request: HttpRequest, paging: PagingQuery) -> HttpResponse:  # noqa: ARG001
    return page(Price.objects.select_related("machine"), paging)


@router.post("prices", response={201: contract.Price, **PROBLEMS}, summary="State a price from a day on, as an officer")
def state_price(request: HttpRequest, body: contract.Price) -> HttpResponse:
    return reply(Price.state(body, by=request.auth), status=201)


@router.get("applications/{id}/quote", response={200: contract.Quote, **PROBLEMS}, summary="What it would come to")
def quote(request: HttpRequest, id: str) -> HttpResponse:
    return reply(paying.quote(find(_applications(request), id)))


@router.get("statements", response={200: Page[contract.Statement], **PROBLEMS}, summary="Statements you may see")
def statements(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    return page(Statement.seen_by(request.auth), paging)


@router.post("statements", response={201: contract.Statement, **PROBLEMS}, summary="Issue a month's, as an officer")
def issue(request: HttpRequest, body: contract.StatementAsked) -> HttpResponse:
    request.auth.require_officer()
    organisation = find(Organisation.objects.all(), body.organisation)
    return reply(Statement.issue(organisation, body.month, by=request.auth).contract(), status=201)


@router.get("statements/{id}", response={200: contract.Statement, **PROBLEMS}, summary="One statement; format=csv")
def statement(request: HttpRequest, id: str, format: str = Query("json", pattern="^(json|csv)$")) -> HttpResponse:
    found = find(Statement.seen_by(request.auth), id)
    return csv_of(found) if format == "csv" else reply(found.contract())


def csv_of(statement: Statement) -> HttpResponse:
    response = HttpResponse(statement.csv(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{statement.public_id}-{statement.month}.csv"'
    return response


def _act(verbs: dict[str, Any], decision: str) -> None:
    if decision not in verbs:
        raise UsageError(f"{decision} is no decision here", where="decision", fix=f"one of {', '.join(verbs)}")
    verbs[decision]()
