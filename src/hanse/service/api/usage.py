"""What was used of an allocation: entries, sums, drift, forecast; and corrections by those who may make them."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from ninja import Header, Router

from hanse.client.usage import AccountRequest, CorrectionRequest, UsageReport
from hanse.contracts import programme
from hanse.contracts import usage as contract
from hanse.service.access.models import Allocation
from hanse.service.api.replies import PROBLEMS, PagingQuery, find, reply
from hanse.service.runs import metering, reckoning
from hanse.service.runs.models import UsageEntry
from hanse.service.runs.operators import require_operator

router = Router(tags=["usage"])


def _allocations(request: HttpRequest) -> Any:
    """Your own; all of them for officers; those on your machines for operators."""
    person: Any = request.auth  # type: ignore[attr-defined]
    rows = Allocation.objects.with_balance().select_related("project", "machine__site__organisation", "award")
    if person.is_officer:
        return rows
    own = Q(project__organisation__memberships__person=person)
    operated = Q(
        machine__site__organisation__memberships__person=person,
        machine__site__organisation__memberships__role="operator",
    )
    return rows.filter(pk__in=Allocation.objects.filter(own | operated).values("pk"))


@router.get(
    "allocations/{id}/usage",
    response={200: UsageReport, **PROBLEMS},
    summary="What was used: entries, sums, drift from the site's counter, forecast",
)
def usage(request: HttpRequest, id: str, paging: PagingQuery) -> HttpResponse:
    found = find(_allocations(request), id)
    return reply(reckoning.report(found, offset=paging.offset, limit=paging.limit))


@router.post(
    "allocations/{id}/corrections",
    response={201: contract.UsageEntry, **PROBLEMS},
    summary="Correct a balance by a new entry, as an officer or an operator of the machine",
)
def correct(
    request: HttpRequest,
    id: str,
    body: CorrectionRequest,
    key: str | None = Header(None, alias="Idempotency-Key", max_length=100),
) -> HttpResponse:
    found, by = _in_charge(request, id)
    entry = UsageEntry.correct(found, body.accelerator_seconds, by=by, reason=body.reason, key=key)
    return reply(entry.contract(), status=201)


@router.post(
    "allocations/{id}/account",
    response={200: programme.Allocation, **PROBLEMS},
    summary="Say under which scheduler account it runs, as an officer or an operator of the machine; once",
)
def account(request: HttpRequest, id: str, body: AccountRequest) -> HttpResponse:
    found, by = _in_charge(request, id)
    metering.tie_account(found, body.account, by=by)
    return reply(find(_allocations(request), id).contract())


def _in_charge(request: HttpRequest, id: str) -> tuple[Any, str]:
    """The allocation, and who asks, if they may change what is booked on it."""
    person: Any = request.auth  # type: ignore[attr-defined]
    found = find(_allocations(request), id)
    require_operator(person, found.machine)
    return found, person.username
