"""Home, allocations and applications. A view looks up what the person may see and hands it to its template."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from hanse.contracts.base import now
from hanse.reporting.sections import decision_block
from hanse.reporting.words import sentence
from hanse.service.access.models import Allocation, Application, Project
from hanse.service.portal import blocks, decide, standing
from hanse.service.runs.models import Event, Run, UsageEntry


def home(request: HttpRequest) -> HttpResponse:
    """What needs the person; who is not signed in is welcomed first."""
    if not request.user.is_authenticated:
        return redirect("forms:welcome")
    runs = list(Run.objects.seen_by(request.user).whole()[:6])
    held = Allocation.objects.seen_by(request.user).with_balance().select_related("project", "machine__site", "award")
    applications = list(Application.objects.seen_by(request.user).select_related("call", "organisation")[:6])
    allocations = list(held.filter(ends__gte=now().date())[:6])
    return render(request, "portal/home.html", {
        "projects": Project.objects.seen_by(request.user).select_related("organisation"),
        "next": standing.home_next(request.user, runs=runs, allocations=allocations, applications=applications),
        "summary": standing.summary(runs, applications, allocations),
        "allocations": [blocks.allocation_card(a) for a in allocations],
        "runs": blocks.runs_table(runs[:5]) if runs else None,
        "more_runs": len(runs) > 5,
        "applications": blocks.applications_table(applications[:5]) if applications else None,
    })  # fmt: skip


@login_required
def allocation(request: HttpRequest, allocation_id: str) -> HttpResponse:
    held = Allocation.objects.seen_by(request.user).with_balance().select_related("project", "machine__site", "award")
    found = get_object_or_404(held, public_id=allocation_id)
    entries = list(UsageEntry.objects.filter(allocation=found).select_related("attempt__leg__run"))
    runs = list(Run.objects.filter(legs__allocation=found).distinct().whole()[:25])
    return render(request, "portal/allocation.html", {
        "allocation": found,
        "open": found.open_on(now().date()),
        "figure": blocks.allocation_figure(found.contract()),
        "agent": blocks.allocation_badge(found),
        "heard": blocks.heard(found.machine),
        "lasts": blocks.lasting(found.starts, found.ends),
        "usage": blocks.usage_table(entries) if entries else None,
        "runs": blocks.runs_table(runs) if runs else None,
    })  # fmt: skip


@login_required
def applications(request: HttpRequest) -> HttpResponse:
    found = list(Application.objects.seen_by(request.user).select_related("call", "organisation")[:100])
    table = blocks.applications_table(found) if found else None
    return render(request, "portal/applications.html", {"table": table, "count": len(found)})


@login_required
def application(request: HttpRequest, application_id: str) -> HttpResponse:
    seen = Application.objects.seen_by(request.user).select_related("call", "organisation", "applicant", "screening")
    found = get_object_or_404(seen, public_id=application_id)
    who, by = standing.application_next(found)
    happened = [event.contract() for event in Event.objects.filter(subject_id=found.public_id)]
    return render(request, "portal/application.html", {
        "application": found,
        "form": found.form,
        "answers": blocks.answers(found),
        "gate": decision_block(found.gate, "What the gate found") if found.gate else None,
        "decide": decide.form_for(found) if decide.may_decide(request.user, found) else None,
        "who": who,
        "by": by,
        "allocation": Allocation.objects.filter(award__application=found).order_by("pk").first(),
        "events": blocks.events(happened, expected=(by, sentence(who))),
    })  # fmt: skip
