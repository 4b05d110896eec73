"""Its part of the API for people and programs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Router

from hanse.client.answers import Page
from hanse.contracts.base import Contract
from hanse.service.api.replies import PROBLEMS, Missing, PagingQuery, page_of, part_of, reply
from hanse.service.notices import own_data
from hanse.service.notices.models import Notice

router = Router(tags=["notices"])


class NoticeAnswer(Contract):
    id: int
    kind: str
    title: str
    text: str
    path: str
    """The page it is about; empty for none."""
    at: datetime
    read_at: datetime | None


def _answer(notice: Notice) -> NoticeAnswer:
    return NoticeAnswer(
        id=notice.pk, kind=notice.kind, title=notice.title, text=notice.text, path=notice.path, at=notice.at,
        read_at=notice.read_at,
    )  # fmt: skip


@router.get("notices", response={200: Page[NoticeAnswer], **PROBLEMS}, summary="What you were told, newest first")
def notices(request: HttpRequest, paging: PagingQuery) -> HttpResponse:
    part, count = part_of(Notice.objects.filter(person=request.auth), paging)  # type: ignore[attr-defined]
    return page_of((_answer(one) for one in part), count=count)


@router.post("notices/{id}/read", response={200: NoticeAnswer, **PROBLEMS}, summary="You have read it")
def notice_read(request: HttpRequest, id: int) -> HttpResponse:
    person: Any = request.auth  # type: ignore[attr-defined]
    found = Notice.objects.filter(pk=id, person=person).first() if 0 < id < 2**63 else None
    if found is None:
        raise Missing(f"there is no notice {id} of yours", where=str(id))
    Notice.mark_read(person, found.pk)
    found.refresh_from_db()
    return reply(_answer(found))


@router.get("me/data", response={200: dict[str, Any], **PROBLEMS}, summary="All that is kept about you")
def my_data(request: HttpRequest) -> HttpResponse:
    return JsonResponse(own_data.export(request.auth), encoder=own_data.encoder())  # type: ignore[attr-defined]
