"""Steps whose turn it is and that are a person's to do, the earliest sent first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.db.models.fields.json import KeyTextTransform

from hanse.contracts.review_steps import StepKind, StepState
from hanse.programme.review import steps as order
from hanse.service.access.models import Application, Call, Person
from hanse.service.review import steps
from hanse.service.review.steps import OPEN
from hanse.service.runs.machines import Machine


def part(person: Person, *, offset: int = 0, limit: int = 100) -> tuple[list[tuple[Application, StepKind]], int]:
    """A slice of the queue with the step of each, and how long the whole of it is."""
    turns = _turns(person, Call.objects.all(), steps.states_of_open())
    cut = turns[offset : offset + limit]
    rows = Application.objects.select_related("call", "organisation").in_bulk([key for key, _ in cut])
    return [(rows[key], kind) for key, kind in cut if key in rows], len(turns)


def briefly(
    person: Person, *, limit: int, calls: Iterable[Call], stands: Mapping[Any, Mapping[StepKind, StepState]]
) -> tuple[list[tuple[Any, StepKind]], int]:
    """The first of the queue as a page's lines show them: of a form, which is long, the `title` alone is read."""
    turns = _turns(person, calls, stands)
    cut = turns[:limit]
    rows = Application.objects.annotate(title=KeyTextTransform("title", "form"))
    rows = rows.select_related("organisation").defer("form", "reason")
    shown = rows.in_bulk([key for key, _ in cut])
    return [(shown[key], kind) for key, kind in cut if key in shown], len(turns)


def _turns(
    person: Person, calls: Iterable[Call], stands: Mapping[Any, Mapping[StepKind, StepState]]
) -> list[tuple[Any, StepKind]]:
    """The keys of applications that wait for a step of this person's, and which, the earliest sent first.

    Of the applications that are open, a few columns are read, and the rule itself says whose turn it is: as one
    condition of the database it took half a second for 1,500 of them.
    """
    mine, terms = _mine(person), {one.pk: one.terms for one in calls}
    rows = Application.objects.filter(state__in=OPEN, call__in=terms)
    if not settings.HANSE_EMBEDDED:
        rows = rows.exclude(organisation__in=person.memberships.values("organisation"))
    found = []
    read = rows.order_by("sent_at", "pk").values_list("pk", "call", "cut_off", "facts__machine")
    for key, call, cut_off, machine in read:
        states = stands.get(key, {})
        kind = order.turn(terms[call], states)
        if kind is not None and mine.do(kind, in_round=cut_off is not None, machine=machine, opened=kind in states):
            found.append((key, kind))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mine:
    """Which steps are this person's."""

    officer: bool
    operated: frozenset[str]
    joined: frozenset[str]

    def do(self, kind: StepKind, *, in_round: bool, machine: str | None, opened: bool) -> bool:
        """`opened`: the step has a row of its own, as one that redress opened anew."""
        if kind == "technical":
            return machine in self.operated or (self.officer and machine not in self.joined)
        if kind == "scientific":
            return self.officer and (opened or not in_round)
        return self.officer and (kind == "administrative" or opened)


def _mine(person: Person) -> _Mine:
    runs = Exists(person.memberships.filter(organisation=OuterRef("site__organisation"), role="operator"))
    joined = dict(Machine.objects.annotate(runs=runs).order_by().values_list("public_id", "runs"))
    operated = frozenset(name for name, mine in joined.items() if mine or person.is_superuser)
    return _Mine(officer=person.is_officer, operated=operated, joined=frozenset(joined))
