"""Every address and every operation, for every role: who is let in, who is led to sign in, for whom it is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client

from hanse.contracts.errors import PolicyError
from hanse.service import policy
from hanse.service.access.models import Membership, Person
from hanse.service.policy import ACTS, may
from tests.service import permissions
from tests.service.fixtures import World
from tools import policy_page

pytestmark = pytest.mark.django_db
DOCS = Path(__file__).parents[2] / "docs" / "reference" / "permissions.md"


@pytest.fixture
def on() -> Iterator[permissions.Stage]:
    yield permissions.stage()


def test_every_address_and_operation_answers_every_role_as_was_judged(on: permissions.Stage) -> None:
    judged, acts = permissions.table(), permissions.acts()
    lacking = [act for act in acts if act not in judged]
    assert not lacking, f"no line in permissions.txt (python tools/permissions.py prints them): {lacking}"
    assert not set(judged) - set(acts), "permissions.txt has lines of what is no more"
    wrong = []
    for act in acts:
        seen = permissions.answers(on, act)
        wrong += [
            f"{act}: {role} is answered {given}, not {right}"
            for role, given, right in zip(permissions.ROLES, seen, judged[act], strict=True)
            if given != right
        ]
    assert not wrong, "\n".join(wrong)


def test_the_records_open_to_administrators_only_and_break_for_nobody(on: permissions.Stage) -> None:
    on.values.update(id="1", object_id="1", app_label="access", content_type_id="1", url="nowhere")
    wrong = []
    for address in permissions.admin_addresses():
        if address in ("/admin/login/", "/admin/{url}", "/admin/logout/"):
            continue
        for role in ("nobody", "officer", "admin"):
            seen = permissions.answer(on, f"GET {address}", role)
            if (seen != "login") != (role == "admin") or seen.startswith("5"):
                wrong.append(f"{address}: {role} is answered {seen}")
    assert not wrong, "\n".join(wrong)


def test_nobody_in_the_table_is_let_in_without_a_name_but_where_it_is_meant() -> None:
    """What is open to the whole world is few enough to be listed."""
    open_to_all = {
        act.split()[1]
        for act, answers in permissions.table().items()
        if answers[0].startswith("2") and not act.split()[1].startswith("/desk/")
    }
    assert open_to_all - OPEN == set(), "these need no sign-in; if that is meant, say so in OPEN"


OPEN = {
    "/account/inactive/", "/account/provider/cancelled/", "/account/signup/", "/healthz", "/invitations/{link}/",
    "/login/", "/metrics", "/readyz", "/welcome/", "/calls/", "/calls/suggest/", "/calls/{call_id}/",
    "/calls/{call_id}/{version}/", "/register/", "/register.csv", "/register.json",
}  # fmt: skip


def test_the_policy_answers_from_roles_towards_the_thing(world: World) -> None:
    run, sent = world.launch(), world.project
    assert may(world.founder, "run:see", run) and may(world.colleague, "run:see", run)
    assert not may(world.stranger, "run:see", run) and not may(world.officer, "run:see", run)
    assert may(world.operator, "machine:operate", world.machine) and may(
        world.officer, "machine:operate", world.machine
    )
    assert not may(world.founder, "machine:operate", world.machine)
    assert policy.organisation_of(world.attempt(run)) == world.organisation
    assert policy.organisation_of(world.allocation) == world.organisation == policy.organisation_of(sent)
    assert policy.roles(world.founder, world.founder) == {"person", "self"}
    world.founder.is_active = False
    assert policy.roles(world.founder, run) == frozenset()
    with pytest.raises(PolicyError, match="only its owners invite") as refused:
        policy.require(world.colleague, "organisation:change-people", world.organisation)
    assert refused.value.fix == "ask one of its owners"


def test_an_officer_who_stands_in_the_organisation_decides_nothing_of_it(world: World, settings: object) -> None:
    assert may(world.officer, "application:decide", world.project)
    Membership.objects.create(person=world.officer, organisation=world.organisation, role="member")
    assert not may(world.officer, "application:decide", world.project)
    settings.HANSE_EMBEDDED = True  # type: ignore[attr-defined]
    assert may(world.officer, "application:decide", world.project)
    assert may(Person.objects.create_superuser("root"), "person:erase", world.founder)


def test_the_page_of_permissions_says_what_the_policy_says() -> None:
    assert DOCS.read_text("utf-8") == policy_page.page(), "run: make reference"
    assert all(rule.refused and rule.ask for rule in ACTS.values())
    assert not Client().login(username="nobody", password="nothing")
