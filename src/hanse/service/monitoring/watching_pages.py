"""The officers' dashboard: one page of figures, each with its table, its plot and a CSV to keep."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from hanse.contracts.base import now
from hanse.contracts.errors import UsageError
from hanse.contracts.units import format_count, format_percent
from hanse.programme import awards, calls
from hanse.reporting.bars import meter
from hanse.reporting.markup import Child, Html, h
from hanse.reporting.tables import Column, table
from hanse.service.awarding.pages import officers_only
from hanse.service.monitoring import watching
from hanse.service.monitoring.columns import month_columns
from hanse.service.monitoring.sheets import csv_of

KINDS = {"start-up": "Start-up", "sme": "SME", "large": "Large enterprise", "public": "Public body"}
TITLES = {
    "mode": "By mode of access", "country": "By country", "kind": "By kind of organisation", "field": "By field",
    "machine": "By machine",
}  # fmt: skip
MOST_MONTHS, MOST_ROWS = 60, 12


@require_safe
@login_required
def page(request: HttpRequest) -> HttpResponse:
    officers_only(request)
    problem = ""
    try:
        wanted = wanted_of(request)
    except UsageError as error:
        wanted, problem = _default(), f"{error.what}. {error.fix}"
    told = watching.figures(wanted, now())
    query = request.GET.urlencode() if not problem else ""
    return render(request, "monitoring/watching.html", {
        "told": told, "problem": problem, "query": query, "lede": _lede(told), "filters": _filters(told),
        "months": _months(told), "groups": [_group(told, by) for by in watching.GROUPS] if told.awards else [],
        "demand": _demand(told.demand), "answers": _answers(told.answers), "outlook": _outlook(told.outlook),
    })  # fmt: skip


@require_safe
@login_required
def sheet(request: HttpRequest, name: str) -> HttpResponse:
    """One table as CSV, of the months and filters of the page."""
    officers_only(request)
    if name not in watching.SHEETS:
        raise Http404
    try:
        told = watching.figures(wanted_of(request), now())
    except UsageError as error:
        return HttpResponse(f"{error.what}. {error.fix}\n", status=400, content_type="text/plain; charset=utf-8")
    rows: Any = csv_of(watching.SHEETS[name], getattr(told, name), name=f"{name}.csv")
    return rows  # type: ignore[no-any-return]


@require_safe
@login_required
def as_json(request: HttpRequest) -> HttpResponse:
    officers_only(request)
    try:
        return JsonResponse(asdict(watching.figures(wanted_of(request), now())))
    except UsageError as error:
        return JsonResponse({"what": error.what, "where": error.where, "fix": error.fix}, status=400)


def wanted_of(request: HttpRequest) -> watching.Wanted:
    """The last twelve months unless the address says others. Raises UsageError for months that are none."""
    usual = _default()
    try:
        first, last = (
            date.fromisoformat(f"{text}-01") if (text := request.GET.get(name, "")) else instead
            for name, instead in (("from", usual.first), ("to", usual.last))
        )
    except ValueError:
        raise UsageError("a month cannot be read", where="from, to", fix="Write it as 2026-01.") from None
    if not first <= last or first < awards.months_later(last, -MOST_MONTHS) or not 2000 <= first.year <= 9000:
        raise UsageError(
            f"the months have to follow one another, {MOST_MONTHS} at most", where="from, to", fix="Choose others."
        )
    return watching.Wanted(
        first=first, last=last, mode=request.GET.get("mode", "")[:63], machine=request.GET.get("machine", "")[:63],
        country=request.GET.get("country", "")[:2].upper(),
    )  # fmt: skip


def _default() -> watching.Wanted:
    last = now().date().replace(day=1)
    return watching.Wanted(first=awards.months_later(last, -11), last=last)


def _lede(told: watching.Figures) -> str:
    if not told.awards:
        return "Nothing was granted in these months."
    small = f" {format_percent(told.small_share)} of them to SMEs and start-ups." if told.small_share else ""
    return (
        f"{format_count(told.granted_hours)} GPU-hours were granted in {told.awards:,} "
        f"award{'' if told.awards == 1 else 's'} to {told.recipients:,} "
        f"organisation{'' if told.recipients == 1 else 's'},{small or ' none of them to SMEs and start-ups.'} "
        f"{format_percent(told.used_hours / told.granted_hours if told.granted_hours else 0)} of them are used so far."
    )


def _filters(told: watching.Figures) -> list[dict[str, Any]]:
    chosen = {"mode": told.wanted.mode, "machine": told.wanted.machine, "country": told.wanted.country}
    names = {"mode": "Mode", "machine": "Machine", "country": "Country"}
    titles = {mode: _name("mode", mode) for mode in calls.ids()}
    return [
        {"name": key, "label": label, "chosen": chosen[key],
         "options": [(value, titles.get(value, value)) for value in told.choices[key]]}
        for key, label in names.items()
    ]  # fmt: skip


def _months(told: watching.Figures) -> dict[str, Any]:
    planned = sum(one.planned_hours for one in told.months)
    used = sum(one.used_hours for one in told.months)
    if not planned and not used:
        return {"finding": "Nothing was planned or used in these months", "chart": None, "table": None}
    share = f", {format_percent(used / planned)} of what was planned" if planned else ""
    finding = f"{format_count(used)} GPU-hours were used{share}"
    rows = [
        (one.month, format_count(one.planned_hours), format_count(one.used_hours),
         format_percent(one.used_hours / one.planned_hours) if one.planned_hours else "–")
        for one in told.months
    ]  # fmt: skip
    columns = ("Month", Column("Planned", True), Column("Used", True), Column("Of the plan", True))
    return {"finding": finding, "chart": month_columns(f"{finding}. The table below holds the figures.", told.months),
            "table": table(columns, rows)}  # fmt: skip


def _group(told: watching.Figures, by: str) -> dict[str, Child]:
    found = [one for one in told.shares if one.by == by]
    shown, rest = found[:MOST_ROWS], found[MOST_ROWS:]
    rows = [
        (_name(by, one.name), f"{one.awards:,}", format_count(one.granted_hours), _bar(one), format_percent(one.share))
        for one in shown
    ]
    if rest:
        hours = sum(one.granted_hours for one in rest)
        rows.append((f"{len(rest):,} others", f"{sum(one.awards for one in rest):,}", format_count(hours), "",
                     format_percent(sum(one.share for one in rest))))  # fmt: skip
    columns = (
        TITLES[by][3:].capitalize(), Column("Allocations", True), Column("GPU-hours", True), "Used of them",
        Column("Share", True),
    )  # fmt: skip
    return {"id": by, "title": TITLES[by], "table": table(columns, rows)}


def _bar(one: watching.Share) -> Html:
    part = one.used_hours / one.granted_hours if one.granted_hours else 0.0
    text = format_percent(part)
    return h("span", meter(f"{text} used", total=max(one.granted_hours, 1e-9), used=one.used_hours), f" {text}")


def _name(by: str, name: str) -> str:
    if not name:
        return "not said"
    if by == "kind":
        return KINDS.get(name, name)
    return name.replace("-", " ").capitalize() if by == "mode" else name


def _demand(found: tuple[watching.Demand, ...]) -> Child:
    rows = [
        (f"{one.call}{f', cut-off {one.cut_off}' if one.cut_off else ''}", f"{one.applications:,}",
         format_count(one.asked_hours), f"{one.granted:,}", format_count(one.granted_hours), f"{one.waiting:,}",
         f"{one.times:.1f} ×" if one.times is not None else "–")
        for one in found
    ]  # fmt: skip
    columns = ("Call", Column("Applications", True), Column("Asked", True), Column("Granted", True),
               Column("Hours granted", True), Column("Waiting", True), Column("Asked over granted", True))  # fmt: skip
    return table(columns, rows) if rows else None


def _answers(found: tuple[watching.Answers, ...]) -> Child:
    rows = [
        (_name("mode", one.mode), f"{one.answered:,}", f"{one.median_days:.1f}", f"{one.p90_days:.1f}",
         format_percent(one.kept) if one.kept is not None else "–",
         f"{one.access_median_days:.1f}" if one.access_median_days is not None else "–", f"{one.late:,}")
        for one in found
    ]  # fmt: skip
    columns = ("Mode", Column("Answered", True), Column("Median, days", True), Column("Nine in ten, days", True),
               Column("Promise kept", True), Column("To the first hour, days", True),
               Column("Late now", True))  # fmt: skip
    return table(columns, rows) if rows else None


def _outlook(found: tuple[watching.Outlook, ...]) -> Child:
    rows = [
        (h("a", one.project, href=reverse("awarding:requests", args=[one.allocation])), one.machine,
         format_count(one.left_hours), one.sentence)
        for one in found
    ]  # fmt: skip
    return table(("Project", "Machine", Column("Hours left", True), "At this pace"), rows) if rows else None
