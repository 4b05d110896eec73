"""Steps whose turn it is and that are a person's to do, the earliest sent first; counted and cut by the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Q

from hanse.contracts.review_steps import StepKind
from hanse.programme.review import steps as order
from hanse.service.access.models import Application, Call, Person
from hanse.service.review import steps
from hanse.service.review.steps import Step
from hanse.service.runs.machines import Machine

OPEN = ("sent", "in-review")


def part(
    person: Person, *, offset: int = 0, limit: int = 100, calls: Iterable[Call] | None = None
) -> tuple[list[tuple[Application, StepKind]], int]:
    """A slice of the queue with the step of each, and how long the whole of it is. `calls` are all, if at hand."""
    rows = of(person, Call.objects.all() if calls is None else calls)
    cut = list(rows.select_related("call", "organisation").order_by("sent_at", "pk")[offset : offset + limit])
    whole = len(cut) < limit and (cut or not offset)
    stands = steps.states_of(cut)
    turns = [(one, steps.turn_of(one, stands[one.pk])) for one in cut]
    return [(one, kind) for one, kind in turns if kind is not None], offset + len(cut) if whole else rows.count()


def of(person: Person, calls: Iterable[Call]) -> Any:
    """The applications that wait for a step of this person's."""
    stands = list(person.memberships.values_list("organisation_id", "role"))
    mine = _mine(person, {host for host, role in stands if role == "operator"})
    rows = Application.objects.filter(state__in=OPEN)
    if not settings.HANSE_EMBEDDED:
        rows = rows.exclude(organisation__in={one for one, _ in stands})
    every, by_steps = Q(pk__in=[]), defaultdict(list)
    for call in calls:
        by_steps[order.kinds(call.terms)].append(call.pk)
    for kinds, keys in by_steps.items():
        for place, kind in enumerate(kinds):
            if kind in mine:
                passed = [Q(_done(one, state="passed")) for one in kinds[:place]]
                turn = Q(mine[kind], ~_done(kind, state__in=("passed", "failed")), *passed, call__in=keys)
                every |= turn
    return rows.filter(every)


def _mine(person: Person, hosts: set[int]) -> dict[StepKind, Q]:
    """By kind of step: of which applications this person does it."""
    joined = dict(Machine.objects.values_list("public_id", "site__organisation"))
    operated = [name for name, host in joined.items() if host in hosts or person.is_superuser]
    found: dict[StepKind, Q] = {"technical": Q(form__machine__in=operated)} if operated else {}
    if person.is_officer:
        elsewhere = ~Q(form__machine__in=list(joined)) if joined else Q()
        found["technical"] = found["technical"] | elsewhere if operated else elsewhere
        again = {kind: Q(_done(kind, state="waiting")) for kind in ("scientific", "panel")}  # opened by redress
        found |= {"administrative": Q(), "scientific": Q(cut_off=None) | again["scientific"], "panel": again["panel"]}
    return found


def _done(kind: StepKind, **what: Any) -> Exists:
    return Exists(Step.objects.filter(application=OuterRef("pk"), kind=kind, **what))
