"""The federation page: every machine with its load, what of the reader's runs there, and what is granted there."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.cache import patch_cache_control

from hanse.contracts.base import now
from hanse.contracts.run import FINAL_ATTEMPT_STATES, AttemptState
from hanse.reporting.measured import hours
from hanse.reporting.words import ATTEMPT_LOOKS, badge, plural
from hanse.service.access.models import Allocation
from hanse.service.portal import machines as looks
from hanse.service.runs.glance import RUN_CONTRACTS
from hanse.service.runs.models import Attempt, Machine, Run
from hanse.service.runs.operators import operated


@login_required
def federation(request: HttpRequest) -> HttpResponse:
    body = _body(request)
    return render(request, "portal/federation.html", {"summary": _summary(), **_wrapped(body)})


@login_required
def live(request: HttpRequest) -> HttpResponse:
    """The part of the page that changes; 304 while nothing did."""
    made = _wrapped(_body(request))
    if request.headers.get("If-None-Match") == made["tag"]:
        return HttpResponseNotModified(headers={"ETag": made["tag"]})
    response = render(request, "portal/federation_live.html", made)
    response["ETag"] = made["tag"]
    patch_cache_control(response, private=True, no_cache=True)
    return response


def _wrapped(body: str) -> dict[str, Any]:
    tag = f'"{hashlib.sha256(body.encode()).hexdigest()[:24]}"'
    return {"body": body, "tag": tag, "poll_headers": json.dumps({"If-None-Match": tag})}


def _body(request: HttpRequest) -> str:
    person = request.user
    mine: dict[int, list[Any]] = {}
    for one in (
        Attempt.objects.filter(leg__run__in=Run.objects.seen_by(person)).exclude(state__in=FINAL_ATTEMPT_STATES)
        .select_related("leg__run").defer("ticket", *(f"leg__run__{name}" for name in RUN_CONTRACTS)).order_by("pk")
    ):  # fmt: skip
        mine.setdefault(one.machine_id, []).append(
            (one, badge(ATTEMPT_LOOKS[AttemptState(one.state)]), plural(one.job.nodes, "node"))
        )
    held: dict[int, list[Any]] = {}
    open_ones = Allocation.objects.seen_by(person).with_balance().filter(ends__gte=now().date())
    for allocation in open_ones.select_related("project", "machine", "award"):
        left = hours(max(0, allocation.contract().free_accelerator_seconds))
        held.setdefault(allocation.machine_id, []).append((allocation, left))
    known = list(Machine.objects.select_related("site__organisation"))
    waited, operates = looks.waited(now()), operated(person, known)
    cards = [
        looks.shown(machine, waited.get(machine.pk, {}))
        | {
            "mine": mine.get(machine.pk, []),
            "allocations": held.get(machine.pk, []),
            "operates": machine.public_id in operates,
        }
        for machine in known
    ]
    cards.sort(key=lambda card: (not card["mine"], not card["allocations"], card["name"]))
    return render_to_string("portal/federation_body.html", {"cards": cards}, request=request)


def _summary() -> str:
    known = list(Machine.objects.select_related("site"))
    away = sum(machine.away for machine in known)
    idle = sum(p.nodes_idle for m in known if m.state for p in m.state.partitions)
    if not known:
        return "No machine has joined yet."
    silent = f", {plural(away, 'agent is', 'agents are')} away" if away else ""
    free = f"; {plural(idle, 'node is', 'nodes are')} idle as last told" if any(m.state for m in known) else ""
    return f"{plural(len(known), 'machine')}{silent}{free}."
