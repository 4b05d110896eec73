"""Applications as lists show them: of a form and its call, which are long, only the few values of a line are read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import IntegerField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from hanse.contracts.programme import ApplicationState
from hanse.service.access.models import Application


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """An application as a line shows it. Hours are GPU-hours."""

    public_id: str
    state: ApplicationState
    title: str
    organisation: str
    call: str
    machine: str
    gpu_hours: int
    decide_by: datetime | None


def seen_by(person: Any) -> Any:
    """The person's applications, found by their keys alone: to make forms distinct would read each of them."""
    if person.is_officer:
        return Application.objects.all()
    return Application.objects.filter(pk__in=Application.objects.seen_by(person).order_by().values("pk"))


def briefly(applications: Any) -> list[Brief]:
    """Of a slice of a queryset of applications, in its order; one query."""
    rows = applications.annotate(
        title=KeyTextTransform("title", "form"),
        wanted=KeyTextTransform("machine", "form"),
        asked=Cast(KeyTextTransform("gpu_hours", "form"), IntegerField()),
        named=KeyTextTransform("title", "call__terms"),
    ).values_list("public_id", "state", "title", "organisation__name", "named", "wanted", "asked", "decide_by")
    return [
        Brief(
            public_id=public_id, state=state, title=title, organisation=organisation, call=call, machine=machine,
            gpu_hours=hours, decide_by=decide_by,
        )
        for public_id, state, title, organisation, call, machine, hours, decide_by in rows
    ]  # fmt: skip
