"""How often a page asks the database: at most fifteen times for whoever may see it, however much there is to show."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from benchmarks import portal_pages, portal_world
from benchmarks.portal_bulk import Sizes
from tests.service import permissions

pytestmark = pytest.mark.django_db
MOST = 15
MORE = {"/my-data/hanse-my-data.json": "all that is kept of a person, once in a while: a question to each table"}
"""Addresses that ask more often, and why."""
EMPTY = 3
"""Questions that are not asked where the smaller world has nothing yet; one for each thing would be many more."""
FEW = Sizes(organisations=10, applications=60, runs=40, machines=3, told_runs=40)
MANY = Sizes(organisations=40, applications=240, runs=160, machines=9, told_runs=160)


def pages() -> dict[str, list[str]]:
    """Every address outside the API that is answered with a page, and the roles that see it."""
    found: dict[str, list[str]] = {}
    for act, answers in permissions.table().items():
        method, address = act.split()
        if method == "GET" and not address.startswith(("/api/", "/admin/")):
            roles = [role for role, one in zip(permissions.ROLES, answers, strict=True) if one == "200"]
            found[address] = [role for role in roles if role != "agent"]  # its token opens no page: as nobody
    return {address: roles for address, roles in found.items() if roles}


def asked(on: permissions.Stage, address: str, role: str) -> int:
    cache.clear()
    with transaction.atomic():
        with CaptureQueriesContext(connection) as queries:
            status = on.clients[role].get(permissions.filled(address, on.values)).status_code
        transaction.set_rollback(True)
    assert status == 200, f"{address} answers {role} with {status}"
    return len(queries)


def test_every_page_asks_at_most_fifteen_times_for_each_role_that_sees_it() -> None:
    on = permissions.stage()
    counts = {address: {role: asked(on, address, role) for role in roles} for address, roles in pages().items()}
    assert len(counts) > 90
    over = {address: by_role for address, by_role in counts.items() if max(by_role.values()) > MOST}
    assert {address: by_role for address, by_role in over.items() if address not in MORE} == {}
    assert over.keys() == MORE.keys(), "these keep to it now: take them out of MORE"


def counted(sizes: Sizes) -> dict[str, int]:
    """Of every page that the world has something for."""
    with transaction.atomic():
        every = portal_pages.counted(portal_world.filled(sizes))
        found = {one.name: one.queries for one in every if one.status == 200}
        transaction.set_rollback(True)
    return found


def test_no_page_asks_more_often_where_there_is_four_times_as_much() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("the second world's keys meet sequences that no rollback takes back")
    few, many = counted(FEW), counted(MANY)
    assert len(few) > 40
    assert {name: count for name, count in many.items() if count > MOST} == {}
    assert {name: (few[name], many[name]) for name in few if many.get(name, 0) > few[name] + EMPTY} == {}
