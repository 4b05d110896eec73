"""Steps whose turn it is and that are a person's to do, the earliest sent first; counted and cut by the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.db.models.fields.json import KeyTextTransform

from hanse.contracts.review_steps import StepKind, StepState
from hanse.programme.review import steps as order
from hanse.service.access.models import Application, Call, Person
from hanse.service.review import steps
from hanse.service.review.steps import OPEN, Step
from hanse.service.runs.machines import Machine


def part(person: Person, *, offset: int = 0, limit: int = 100) -> tuple[list[tuple[Application, StepKind]], int]:
    """A slice of the queue with the step of each, and how long the whole of it is."""
    keys = list(of(person, Call.objects.all()).order_by("sent_at", "pk").values_list("pk", flat=True))
    rows = Application.objects.select_related("call", "organisation").in_bulk(keys[offset : offset + limit])
    cut = [rows[key] for key in keys[offset : offset + limit] if key in rows]
    stands = steps.states_of(cut)
    turns = [(one, steps.turn_of(one, stands[one.pk])) for one in cut]
    return [(one, kind) for one, kind in turns if kind is not None], len(keys)


def briefly(
    person: Person, *, limit: int, calls: Iterable[Call], stands: Mapping[Any, Mapping[StepKind, StepState]]
) -> tuple[list[tuple[Any, StepKind]], int]:
    """The first of the queue as a page's lines show them: of a form, which is long, the `title` alone is read."""
    by_key = {one.pk: one for one in calls}
    keys = list(of(person, by_key.values()).order_by("sent_at", "pk").values_list("pk", flat=True))
    rows = Application.objects.filter(pk__in=keys[:limit]).annotate(title=KeyTextTransform("title", "form"))
    shown = rows.select_related("organisation").defer("form", "reason").order_by("sent_at", "pk") if keys else ()
    turns = [(one, order.turn(by_key[one.call_id].terms, stands.get(one.pk, {}))) for one in shown]
    return [(one, kind) for one, kind in turns if kind is not None], len(keys)


def of(person: Person, calls: Iterable[Call]) -> Any:
    """The applications that wait for a step of this person's."""
    mine = _mine(person)
    rows = Application.objects.filter(state__in=OPEN)
    if not settings.HANSE_EMBEDDED:
        rows = rows.exclude(organisation__in=person.memberships.values("organisation"))
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


def _mine(person: Person) -> dict[StepKind, Q]:
    """By kind of step: of which applications this person does it."""
    runs = Exists(person.memberships.filter(organisation=OuterRef("site__organisation"), role="operator"))
    joined = dict(Machine.objects.annotate(runs=runs).order_by().values_list("public_id", "runs"))
    operated = [name for name, mine in joined.items() if mine or person.is_superuser]
    found: dict[StepKind, Q] = {"technical": Q(facts__machine__in=operated)} if operated else {}
    if person.is_officer:
        elsewhere = ~Q(facts__machine__in=list(joined)) if joined else Q()
        found["technical"] = found["technical"] | elsewhere if operated else elsewhere
        again = {kind: Q(_done(kind, state="waiting")) for kind in ("scientific", "panel")}  # opened by redress
        found |= {"administrative": Q(), "scientific": Q(cut_off=None) | again["scientific"], "panel": again["panel"]}
    return found


def _done(kind: StepKind, **what: Any) -> Exists:
    return Exists(Step.objects.filter(application=OuterRef("pk"), kind=kind, **what))
