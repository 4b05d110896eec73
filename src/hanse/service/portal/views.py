"""Home, allocations and applications. A view looks up what the person may see and hands it to its template."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Exists, FilteredRelation, OuterRef, Q, Subquery, prefetch_related_objects
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from hanse.contracts.base import now
from hanse.reporting.sections import decision_block
from hanse.reporting.words import sentence
from hanse.service.access.models import Allocation, Project
from hanse.service.compliance.models import Rescreening
from hanse.service.notices import viewings
from hanse.service.portal import blocks, briefly, decide, standing
from hanse.service.review.known import Known
from hanse.service.review.models import Redress
from hanse.service.runs import glance
from hanse.service.runs.models import Event, Run, UsageEntry

A_PAGE = 50


def home(request: HttpRequest) -> HttpResponse:
    """What needs the person; who is not signed in is welcomed first."""
    if not request.user.is_authenticated:
        return redirect("forms:welcome")
    runs = glance.lines(glance.seen_by(request.user)[:6])
    held = Allocation.objects.seen_by(request.user).with_balance().select_related("project", "machine__site", "award")
    applications = briefly.briefly(briefly.seen_by(request.user)[:6])
    allocations = list(held.filter(ends__gte=now().date())[:6])
    return render(request, "portal/home.html", {
        "projects": list(Project.objects.seen_by(request.user)[:2]),  # one by its name, or several
        "next": standing.home_next(request.user, runs=runs, allocations=allocations, applications=applications),
        "summary": standing.summary(runs, applications, allocations),
        "allocations": [blocks.allocation_card(a) for a in allocations],
        "runs": blocks.runs_table(runs[:5]) if runs else None,
        "more_runs": len(runs) > 5,
        "applications": blocks.applications_table(applications[:5]) if applications else None,
    })  # fmt: skip


@login_required
def allocation(request: HttpRequest, allocation_id: str) -> HttpResponse:
    held = (
        Allocation.objects.seen_by(request.user)
        .with_balance()
        .select_related("project__organisation", "machine__site", "award__application")
    )
    found = get_object_or_404(held, public_id=allocation_id)
    debits = UsageEntry.objects.filter(allocation=found).order_by("-recorded_at", "-pk")
    page = Paginator(debits, A_PAGE).get_page(request.GET.get("page"))
    runs = glance.lines(Run.objects.filter(pk__in=found.legs.values("run"))[:25])
    return render(request, "portal/allocation.html", {
        "allocation": found,
        "open": found.open_on(now().date()),
        "figure": blocks.allocation_figure(found.contract()),
        "agent": blocks.allocation_badge(found),
        "heard": blocks.heard(found.machine),
        "lasts": blocks.lasting(found.starts, found.ends),
        "usage": blocks.usage_table(page.object_list, used=found.used) if page.paginator.count else None,
        "page": page,
        "runs": blocks.runs_table(runs) if runs else None,
    })  # fmt: skip


@login_required
def applications(request: HttpRequest) -> HttpResponse:
    page = Paginator(briefly.seen_by(request.user), A_PAGE).get_page(request.GET.get("page"))
    found = briefly.briefly(page.object_list)
    table = blocks.applications_table(found) if found else None
    return render(request, "portal/applications.html", {"table": table, "count": page.paginator.count, "page": page})


def _whole(applications: Any) -> Any:
    """With all that the page of one shows of it and can be read in the same question."""
    of_it = OuterRef("pk")
    opened = Allocation.objects.filter(award__application=of_it).order_by("pk").values("public_id")[:1]
    return applications.annotate(
        proposed=FilteredRelation("proposals", condition=Q(proposals__state="waiting")),
        asked_redress=Exists(Redress.objects.filter(application=of_it)),
        rescreened=Exists(Rescreening.objects.filter(screening__application=of_it)),
        allocation=Subquery(opened),
    ).select_related(
        "call", "organisation", "applicant", "screening", "award__imported", "proposed__proposed_by"
    )  # fmt: skip


@login_required
def application(request: HttpRequest, application_id: str) -> HttpResponse:
    person: Any = request.user
    prefetch_related_objects([person], "memberships")
    found = get_object_or_404(_whole(briefly.seen_by(person)), public_id=application_id)
    proposal = getattr(found, "proposed", None)  # at most one waits
    viewings.showing(request, found)
    who, by = standing.application_next(found)
    happened = [event.contract() for event in Event.objects.filter(subject_id=found.public_id)]
    return render(request, "portal/application.html", {
        "application": found,
        "form": found.form,
        "answers": blocks.answers(found),
        "gate": decision_block(found.gate, "What the gate found") if found.gate else None,
        "decide": decide.form_for(found) if decide.may_decide(person, found, proposal) else None,
        "who": who,
        "by": by,
        "allocation": found.allocation if found.state == "granted" else None,
        "waiting_proposal": proposal,
        "known": Known(found),
        "events": blocks.events(happened, expected=(by, sentence(who))),
    })  # fmt: skip
