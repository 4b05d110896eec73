"""A small round for tests: an officer, applications of one cut-off, reviewers, and their scores."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group
from django.test import Client

from hanse.contracts.programme import CallTerms
from hanse.programme.review import rules
from hanse.service.access.models import Application, Call, Organisation, Person
from hanse.service.access.people import OFFICERS
from hanse.service.review import rounds
from hanse.service.review.models import Assignment, Reviewer
from tests.portal import seed

CUT_OFF = datetime(2026, 11, 2, 9, tzinfo=UTC)
AFTER = CUT_OFF + timedelta(days=30)
DUE = date(2026, 11, 16)
NAMES = [one.id for one in rules.default().criteria]
GOOD = dict.fromkeys(NAMES, "well argued")


def an_officer(name: str = "olga") -> Person:
    made = seed.person(name)
    made.groups.add(Group.objects.get_or_create(name=OFFICERS)[0])
    return made


def a_call(**changes: Any) -> Call:
    """The playground's terms under version 1, with changes."""
    terms: CallTerms = seed.call().terms.model_copy(update={"id": "a-call", **changes})
    return Call.objects.get_or_create(call_id="a-call", version=1, defaults={"terms": terms})[0]


def entries(count: int, *, call: Call | None = None, cut_off: datetime | None = CUT_OFF) -> list[Application]:
    """Applications of as many firms, sent an hour apart."""
    ida = Person.objects.filter(username="ida").first() or seed.person("ida")
    made = []
    for number in range(count):
        one = seed.application(ida, title=f"Model {number}")
        house = Organisation.objects.get_or_create(name=f"Firm {number}", defaults={"kind": "sme", "country": "DK"})[0]
        sent = CUT_OFF - timedelta(hours=100 - number)
        Application.objects.filter(pk=one.pk).update(
            organisation=house, cut_off=cut_off, sent_at=sent, call=call or one.call, decide_by=None
        )
        made.append(Application.objects.get(pk=one.pk))
    return made


def reviewers(count: int, officer: Person, **houses: str) -> list[Reviewer]:
    return [
        Reviewer.enlist(
            seed.person(f"rev{n}"), organisation=houses.get(f"rev{n}", f"University {n}"), keywords=(), by=officer
        )
        for n in range(count)
    ]


def score(given: Assignment, points: int) -> None:
    given.send(given.reviewer.person, points=dict.fromkeys(NAMES, points), comments=GOOD)


def scored_round(officer: Person, points: list[int], **more: Any) -> list[Application]:
    """A round in which every reviewer gave the nth application so many points in each criterion."""
    made = entries(len(points), **more)
    people = reviewers(2, officer)
    Application.objects.filter(pk__in=[one.pk for one in made]).update(state="in-review")
    Assignment.objects.bulk_create(
        Assignment(
            application=one,
            reviewer=who,
            due_on=DUE,
            state="sent",
            points=dict.fromkeys(NAMES, given),
            comments=GOOD,
            sent_at=CUT_OFF + timedelta(days=7),
        )
        for one, given in zip(made, points, strict=True)
        for who in people
    )
    return [Application.objects.get(pk=one.pk) for one in made]


def closed_round(officer: Person, points: list[int], *, places: int, **more: Any) -> list[Application]:
    made = scored_round(officer, points, **more)
    rounds.close(made[0].call.call_id, CUT_OFF, by=officer, places=places, at=AFTER)
    return made


def api(person: Person) -> Any:
    client = Client()
    client.force_login(person)
    return client


def post(client: Any, path: str, body: Any = None) -> Any:
    return client.post(f"/api/v1/{path}", body or {}, content_type="application/json")
