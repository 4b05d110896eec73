"""Persons, calls and drafts of this room's tests; dates are given, never today's."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.test import Client

from hanse.contracts.application import Draft
from hanse.contracts.base import now
from hanse.contracts.programme import CallTerms
from hanse.rules import gate
from hanse.service.access.models import Call, Person
from hanse.service.access.people import OFFICERS
from hanse.service.forms.models import KeptDraft
from tests.portal import seed
from tests.programme.test_form import DRAFT

SECTIONS = ("project", "applicant", "organisation", "compute", "workflow", "data", "declarations")


def terms(**changes: Any) -> CallTerms:
    """A call that is always open and asks for most sections."""
    given: dict[str, Any] = {
        "id": "fast-lane", "mode": "fast-lane", "title": "Fast lane", "summary": "Up to 50,000 GPU-hours.",
        "opens": date(2026, 1, 1), "min_gpu_hours": 1, "max_gpu_hours": 50_000, "durations_months": (1, 2, 3),
        "who": ("start-up", "sme"), "decision_working_days": 4, "sections": SECTIONS,
    }  # fmt: skip
    return CallTerms.model_validate(given | changes)


def publish(**changes: Any) -> Call:
    return Call.publish(terms(**changes), by="test")


def officer(name: str = "otto") -> Person:
    from django.contrib.auth.models import Group

    made = seed.person(name)
    made.groups.add(Group.objects.get_or_create(name=OFFICERS)[0])
    return made


def signed_in(person: Person) -> Client:
    client = Client()
    client.force_login(person)
    return client


def ready(**changes: Any) -> Draft:
    """A draft with nothing open for `terms()`."""
    answers = {one.id: False for one in gate.questions(now().date())}
    return DRAFT.model_copy(update={"call_version": 1, "answers": answers, **changes})


def kept(person: Person, draft: Draft | None = None) -> KeptDraft:
    return KeptDraft.begin(person, draft or Draft(call="fast-lane", call_version=1))


def post(client: Client, draft: KeptDraft, section: str, *, revision: int | None = None, **typed: str) -> Any:
    """Save a section as its form does; double underscores in names stand for dots."""
    data = {name.replace("__", "."): text for name, text in typed.items()}
    seen = KeptDraft.objects.get(pk=draft.pk).revision if revision is None else revision
    return client.post(f"/drafts/{draft.public_id}/{section}/", {"revision": seen, **data})
