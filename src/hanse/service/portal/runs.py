"""The pages of runs: list, overview with its live fragment, log, report, and stopping one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_http_methods

from hanse.contracts.errors import HanseError
from hanse.reporting import run_report
from hanse.reporting.markup import speaking
from hanse.service.portal import blocks, watch
from hanse.service.runs import glance
from hanse.service.runs.record import record_of

A_PAGE = 25


class StopForm(forms.Form):
    reason = forms.CharField(
        max_length=500, label="Why",
        help_text="Kept with the run, so that others understand it later.",
        widget=forms.Textarea(attrs={"class": "input", "rows": 3, "aria-describedby": "reason-hint"}),
        error_messages={"required": "Say in a few words why the run is stopped."},
    )  # fmt: skip


def _run(request: HttpRequest, run_id: str) -> Any:
    return get_object_or_404(glance.closely(glance.seen_by(request.user)), public_id=run_id)


@login_required
def listing(request: HttpRequest) -> HttpResponse:
    page = Paginator(glance.seen_by(request.user), A_PAGE).get_page(request.GET.get("page"))
    table = blocks.runs_table(glance.lines(page.object_list))
    return render(request, "portal/runs.html", {"page": page, "table": table})


@login_required
def overview(request: HttpRequest, run_id: str) -> HttpResponse:
    return render(request, "portal/run.html", {"tab": "overview", **watch.overview(_run(request, run_id))})


@login_required
def live(request: HttpRequest, run_id: str) -> HttpResponse:
    """The part of the overview that changes; 304 while nothing did."""
    run = _run(request, run_id)
    tag = watch.entity_tag(run)
    if request.headers.get("If-None-Match") == tag:
        return HttpResponseNotModified(headers={"ETag": tag})
    said = {"fragment": True, "was": request.GET.get("was", "")}
    response = render(request, "portal/run_live.html", {**watch.overview(run), **said})
    response["ETag"] = tag
    patch_cache_control(response, private=True, no_cache=True)
    return response


@login_required
def log(request: HttpRequest, run_id: str) -> HttpResponse:
    run = _run(request, run_id)
    return render(
        request, "portal/run_log.html", {"tab": "log", **watch.head(run), **watch.log(run, request.GET.get("attempt"))}
    )


@login_required
def log_text(request: HttpRequest, run_id: str) -> HttpResponse:
    return HttpResponse(watch.whole_log(_run(request, run_id)), content_type="text/plain; charset=utf-8")


@login_required
def report(request: HttpRequest, run_id: str) -> HttpResponse:
    run = _run(request, run_id)
    return render(request, "portal/run_report.html", {"tab": "report", **watch.head(run), **watch.report(run)})


@login_required
def report_file(request: HttpRequest, run_id: str) -> HttpResponse:
    run = _run(request, run_id)
    with speaking(None):  # a file says the same to everybody
        written = run_report.render(record_of(run))
    return _download(written, f"{run.name}-report.html", "text/html")


@login_required
def record_file(request: HttpRequest, run_id: str) -> HttpResponse:
    run = _run(request, run_id)
    return _download(record_of(run).to_json(), f"{run.name}-record.json", "application/json")


@login_required
@require_http_methods(["GET", "POST"])
def stop(request: HttpRequest, run_id: str) -> HttpResponse:
    run = _run(request, run_id)
    form = StopForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            run.cancel(by=request.user.username, reason=form.cleaned_data["reason"])
            messages.success(request, f"{run.name} is being stopped. It saves a checkpoint first.")
        except HanseError as refused:
            messages.error(request, f"{refused.what}. {refused.fix}".strip())
        return redirect("portal:run", run_id=run.public_id)
    return render(
        request, "portal/stop.html", {"form": form, **watch.head(run)}, status=200 if not form.errors else 422
    )


def _download(text: str, name: str, kind: str) -> HttpResponse:
    """Always as a file: a report brings its own stylesheet, which this site's policy would not let a page use."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(text, content_type=f"{kind}; charset=utf-8", headers=headers)
