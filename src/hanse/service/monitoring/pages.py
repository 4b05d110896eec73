"""The register's page, its CSV and its JSON for everyone; the month's usage for officers."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from hanse.contracts.base import now
from hanse.contracts.units import format_count, format_percent
from hanse.programme import calls
from hanse.reporting.markup import Child, h, join
from hanse.reporting.tables import Column, table
from hanse.reporting.words import plain_date
from hanse.service.awarding.pages import officers_only
from hanse.service.monitoring import register, usage
from hanse.service.monitoring.sheets import csv_of

A_PAGE, AT_ONCE = 50, 500
_A_WHILE = cache_control(max_age=300, private=True)


def _wanted(request: HttpRequest) -> register.Wanted:
    year = request.GET.get("year", "")
    return register.Wanted(
        mode=request.GET.get("mode", "")[:63], country=request.GET.get("country", "")[:2].upper(),
        machine=request.GET.get("machine", "")[:63],
        year=int(year) if year.isascii() and year.isdecimal() and len(year) == 4 and int(year) else None,
    )  # fmt: skip


@require_safe
@_A_WHILE
def page(request: HttpRequest) -> HttpResponse:
    wanted = _wanted(request)
    sums, pages = register.sums(wanted), Paginator(register.rows(wanted), A_PAGE)
    pages.count = sums.awards
    part = pages.get_page(request.GET.get("page"))
    kept = request.GET.copy()
    kept.pop("page", None)
    return render(request, "monitoring/register.html", {
        "page": part, "table": _table(register.lines(part.object_list)) if part.object_list else None,
        "sums": sums, "hours": f"{sums.granted_hours:,.0f}", "largest": format_percent(sums.largest_share or 0),
        "choices": _choices(wanted), "query": kept.urlencode(),
        "narrowed": wanted != register.Wanted(),
    })  # fmt: skip


def _choices(wanted: register.Wanted) -> list[dict[str, Any]]:
    names = {"mode": "Call", "country": "Country", "machine": "Machine", "year": "Since"}
    chosen = {"mode": wanted.mode, "country": wanted.country, "machine": wanted.machine, "year": str(wanted.year or "")}
    titles = {mode: _mode(mode) for mode in calls.ids()}
    return [
        {"name": name, "label": names[name], "chosen": chosen[name], "options": [(v, titles.get(v, v)) for v in values]}
        for name, values in register.choices().items()
    ]


def _mode(mode: str) -> str:
    return mode.replace("-", " ").capitalize()


def _table(lines: list[register.Line]) -> Child:
    rows = [
        (
            join(one.organisation or "Not named", h("small", one.title or f"{one.kind}, by its wish without a name")),
            one.country, _mode(one.mode), one.machine, format_count(one.granted_hours), format_count(one.used_hours),
            plain_date(date.fromisoformat(one.since)),
        )
        for one in lines
    ]  # fmt: skip
    columns = ("Who", "Country", "Call", "Machine", Column("GPU-hours", True), Column("Used", True), "Since")
    return table(columns, rows)


@require_safe
@_A_WHILE
def as_csv(request: HttpRequest) -> StreamingHttpResponse:
    found = register.rows(_wanted(request))

    def everything() -> Any:
        for first in range(0, found.count(), AT_ONCE):
            yield from register.lines(found[first : first + AT_ONCE])

    return csv_of(register.Line, everything(), name="register.csv")


@require_safe
@_A_WHILE
def as_json(request: HttpRequest) -> HttpResponse:
    """A page of lines, the sums over all of them, and where the next page is."""
    wanted = _wanted(request)
    part = Paginator(register.rows(wanted), AT_ONCE).get_page(request.GET.get("page"))
    return JsonResponse({
        "as_of": now().isoformat(), "sums": asdict(register.sums(wanted)),
        "lines": [asdict(line) for line in register.lines(part.object_list)],
        "page": part.number, "pages": part.paginator.num_pages,
    })  # fmt: skip


@require_safe
@login_required
def usage_csv(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """`?from=2026-01&to=2026-03`, either left out; for officers."""
    officers_only(request)
    try:
        first, last = (_month(request.GET.get(name, "")) for name in ("from", "to"))
    except ValueError:
        return HttpResponseBadRequest("A month is written 2026-01.", content_type="text/plain")
    return csv_of(usage.Month, usage.months(first, last), name="usage.csv")


def _month(text: str) -> date | None:
    """Raises ValueError for what is none, or lies beyond what clocks reckon with in every zone."""
    found = date.fromisoformat(f"{text}-01") if text else None
    if found is not None and not 1900 <= found.year < 2200:
        raise ValueError(text)
    return found
