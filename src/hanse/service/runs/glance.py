"""Runs as a list shows them, page by page: of the contracts stored beside, only the number of steps is read.

A list is what people and programs look at most; it is made of four queries of bare values, whatever its length.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import F, IntegerField, Max, Prefetch, Q, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce

from hanse.client.summary import RunSummary
from hanse.contracts.run import FINAL_ATTEMPT_STATES, RunState
from hanse.service.runs.attempts import Attempt
from hanse.service.runs.legs import Leg
from hanse.service.runs.lifecycle import Run
from hanse.service.runs.machines import MACHINE_CONTRACTS
from hanse.service.runs.parcels import Parcel
from hanse.service.runs.usage import UsageEntry

RUN_CONTRACTS = ("spec", "plan", "admission", "result", "placement")
"""Columns that take long to read; a page that only names a run leaves them."""


def rows(runs: Any) -> Any:
    """Of a queryset of runs, what `summaries` reads."""
    steps = Cast(KeyTextTransform("steps", "plan"), IntegerField())
    return runs.annotate(planned_steps=steps).values_list(
        "pk", "public_id", "name", "state", "created_at", "planned_steps"
    )


def summaries(part: list[Any]) -> tuple[RunSummary, ...]:
    """A page of `rows`; what a run has used is what was debited and what its open attempts have held so far."""
    so_far = _so_far([row[0] for row in part])
    return tuple(
        RunSummary(
            id=public_id, name=name, state=state, step=so_far[pk].step, steps=steps or 0,
            used_accelerator_seconds=so_far[pk].used, machines=tuple(so_far[pk].machines), created_at=created_at,
        )
        for pk, public_id, name, state, created_at, steps in part
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A run as a line of a page shows it."""

    public_id: str
    name: str
    purpose: str
    is_program: bool
    """Its user's own, instead of a model of ours."""
    state: RunState
    reason: str
    step: int
    steps: int
    places: tuple[str, ...]
    """Names of machines, as people know them."""
    used_accelerator_seconds: int
    ended_at: datetime | None


def lines(runs: Any) -> list[Line]:
    """Of a slice of a queryset of runs, in its order."""
    purpose, command = KeyTextTransform("purpose", "spec"), KeyTextTransform("command", "spec")
    steps = Cast(KeyTextTransform("steps", "plan"), IntegerField())
    part = list(
        runs.annotate(planned_steps=steps, purpose=purpose, command=command).values(
            "pk", "public_id", "name", "state", "reason", "ended_at", "planned_steps", "purpose", "command"
        )
    )
    so_far = _so_far([row["pk"] for row in part])
    return [
        Line(
            public_id=row["public_id"], name=row["name"], purpose=row["purpose"] or "",
            is_program=row["command"] is not None, state=RunState(row["state"]), reason=row["reason"],
            step=so_far[row["pk"]].step, steps=row["planned_steps"] or 0, places=tuple(so_far[row["pk"]].places),
            used_accelerator_seconds=so_far[row["pk"]].used, ended_at=row["ended_at"],
        )
        for row in part
    ]  # fmt: skip


class _SoFar(NamedTuple):
    step: int
    used: int
    machines: list[str]
    places: list[str]


def _so_far(pks: list[int]) -> dict[int, _SoFar]:
    """Three queries, however many there are."""
    machines: dict[int, list[str]] = defaultdict(list)
    places: dict[int, list[str]] = defaultdict(list)
    name = KeyTextTransform("name", "machine__facts")
    legs = Leg.objects.filter(run__in=pks).order_by("run", "number").annotate(place=name)
    for run, machine, place in legs.values_list("run_id", "machine__public_id", "place"):
        machines[run].append(machine)
        places[run].append(place or machine)
    attempts = Attempt.objects.filter(leg__run__in=pks).order_by()
    held = Sum("accelerator_seconds", filter=~Q(state__in=FINAL_ATTEMPT_STATES))
    of_attempts = {
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
    return {
        pk: _SoFar(
            of_attempts.get(pk, (0, 0))[0], max(0, debited.get(pk, 0) + of_attempts.get(pk, (0, 0))[1]),
            machines[pk], places[pk],
        )
        for pk in pks
    }  # fmt: skip


def seen_by(person: Any) -> Any:
    """The person's runs, found by their keys alone: to make wide rows distinct would read every contract of theirs."""
    return Run.objects.filter(pk__in=Run.objects.seen_by(person).order_by().values("pk"))


def closely(runs: Any) -> Any:
    """With all that a run's own page reads of legs, machines, attempts and parcels, in five queries."""
    unread = [f"{end}__{name}" for end in ("from_machine", "to_machine") for name in MACHINE_CONTRACTS]
    attempts = Attempt.objects.select_related("after").defer("ticket", "after__ticket", "after__job")
    return runs.select_related("project__organisation", "created_by", "code").prefetch_related(
        Prefetch("legs", Leg.objects.select_related("machine__site", "allocation")),
        Prefetch("legs__attempts", attempts),
        "legs__attempts__usage",
        Prefetch("parcels", Parcel.objects.select_related("from_machine", "to_machine").defer(*unread)),
    )
