"""`/metrics` for Prometheus: what the database says at the moment of the scrape, and how long this process answers.

Counts come from the database, so that any process gives the same; times are of one process, or of all of them where
PROMETHEUS_MULTIPROC_DIR names a folder. Open to this machine, or to whoever brings HANSE_METRICS_TOKEN.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from hanse.contracts.base import now
from hanse.contracts.run import AttemptState, RunState
from hanse.service import health

_process = CollectorRegistry()
_EDGES_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_requests = Histogram(
    "hanse_request_duration_seconds", "Time to answer, by kind of caller.", ("kind",), registry=_process,
    buckets=_EDGES_S,
)  # fmt: skip
_syncs = Histogram(
    "hanse_sync_duration_seconds", "Time to answer an agent's sync.", registry=_process, buckets=_EDGES_S
)


def answered(method: str, route: str, took_s: float) -> None:
    """Note how long an answer took; called by the middleware."""
    kind = "agent" if route.startswith("api/agent/") else "api" if route.startswith("api/") else "page"
    _requests.labels(kind).observe(took_s)
    if kind == "agent" and method == "POST" and route.rstrip("/").endswith("sync"):
        _syncs.observe(took_s)


def scrape(request: HttpRequest) -> HttpResponse:
    if not _may_read(request):
        return HttpResponse("not for you\n", status=403, content_type="text/plain")
    text = generate_latest(_times()) + generate_latest(_stored())
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


def _may_read(request: HttpRequest) -> bool:
    """Behind a proxy every caller has this machine's address, so there only the token counts."""
    if token := settings.HANSE_METRICS_TOKEN:
        return hmac.compare_digest(request.headers.get("Authorization", "").encode(), f"Bearer {token}".encode())
    forwarded = settings.HANSE_BEHIND_PROXY or "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
    return not forwarded and request.META.get("REMOTE_ADDR") in {"127.0.0.1", "::1"}


def _times() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return _process
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def _stored() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Stored())
    return registry


class _Stored(Collector):
    """Everything that is counted in the database, in a fixed number of queries."""

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        from hanse.service.runs.models import Attempt, Machine, Run, UsageEntry

        at = now()
        counted = dict(Run.objects.order_by().values_list("state").annotate(count=Count("pk")))
        runs = GaugeMetricFamily("hanse_runs", "Runs by state.", labels=["state"])
        for state in RunState:
            runs.add_metric([state.value], counted.get(state.value, 0))
        yield runs
        machines = list(Machine.objects.only("public_id", "last_heard_at", "draining", "stopped"))
        by_machine = {
            (machine, state): count
            for machine, state, count in Attempt.objects.order_by().values_list("leg__machine__public_id", "state")
            .annotate(count=Count("pk"))
        }  # fmt: skip
        attempts = GaugeMetricFamily("hanse_attempts", "Attempts by machine and state.", labels=["machine", "state"])
        heard = GaugeMetricFamily("hanse_agent_last_heard_seconds", "Since an agent spoke.", labels=["machine"])
        closed = GaugeMetricFamily("hanse_machine_closed", "1 while drained or stopped.", labels=["machine"])
        for machine in machines:
            for state in AttemptState:
                attempts.add_metric(
                    [machine.public_id, state.value], by_machine.get((machine.public_id, state.value), 0)
                )
            if machine.last_heard_at:
                heard.add_metric([machine.public_id], (at - machine.last_heard_at).total_seconds())
            closed.add_metric([machine.public_id], int(machine.draining or machine.stopped))
        yield from (attempts, heard, closed)
        yield _longest_wait(Attempt, at)
        used = GaugeMetricFamily(
            "hanse_accelerator_seconds", "Charged in the ledger, corrections included.", labels=["machine"]
        )
        sums = UsageEntry.objects.order_by().values_list("allocation__machine__public_id")
        for name, total in sums.annotate(sum=Sum("accelerator_seconds")):
            used.add_metric([name], total or 0)
        yield used
        if ticked := health.last_tick():
            age_s = (at - ticked).total_seconds()
            yield GaugeMetricFamily("hanse_tick_age_seconds", "Since the timed work was done.", value=age_s)
        failing = GaugeMetricFamily(
            "hanse_chore_failed", "1 for a chore that failed in the last tick.", labels=["chore"]
        )
        for name in health.failed_chores():
            failing.add_metric([name], 1)
        yield failing


def _longest_wait(attempts: Any, at: Any) -> GaugeMetricFamily:
    wait = GaugeMetricFamily("hanse_queue_wait_seconds", "Longest present wait for a start.", labels=["machine"])
    waiting = attempts.objects.filter(state__in=(AttemptState.PLANNED, AttemptState.QUEUED)).order_by("-planned_at")
    oldest = dict(waiting.values_list("leg__machine__public_id", "planned_at"))
    for name, planned_at in oldest.items():
        wait.add_metric([name], (at - planned_at).total_seconds())
    return wait
