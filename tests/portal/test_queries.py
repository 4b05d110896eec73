"""How often a page asks the database: at most fifteen times, and no more often where there is more to show."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from benchmarks import portal_pages, portal_world
from benchmarks.portal_bulk import Sizes
from tests.service import permissions

pytestmark = pytest.mark.django_db
MOST = 15
FEW = Sizes(organisations=10, applications=40, runs=40, machines=3, told_runs=40)
MANY = Sizes(organisations=40, applications=160, runs=160, machines=9, told_runs=160)
MORE: dict[str, str] = {
    "/my-data/hanse-my-data.json": "everything of a person: a question to each table",
    "/review/": "every call's lane is read apart",
    "/review/rounds/{call}/{cut_off}/": "conflicts are looked for application by application",
    "/review/steps/{application_id}/{step}/": "",
    "/applications/{application_id}/": "",
}
"""Addresses that ask more often still, and why; those with nothing beside them do not grow."""
GROW = {"review desk, officer", "review desk, operator", "reviewers", "round"}


@pytest.fixture
def on() -> Iterator[permissions.Stage]:
    yield permissions.stage()


def asked(on: permissions.Stage, address: str, role: str) -> int:
    """Of a page that is open to the role."""
    with transaction.atomic():
        with CaptureQueriesContext(connection) as queries:
            status = on.clients[role].get(permissions.filled(address, on.values)).status_code
        transaction.set_rollback(True)
    return len(queries) if status == 200 else 0


def test_every_page_of_the_portal_asks_at_most_fifteen_times(on: permissions.Stage) -> None:
    pages = [act.split()[1] for act in permissions.acts() if act.startswith("GET /") and "/api/" not in act]
    most = {page: max(asked(on, page, role) for role in ("owner", "officer")) for page in pages}
    assert sum(bool(count) for count in most.values()) > 50, "hardly a page was open"
    assert {page: count for page, count in most.items() if count > MOST and page not in MORE} == {}
    assert [page for page in MORE if most[page] <= MOST] == [], "these keep to it now: take them out of MORE"


def counted(sizes: Sizes) -> dict[str, int]:
    with transaction.atomic():
        found = {one.name: one.queries for one in portal_pages.counted(portal_world.filled(sizes))}
        transaction.set_rollback(True)
    return found


def test_a_page_asks_no_more_often_where_there_is_four_times_as_much() -> None:
    few, many = counted(FEW), counted(MANY)
    assert len(few) > 40
    grown = {name: (few[name], many[name]) for name in few if many.get(name, 0) > few[name]}
    assert {name: counts for name, counts in grown.items() if name not in GROW} == {}
