"""Runs as a list shows them, page by page: of the contracts stored beside, only the number of steps is read.

A list is what people and programs look at most; it is made of four queries of bare values, whatever its length.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.db.models import F, IntegerField, Max, Q, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce

from hanse.client.summary import RunSummary
from hanse.contracts.run import FINAL_ATTEMPT_STATES
from hanse.service.runs.attempts import Attempt
from hanse.service.runs.legs import Leg
from hanse.service.runs.usage import UsageEntry


def rows(runs: Any) -> Any:
    """Of a queryset of runs, what `summaries` reads."""
    steps = Cast(KeyTextTransform("steps", "plan"), IntegerField())
    return runs.annotate(planned_steps=steps).values_list(
        "pk", "public_id", "name", "state", "created_at", "planned_steps"
    )


def summaries(part: list[Any]) -> tuple[RunSummary, ...]:
    """A page of `rows`; what a run has used is what was debited and what its open attempts have held so far."""
    pks = [row[0] for row in part]
    machines: dict[int, list[str]] = defaultdict(list)
    legs = Leg.objects.filter(run__in=pks).order_by("run", "number")
    for run, machine in legs.values_list("run_id", "machine__public_id"):
        machines[run].append(machine)
    attempts = Attempt.objects.filter(leg__run__in=pks).order_by()
    held = Sum("accelerator_seconds", filter=~Q(state__in=FINAL_ATTEMPT_STATES))
    so_far = {
        run: (step, seconds)
        for run, step, seconds in attempts.values(run=F("leg__run_id"))
        .annotate(step=Coalesce(Max("last_step"), 0), held=Coalesce(held, 0))
        .values_list("run", "step", "held")
    }
    entries = UsageEntry.objects.filter(attempt__leg__run__in=pks).order_by()
    debited = dict(
        entries.values(run=F("attempt__leg__run_id"))
        .annotate(seconds=Sum("accelerator_seconds"))
        .values_list("run", "seconds")
    )
    found = []
    for pk, public_id, name, state, created_at, steps in part:
        step, seconds = so_far.get(pk, (0, 0))
        found.append(
            RunSummary(
                id=public_id, name=name, state=state, step=step, steps=steps or 0,
                used_accelerator_seconds=max(0, debited.get(pk, 0) + seconds), machines=tuple(machines[pk]),
                created_at=created_at,
            )
        )  # fmt: skip
    return tuple(found)
