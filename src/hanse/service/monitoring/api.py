"""Its part of the API for people and programs: what was used month by month, for officers to report."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from hanse.client.answers import Page
from hanse.client.usage import MonthOfUse
from hanse.service.api.replies import PROBLEMS, PagingQuery, page_of, reply
from hanse.service.monitoring import usage

router = Router(tags=["monitoring"])
Month = Annotated[str, Query(pattern=r"^(19|20|21)[0-9]{2}-(0[1-9]|1[0-2])$")]


@router.get(
    "usage/months",
    response={200: Page[MonthOfUse], **PROBLEMS},
    summary="Every allocation's use by month, in GPU-hours and the machine's own unit, as an officer",
)
def months_of_use(request: HttpRequest, paging: PagingQuery, first: Month, last: Month) -> HttpResponse:
    request.auth.require_officer()
    rows = list(usage.months(*(date.fromisoformat(f"{month}-01") for month in (first, last))))
    part = [MonthOfUse(**asdict(one)) for one in rows[paging.offset : paging.offset + paging.limit]]
    return page_of(part, count=len(rows)) if part else reply(Page[MonthOfUse](items=(), count=len(rows)))
