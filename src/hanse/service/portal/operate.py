"""The operator's page of a machine: what runs there and for whom, and the few things an operator does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from hanse.client.answers import NewCode
from hanse.contracts.base import now
from hanse.contracts.errors import HanseError
from hanse.contracts.run import AttemptState
from hanse.reporting.markup import Child, Html
from hanse.reporting.measured import hours
from hanse.reporting.tables import Column, table
from hanse.reporting.words import ATTEMPT_LOOKS, badge, when
from hanse.service.access.enrol import EnrolCode
from hanse.service.access.models import ApiToken
from hanse.service.portal import blocks
from hanse.service.portal import machines as looks
from hanse.service.runs.glance import RUN_CONTRACTS
from hanse.service.runs.models import Attempt, Event, Machine, UsageEntry
from hanse.service.runs.operating import operate
from hanse.service.runs.operators import may_operate

EVENTS = 30
SAID = {
    "drain": "{} is draining: nothing new is submitted.",
    "undrain": "{} is open again.",
    "stop": "All of Hanse is being stopped on {}.",
    "go-on": "Hanse may work on {} again.",
}


def _machine(request: HttpRequest, machine_id: str) -> Machine:
    found = get_object_or_404(Machine.objects.select_related("site__organisation"), public_id=machine_id)
    if not may_operate(request.user, found):
        raise PermissionDenied
    return found


@login_required
def operator(request: HttpRequest, machine_id: str) -> HttpResponse:
    return _page(request, _machine(request, machine_id))


@never_cache
@login_required
@require_POST
def code(request: HttpRequest, machine_id: str) -> HttpResponse:
    """A one-time code for the machine's agent, in the one page that ever shows it."""
    machine = _machine(request, machine_id)
    return _page(request, machine, EnrolCode.issue(machine, by=request.user.username))


def _page(request: HttpRequest, machine: Machine, issued: NewCode | None = None) -> HttpResponse:
    at = now()
    whose = machine.open_attempts().select_related("leg__run__project", "leg__run__created_by").order_by("pk")
    going = list(whose.defer("ticket", *(f"leg__run__{name}" for name in RUN_CONTRACTS)))
    return render(request, "portal/operator.html", {
        "machine": machine,
        "name": looks.name_of(machine),
        "look": looks.look_of(machine, at),
        "standing": looks.standing(machine, at),
        "today": _today(machine),
        "jobs": _jobs(going) if going else None,
        "unknown": [one for one in going if one.state == AttemptState.UNKNOWN],
        "unanswered": [one for one in going if one.state != AttemptState.UNKNOWN and machine.away_since and one.job_id],
        "issued": issued,
        "address": request.build_absolute_uri("/").rstrip("/"),
        "bricks": looks.bricks(machine.state),
        "queues": looks.queues(machine.state),
        "bad_nodes": looks.bad_nodes(machine.state),
        "maintenance": looks.maintenance(machine.state, at),
        "tokens": ApiToken.objects.filter(machine=machine, revoked_at=None),
        "events": _events(machine, going),
    })  # fmt: skip


@login_required
@require_POST
def act(request: HttpRequest, machine_id: str) -> HttpResponse:
    machine, asked = _machine(request, machine_id), request.POST.get("act", "")
    if asked == "stop" and request.POST.get("confirm", "").strip() != machine.public_id:
        messages.error(request, f"Nothing was stopped: type {machine.public_id} to confirm.")
    else:
        _do(request, lambda: operate(machine, asked, by=request.user, because=request.POST.get("because", "")),
            SAID.get(asked, "{}").format(looks.name_of(machine)))  # fmt: skip
    return redirect("portal:operator", machine_id=machine.public_id)


@login_required
@require_POST
def gone(request: HttpRequest, machine_id: str, attempt_id: str) -> HttpResponse:
    """A person's word that a job nobody can find is gone; its run then goes on."""
    machine = _machine(request, machine_id)
    found: Any = get_object_or_404(Attempt, public_id=attempt_id, leg__machine=machine)
    because = request.POST.get("because", "")
    _do(request, lambda: found.declare_gone(request.user, because), f"Attempt {found.number} is closed.")
    return redirect("portal:operator", machine_id=machine.public_id)


@login_required
@require_POST
def revoke(request: HttpRequest, machine_id: str, token_id: int) -> HttpResponse:
    machine = _machine(request, machine_id)
    token = get_object_or_404(ApiToken, pk=token_id, machine=machine)
    token.revoke(by=request.user.username, reason="revoked by an operator")
    messages.success(request, f"{token.name} opens nothing any more.")
    return redirect("portal:operator", machine_id=machine.public_id)


def _do(request: HttpRequest, wanted: Any, said: str) -> None:
    try:
        wanted()
        messages.success(request, said)
    except HanseError as refused:
        messages.error(request, " ".join(part for part in (f"{refused.what}.", refused.fix) if part))


def _jobs(going: list[Attempt]) -> Html:
    rows: list[tuple[Child, ...]] = [
        (
            one.leg.run.name,
            badge(ATTEMPT_LOOKS[AttemptState(one.state)]),
            one.leg.run.created_by.display_name,
            one.leg.run.project.name,
            one.job_id or "",
            f"{one.job.nodes:,}",
            when(one.started_at) if one.started_at else "",
            hours(one.accelerator_seconds),
        )
        for one in going
    ]
    return table(
        ("Run", "State", "For", "Project", "Job", Column("Nodes", True), "Since", Column("GPU-hours", True)), rows
    )


def _today(machine: Machine) -> str:
    midnight = timezone.localtime(now()).replace(hour=0, minute=0, second=0, microsecond=0)
    entries = UsageEntry.objects.filter(recorded_at__gte=midnight, attempt__isnull=False, allocation__machine=machine)
    charged = entries.aggregate(sum=Sum("accelerator_seconds"))["sum"] or 0
    return f"{hours(charged)} GPU-hours were charged today."


def _events(machine: Machine, going: list[Attempt]) -> Html | None:
    about = [machine.public_id, *(one.public_id for one in going)]
    recent = Event.objects.filter(subject_id__in=about, at__gt=now() - timedelta(days=30)).order_by("-pk")[:EVENTS]
    happened = [event.contract() for event in reversed(recent)]
    return blocks.events(happened, numbers={one.public_id: one.number for one in going}) if happened else None
