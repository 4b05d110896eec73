"""Its pages, for officers: the imports with the upload of a file, and one import with every row."""

from __future__ import annotations

import csv
import io
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from hanse.contracts.errors import HanseError
from hanse.contracts.imports import ImportReport
from hanse.programme.imports.columns import COLUMNS
from hanse.service.awarding import policy
from hanse.service.awarding.pages import attempt, officers_only
from hanse.service.imports import forms, tables
from hanse.service.imports.batches import Batch, listed
from hanse.service.monitoring.sheets import csv_of
from hanse.service.notices import options
from hanse.service.notices.invitations import Invitation
from hanse.service.portal.whole import never_cut
from hanse.service.review import typed


@login_required
def overview(request: HttpRequest) -> HttpResponse:
    """The imports, the latest first; and a file to prepare another from."""
    officers_only(request)
    form, seen = forms.UploadForm(request.POST or None, request.FILES or None), None
    if request.method == "POST" and form.is_valid():
        try:
            asked = form.asked()
            made = Batch.prepare(request.user, asked)
        except HanseError as refused:
            form.blame("file", f"{refused.what} ({refused.where})", refused.fix)
        else:
            if made.id is not None:
                return redirect("imports:batch", batch_id=made.id)
            seen = made.report
    return render(request, "imports/overview.html", {
        "table": tables.imports(listed()[:100]),
        "form": form,
        "columns": [(name, one.about, one.needed) for name, one in COLUMNS.items()],
    } | (_shown(seen) if seen else {}))  # fmt: skip


def _shown(report: ImportReport, *, confirmed: bool = False) -> dict[str, Any]:
    return {
        "report": report,
        "summary": tables.summary(report, confirmed=confirmed),
        "effects": tables.effects(report, confirmed=confirmed),
        "more": max(0, len(report.rows) - tables.MOST_SHOWN),
        "unread": tables.unread(report.unread),
    }


def _batch(batch_id: str) -> Batch:
    found: Batch = get_object_or_404(Batch.objects.select_related("prepared_by", "decided_by"), public_id=batch_id)
    return found


@login_required
@require_safe
def batch(request: HttpRequest, batch_id: str) -> HttpResponse:
    """Every row of one import, and the buttons for who may act on it."""
    officers_only(request)
    found = _batch(batch_id)
    report, mine = found.report(request.user), found.prepared_by.pk == request.user.pk
    waits = found.state == "waiting"
    return render(request, "imports/batch.html", {
        "batch": found,
        "state": tables.badge(tables.STATES[found.state]),
        "mine": mine,
        "waits": waits,
        "may_confirm": waits and (not mine or policy.awards_by() < 2),
        "apart": tables.to_tell_apart(found, report) if mine else [],
        "links": [] if waits or options.mail_is_on() else _links(request, report),
    } | _shown(report, confirmed=found.state == "confirmed"))  # fmt: skip


def _links(request: HttpRequest, report: ImportReport) -> list[tuple[str, str]]:
    """Of a service that sends no mail: what an officer hands over to whom."""
    made = [one.allocation for one in report.rows if one.effect == "create" and one.allocation]
    rows = Invitation.open_ones().filter(
        invited_by=request.user, organisation__projects__allocations__public_id__in=made
    )
    return [(one.email, request.build_absolute_uri(one.path)) for one in rows.distinct()]


@login_required
@require_POST
@never_cut("reason")
def decide(request: HttpRequest, batch_id: str) -> HttpResponse:
    officers_only(request)
    found, reason = _batch(batch_id), typed.text(request.POST)
    seen = request.POST.get("seen") or None
    if "confirm" in request.POST:
        attempt(request, lambda: found.confirm(request.user, seen=seen, reason=reason), "It is brought in.")
    elif "refuse" in request.POST:
        attempt(request, lambda: found.refuse(request.user, reason=reason), "Refused; who prepared it reads why.")
    elif "take-back" in request.POST:
        attempt(request, lambda: found.take_back(request.user, reason=reason), "You took it back.")
    return redirect("imports:batch", batch_id=batch_id)


@login_required
@require_POST
def choose(request: HttpRequest, batch_id: str) -> HttpResponse:
    officers_only(request)
    found, line = _batch(batch_id), request.POST.get("line", "")
    chosen = request.POST.get("organisation", "")[:63]
    if line.isascii() and line.isdecimal() and len(line) < 9 and chosen:
        attempt(request, lambda: found.choose(request.user, int(line), chosen), "The rows are looked at anew.")
    else:
        messages.error(request, "Choose one of the organisations, or a new one.")
    return redirect("imports:batch", batch_id=batch_id)


@login_required
@require_safe
def as_csv(request: HttpRequest, batch_id: str) -> HttpResponse:
    officers_only(request)
    report = _batch(batch_id).report(request.user)
    return csv_of(tables.Sheet, tables.sheet(report), name=f"{batch_id}.csv")


@login_required
@require_safe
def template(request: HttpRequest) -> HttpResponse:
    """An empty file with every column's name."""
    officers_only(request)
    line = io.StringIO()
    csv.writer(line).writerow(COLUMNS)
    response = HttpResponse(line.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="awards.csv"'
    return response
