"""How answers are written: a contract as its JSON, a list as a page, an error as a Problem."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from ninja import Field, NinjaAPI, Query, Schema
from ninja.errors import AuthenticationError, HttpError, Throttled, ValidationError

from hanse.client.answers import Page, Problem
from hanse.contracts.base import Contract
from hanse.contracts.errors import Conflict, HanseError, PlanError, PolicyError, ServiceError, TicketError, UsageError

logger = logging.getLogger(__name__)


class Missing(UsageError):  # noqa: N818 - it states what is so
    """There is no such thing that this person may see."""


class Paging(Schema):
    limit: int = Field(50, ge=1, le=100)
    offset: int = Field(0, ge=0)


PagingQuery = Query[Paging]
PROBLEMS = dict.fromkeys((401, 403, 404, 409, 422, 429), Problem)

_STATUS: tuple[tuple[type[HanseError], int], ...] = (
    (Missing, 404),
    (Conflict, 409),
    (PolicyError, 403),
    (TicketError, 403),
    (UsageError, 422),
    (PlanError, 422),
    (ServiceError, 503),
)


def reply(answer: Contract, *, status: int = 200) -> HttpResponse:
    """The contract in its own JSON. Private to its reader, and worth asking again for with its ETag."""
    response = HttpResponse(answer.model_dump_json(), content_type="application/json", status=status)
    response["Cache-Control"] = "private, no-cache"
    return response


def page(rows: Any, paging: Paging) -> HttpResponse:
    """A slice of a queryset of objects that know their contract."""
    part, count = part_of(rows, paging)
    return page_of((row.contract() for row in part), count=count)


def part_of(rows: Any, paging: Paging) -> tuple[list[Any], int]:
    """A slice of a queryset and how many rows it has in all; nothing is counted where the slice shows it."""
    part = list(rows[paging.offset : paging.offset + paging.limit])
    if len(part) < paging.limit and (part or not paging.offset):
        return part, paging.offset + len(part)
    return part, rows.count()


def page_of(items: Iterable[Any], *, count: int) -> HttpResponse:
    kept = tuple(items)
    kind = type(kept[0]) if kept else Contract
    return reply(Page[kind](items=kept, count=count))  # type: ignore[valid-type]


def find(rows: Any, public_id: str) -> Any:
    """One row by its public id, or Missing: whether it does not exist or may not be seen is not told."""
    found = rows.filter(public_id=public_id).first()
    if found is None:
        noun = rows.model._meta.verbose_name
        raise Missing(f"there is no {noun} {public_id} that you may see", where=public_id)
    return found


def problem(status: int, what: str, **more: Any) -> HttpResponse:
    return reply(Problem(what=what, **more), status=status)


def install(api: NinjaAPI) -> None:
    """Answer every failure with a Problem."""
    for kind, handler in _HANDLERS.items():
        api.add_exception_handler(kind, handler)


def failure(error: HanseError) -> HttpResponse:
    """An error of the one tree as its Problem."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    findings = error.findings if isinstance(error, PolicyError) else ()
    return problem(status, error.what, where=error.where, fix=error.fix, history=error.history, findings=findings)


def _hanse(_request: HttpRequest, error: HanseError) -> HttpResponse:
    return failure(error)


def _invalid(_request: HttpRequest, error: ValidationError) -> HttpResponse:
    first, *others = error.errors
    where = ".".join(str(part) for part in first["loc"] if part not in {"body", "query", "path"})
    told = tuple(f"{'.'.join(str(part) for part in e['loc'][1:])}: {e['msg']}" for e in others)
    return problem(422, str(first["msg"]), where=where, fix="compare with /api/v1/openapi.json", history=told)


class TokenEnded(AuthenticationError):  # noqa: N818 - it states what is so
    """A token that was good once: what became of it helps who has it, and tells nobody else anything."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(message=what)
        self.fix = fix


def _unauthenticated(_request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    ended = isinstance(error, TokenEnded)
    response = problem(
        401,
        str(error) if ended else "you are not signed in, or your token is no longer valid",
        fix=error.fix if ended else "sign in, or set HANSE_TOKEN to a valid token",
    )
    response["WWW-Authenticate"] = "Bearer"
    return response


def _throttled(_request: HttpRequest, error: Throttled) -> HttpResponse:
    wait = getattr(error, "wait", None)
    response = problem(429, "too many requests", fix=f"try again in {wait or 60:.0f} seconds")
    response["Retry-After"] = str(int(wait or 60))
    return response


def _http(_request: HttpRequest, error: HttpError) -> HttpResponse:
    return problem(error.status_code, str(error))


def _no_page(request: HttpRequest, _error: Http404) -> HttpResponse:
    return problem(404, "there is nothing at this address", where=request.path)


def _failed(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.exception("%s %s failed", request.method, request.path, exc_info=error)
    return problem(
        500,
        "the service failed at this request",
        where=request.path,
        fix="its log says why; the request may be repeated",
    )


_HANDLERS: dict[Any, Any] = {
    HanseError: _hanse,
    ValidationError: _invalid,
    AuthenticationError: _unauthenticated,
    Throttled: _throttled,
    HttpError: _http,
    Http404: _no_page,
    Exception: _failed,
}
