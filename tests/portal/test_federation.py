"""The federation page and the operator's: who sees them, what stands there, and what an operator's word does."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from hanse.client.answers import RedeemRequest
from hanse.contracts.base import now
from hanse.contracts.site import BadNode, MachineState, Maintenance, PartitionState, QueueWait
from hanse.service.access.enrol import redeem
from hanse.service.access.models import ApiToken, Membership
from hanse.service.runs.models import Attempt, Event, Machine
from tests.portal import seed
from tests.portal.test_pages import read
from tests.reporting import records

pytestmark = pytest.mark.django_db


def a_state() -> MachineState:
    at = now()
    return MachineState(
        at=at,
        partitions=(
            PartitionState(name="boost", up=True, nodes=120, nodes_idle=14, nodes_down=3, running_jobs=61,
                           pending_jobs=230),
            PartitionState(name="debug", up=False, nodes=4, nodes_idle=4, reason="maintenance"),
        ),
        waits=(QueueWait(partition="boost", nodes=1, wall_time_s=3600, wait_s=0),
               QueueWait(partition="boost", nodes=16, wall_time_s=86400, wait_s=7200)),
        maintenance=(Maintenance(name="cooling", starts=at + timedelta(days=2), ends=at + timedelta(days=3),
                                 reason="new pumps"),),
        bad_nodes=(BadNode(name="n0417", reason="GPU fell off the bus", since=at),),
    )  # fmt: skip


@pytest.fixture
def machine() -> Machine:
    made = seed.run(records.under_way(), seed.person("ida", organisation=seed.organisation())).legs.get().machine
    made.state, made.policy = a_state(), ["At most 16 nodes a job.", "Projects: Norrlyd."]
    made.save()
    return made


def client_of(name: str, machine: Machine, *, role: str = "", **more: Any) -> Client:
    person = seed.person(name, **more)
    if role:
        Membership.objects.create(person=person, organisation=machine.site.organisation, role=role)
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def operator(machine: Machine) -> Client:
    return client_of("olli", machine, role="operator")


@pytest.fixture
def ida(machine: Machine) -> Client:
    from hanse.service.access.models import Person

    client = Client()
    client.force_login(Person.objects.get(username="ida"))
    return client


def test_the_federation_shows_load_waits_maintenance_and_what_is_mine(ida: Client, machine: Machine) -> None:
    text = read(ida, "/federation/").text
    for said in ("boost", "14 of 120", "230", "at once", "cooling", "New pumps", "Yours there", "GPU-hours free"):
        assert said in text, said
    assert "Operate" not in text


def test_another_teams_runs_do_not_stand_on_the_federation_page(machine: Machine) -> None:
    stranger = client_of("kai", machine, organisation=seed.organisation("Elsewhere"))
    text = read(stranger, "/federation/").text
    assert "Yours there" not in text and "GPU-hours free" not in text and "boost" in text


def test_a_machine_that_is_away_is_no_error_and_its_work_keeps_its_place(ida: Client, machine: Machine) -> None:
    Machine.objects.update(last_heard_at=now() - timedelta(hours=30))
    text = read(ida, "/federation/").text
    assert "Agent away" in text and "queued work keeps its place" in text


def test_an_empty_federation_says_how_a_machine_joins() -> None:
    client = Client()
    client.force_login(seed.person("new"))
    assert "hanse agent --machine" in read(client, "/federation/").text


def test_nothing_new_is_304_and_news_are_not(ida: Client, machine: Machine) -> None:
    first = ida.get("/federation/live/")
    assert ida.get("/federation/live/", headers={"If-None-Match": first["ETag"]}).status_code == 304
    Machine.objects.update(draining=True)
    assert ida.get("/federation/live/", headers={"If-None-Match": first["ETag"]}).status_code == 200


def test_strangers_sign_in_first(machine: Machine) -> None:
    for path in ("/federation/", "/federation/live/", f"/operator/{machine.public_id}/"):
        assert Client().get(path).status_code == 302


def test_the_operators_page_is_for_the_sites_operators_and_officers(ida: Client, machine: Machine) -> None:
    path = f"/operator/{machine.public_id}/"
    assert ida.get(path).status_code == 403
    assert client_of("member", machine, role="member").get(path).status_code == 403
    assert ida.post(f"{path}act/", {"act": "drain", "because": "x"}).status_code == 403
    assert not Machine.objects.get().draining
    root = client_of("root", machine, is_superuser=True)
    assert root.get(path).status_code == 200


def test_an_operator_sees_what_runs_for_whom_and_what_binds_it(operator: Client, machine: Machine) -> None:
    text = read(operator, f"/operator/{machine.public_id}/").text
    for said in (
        "ida",
        "A small code model",
        "At most 16 nodes a job",
        "n0417",
        "GPU fell off the bus",
        "charged today",
    ):
        assert said in text, said


def test_draining_and_opening_again_each_leave_an_event_with_actor_and_reason(
    operator: Client, machine: Machine
) -> None:
    path = f"/operator/{machine.public_id}/act/"
    assert operator.post(path, {"act": "drain", "because": "pumps"}).status_code == 302
    assert Machine.objects.get().draining
    operator.post(path, {"act": "drain", "because": "again"})
    operator.post(path, {"act": "undrain", "because": "pumps are in"})
    assert not Machine.objects.get().draining
    seen = Event.objects.filter(name__startswith="user:machine:").values_list("name", "actor", "reason")
    assert list(seen) == [
        ("user:machine:drained", "olli", "pumps"), ("user:machine:undrained", "olli", "pumps are in"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "stopped"), [({}, False), ({"confirm": "elsewhere"}, False), ({"confirm": None}, True)]
)
def test_the_kill_switch_wants_the_machines_name(
    operator: Client, machine: Machine, given: dict[str, Any], stopped: bool
) -> None:
    told = {key: value or machine.public_id for key, value in given.items()}
    operator.post(f"/operator/{machine.public_id}/act/", {"act": "stop", "because": "fire", **told})
    assert Machine.objects.get().stopped is stopped


def test_without_a_reason_or_with_an_act_that_is_none_nothing_changes(operator: Client, machine: Machine) -> None:
    path = f"/operator/{machine.public_id}/act/"
    for given in ({"act": "drain", "because": " "}, {"act": "explode", "because": "x"}, {}):
        assert operator.post(path, given).status_code == 302
    assert not Event.objects.filter(name__startswith="user:machine:").exists()


def test_a_form_of_another_site_is_refused(machine: Machine) -> None:
    person = seed.person("olli")
    Membership.objects.create(person=person, organisation=machine.site.organisation, role="operator")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(person)
    path = f"/operator/{machine.public_id}/act/"
    assert strict.post(path, {"act": "drain", "because": "x"}).status_code == 403


def test_an_operator_revokes_an_agents_token_and_no_other(operator: Client, machine: Machine) -> None:
    ApiToken.issue("login node", by="x", machine=machine)
    ApiToken.issue("laptop", by="x", person=seed.person("eve"))
    agents, persons = ApiToken.objects.get(name="login node"), ApiToken.objects.get(name="laptop")
    path = f"/operator/{machine.public_id}/tokens"
    assert operator.post(f"{path}/{persons.pk}/revoke/").status_code == 404
    operator.post(f"{path}/{agents.pk}/revoke/")
    agents.refresh_from_db()
    assert agents.revoked_at is not None


def test_an_operator_declares_a_job_gone_that_nobody_can_find(operator: Client, machine: Machine) -> None:
    Attempt.objects.update(state="unknown", job_id="4711")
    one = Attempt.objects.get()
    page = f"/operator/{machine.public_id}/"
    assert "job 4711: this job is gone, because" in read(operator, page).text
    assert operator.post(f"{page}gone/{one.public_id}/", {"because": " "}).status_code == 302
    one.refresh_from_db()
    assert one.state == "unknown"
    operator.post(f"{page}gone/{one.public_id}/", {"because": "the cluster was reinstalled"})
    one.refresh_from_db()
    assert one.state == "failed" and "Declared gone by olli: the cluster was reinstalled" in one.reason
    assert "this job is gone" not in read(operator, page).text


def test_while_its_agent_is_away_a_running_job_can_be_declared_gone_too(operator: Client, machine: Machine) -> None:
    Attempt.objects.update(job_id="4711")
    page = f"/operator/{machine.public_id}/"
    assert "this job is gone" not in read(operator, page).text
    Machine.objects.update(last_heard_at=now() - timedelta(days=2), away_since=now() - timedelta(days=2))
    assert "this job is gone" in read(operator, page).text


def test_an_enrolment_code_is_shown_once_with_the_command_that_takes_it(operator: Client, machine: Machine) -> None:
    page = f"/operator/{machine.public_id}/"
    answer = operator.post(f"{page}code/")
    assert "no-store" in answer["Cache-Control"]
    found = re.search(r"--enrol ([A-Z0-9-]{29})", answer.content.decode())
    assert found is not None
    redeem(found[1], RedeemRequest(machine=machine.public_id))
    assert found[1] not in operator.get(page).content.decode()
    assert operator.get(f"{page}code/").status_code == 405
    assert client_of("member", machine, role="member").post(f"{page}code/").status_code == 403
