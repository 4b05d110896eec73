"""Agents at the service: enrolling by a code, tokens that end, other protocols, wrong clocks, the kill switch."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from django.test import Client

from hanse.client.answers import NewCode, NewToken
from hanse.contracts.agentapi import Hello, SyncRequest, SyncResponse
from hanse.contracts.base import now
from hanse.contracts.site import MachineState
from hanse.service.access.enrol import EnrolCode
from hanse.service.access.models import ApiToken
from hanse.service.runs.models import Event, Machine
from tests.service.fixtures import World, a_machine
from tests.service.test_api import Http

pytestmark = pytest.mark.django_db
RECORDED = Path(__file__).parent / "protocol1"


@pytest.fixture
def operator(world: World) -> Http:
    return Http(world.token(world.operator))


def code_of(operator: Http, machine: str = "big-one") -> str:
    answer = operator.post("/api/v1/agents/codes", {"machine": machine, "site": "here"})
    assert answer.status_code == 201
    return NewCode.from_json(answer.content).code


def redeem(code: str, machine: str = "big-one") -> Any:
    return Http(code).post("/api/agent/v1/enrol", {"machine": machine})


def hello_with(token: str, machine: str = "big-one") -> Any:
    return Http(token).post("/api/agent/v1/hello", Hello(machine=a_machine(machine), software="test"))


def test_an_agent_enrols_once_with_a_code_and_then_speaks_for_its_machine(world: World, operator: Http) -> None:
    code = code_of(operator)
    given = NewToken.from_json(redeem(code.lower()).content)
    assert given.expires_at is not None and timedelta(days=89) < given.expires_at - now() < timedelta(days=91)
    assert hello_with(given.token).status_code == 200
    again = redeem(code)
    assert again.status_code == 422 and "not good for big-one" in again.json()["what"]
    assert world.events("agent:machine:enrolled") == 1 and world.events("agent:enrol-code:refused") == 1


def test_a_code_is_no_good_for_another_machine_nor_after_an_hour_nor_once_a_newer_one_is_made(
    world: World, operator: Http
) -> None:
    code = code_of(operator)
    assert redeem(code, "local").status_code == 422
    newer = code_of(operator)
    assert redeem(code).status_code == 422
    EnrolCode.objects.filter(used_at=None).update(expires_at=now() - timedelta(seconds=1))
    assert redeem(newer).status_code == 422
    assert not ApiToken.objects.filter(machine__public_id="big-one").exists()


def test_only_an_operator_of_the_site_makes_codes(world: World) -> None:
    for person in (world.founder, world.officer, world.stranger):
        refused = Http(world.token(person)).post("/api/v1/agents/codes", {"machine": "local", "site": "here"})
        assert refused.status_code == 403


def test_a_renewed_token_takes_over_and_the_old_one_is_good_for_a_day_more(world: World) -> None:
    old = world.agent_token()
    new = NewToken.from_json(Http(old).post("/api/agent/v1/token").content)
    assert new.expires_at is not None
    assert all(hello_with(token, "local").status_code == 200 for token in (old, new.token))
    ends = ApiToken.objects.get(name="test").expires_at
    assert ends is not None and timedelta(hours=23) < ends - now() <= timedelta(hours=24)


def test_a_renewal_whose_answer_was_lost_leaves_no_second_token_behind(world: World) -> None:
    old = world.agent_token()
    lost = NewToken.from_json(Http(old).post("/api/agent/v1/token").content)
    kept = NewToken.from_json(Http(old).post("/api/agent/v1/token").content)
    assert hello_with(kept.token, "local").status_code == 200
    assert hello_with(lost.token, "local").status_code == 401


@pytest.mark.parametrize(
    ("ended", "says"),
    [({"revoked_at": timedelta(0)}, "was revoked on"), ({"expires_at": timedelta(days=-1)}, "ended on")],
)
def test_an_ended_token_is_told_what_became_of_it_and_noted_once(
    world: World, ended: dict[str, timedelta], says: str
) -> None:
    token = world.agent_token()
    ApiToken.objects.filter(machine=world.machine).update(**{name: now() + by for name, by in ended.items()})
    for _ in range(3):
        answer = Http(token).post("/api/agent/v1/sync", SyncRequest(epoch=1))
        assert answer.status_code == 401 and says in answer.json()["what"] and "--enrol" in answer.json()["fix"]
    assert world.events("agent:token:refused") == 1
    assert Http("hanse_a_unknown").post("/api/agent/v1/sync", SyncRequest(epoch=1)).status_code == 401


@pytest.mark.parametrize("minutes", [10, -10, 600])
def test_a_clock_ten_minutes_off_is_refused_in_one_sentence_and_nothing_is_begun(world: World, minutes: int) -> None:
    hello = Hello(machine=a_machine(), software="test", clock=now() + timedelta(minutes=minutes))
    agent = Http(world.agent_token())
    for _ in range(3):
        answer = agent.post("/api/agent/v1/hello", hello)
    assert answer.status_code == 422 and "the agent's clock is" in answer.json()["what"]
    assert "NTP" in answer.json()["fix"]
    assert Machine.objects.get().agent_epoch == 1 and world.events("agent:machine:clock") <= 2
    assert world.events("agent:machine:hello") == 1


def test_a_clock_six_minutes_off_is_served_and_noted(world: World) -> None:
    hello = Hello(machine=a_machine(), software="test", clock=now() - timedelta(minutes=6))
    answer = Http(world.agent_token()).post("/api/agent/v1/hello", hello)
    assert answer.status_code == 200 and answer.json()["clock"]
    noted = Event.objects.get(name="agent:machine:clock")
    assert noted.reason == "the agent's clock is 6 min behind the service's"


def test_a_protocol_of_the_future_is_refused_by_its_number_whatever_else_it_holds(world: World) -> None:
    agent = Http(world.agent_token())
    body = {"protocol": 3, "machine": {"shape": "unheard of"}, "quantum": True}
    for path in ("hello", "sync"):
        answer = agent.post(f"/api/agent/v1/{path}", body)
        assert answer.status_code == 422
        assert answer.json()["what"] == "the agent speaks protocol 3, this service 1 and 2"
    assert world.events("agent:machine:protocol") == 1
    assert Machine.objects.get().agent_epoch == 1


def recorded(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.schema.json").read_text())


def old_hello() -> dict[str, Any]:
    """As an agent of protocol 1 writes it."""
    machine = a_machine().model_dump(mode="json")
    return {"protocol": 1, "machine": machine, "software": "hanse 0.1.0"}


def old_sync(epoch: int, *observations: dict[str, Any]) -> dict[str, Any]:
    return {
        "protocol": 1, "epoch": epoch, "observations": list(observations), "telemetry": [], "logs": [], "results": [],
    }  # fmt: skip


def test_an_agent_of_the_previous_protocol_is_served_in_the_shape_it_reads(world: World) -> None:
    run = world.launch()
    attempt = world.attempt(run)
    agent = Http(world.agent_token())
    welcome = agent.post("/api/agent/v1/hello", old_hello()).json()
    jsonschema.validate(welcome, recorded("welcome"))
    assert welcome["protocol"] == 1
    first = agent.post("/api/agent/v1/sync", old_sync(welcome["epoch"])).json()
    jsonschema.validate(first, recorded("sync-response"))
    assert [a["attempt_id"] for a in first["assignments"]] == [attempt.public_id]
    seen = {
        "attempt_id": attempt.public_id, "epoch": welcome["epoch"], "sequence": 1, "at": now().isoformat(),
        "state": "finished", "job_id": "7", "accelerator_seconds": 60,
    }  # fmt: skip
    again = agent.post("/api/agent/v1/sync", old_sync(welcome["epoch"])).json()
    assert again["assignments"] == first["assignments"], "it hears of everything open each time"
    last = agent.post("/api/agent/v1/sync", old_sync(welcome["epoch"], seen)).json()
    assert (last["acknowledged"], last["assignments"]) == (1, [])
    run.refresh_from_db()
    assert run.state == "finished"


def test_the_kill_switch_reaches_an_agent_of_the_previous_protocol_in_its_own_words(world: World) -> None:
    world.launch()
    Machine.objects.update(stopped=True)
    agent = Http(world.agent_token())
    epoch = agent.post("/api/agent/v1/hello", old_hello()).json()["epoch"]
    answer = agent.post("/api/agent/v1/sync", old_sync(epoch)).json()
    assert answer["drain"] is True and [a["desired"] for a in answer["assignments"]] == ["cancel"]
    present = world.agent
    present.hello()
    assert (now_told := present.sync()).stop and [a.desired for a in now_told.assignments] == ["run"]


def test_an_agent_hears_of_each_change_once_and_of_everything_when_it_asks_anew(world: World) -> None:
    first = world.launch()
    told = world.agent.sync(cursor=0)
    assert len(told.assignments) == 1 and told.cursor > 0
    assert world.agent.sync(cursor=told.cursor).assignments == ()
    second = world.launch()
    news = world.agent.sync(cursor=told.cursor)
    assert [a.run_id for a in news.assignments] == [second.public_id]
    assert len(world.agent.sync(cursor=told.cursor).assignments) == 1, "its answer may have been lost"
    ended = world.agent.sync(
        world.agent.seen(world.attempt(first), "finished", accelerator_seconds=1), cursor=news.cursor
    )
    assert ended.closed == (world.attempt(first).public_id,) and ended.assignments == ()
    assert len(world.agent.sync(cursor=0).assignments) == 1


def test_a_cancelled_run_reaches_an_agent_that_knows_it_already(world: World) -> None:
    run = world.launch()
    told = world.agent.sync(cursor=0)
    run.cancel(by="founder", reason="enough")
    assert [a.desired for a in world.agent.sync(cursor=told.cursor).assignments] == ["cancel"]


def test_what_the_policy_holds_back_says_so_at_the_attempt_and_stays_planned(world: World) -> None:
    run = world.launch()
    world.agent.sync(cursor=0)
    for _ in range(3):
        held = world.agent.seen(world.attempt(run), "planned", policy=True, job_id=None, reason="The site takes none.")
        world.agent.sync(held)
    assert (world.attempt(run).state, world.attempt(run).reason) == ("planned", "The site takes none.")
    assert world.events("agent:attempt:held") == 1
    world.agent.report(world.attempt(run), "queued")
    assert world.attempt(run).state == "queued"


def test_what_a_machine_says_of_itself_is_kept(world: World) -> None:
    state = MachineState(at=now())
    hello = Hello(machine=a_machine(), software="test", mode="observe", policy=("At most 2 nodes a job.",))
    agent = Http(world.agent_token())
    epoch = agent.post("/api/agent/v1/hello", hello).json()["epoch"]
    answer = agent.post("/api/agent/v1/sync", SyncRequest(epoch=epoch, state=state))
    assert SyncResponse.from_json(answer.content).stop is False
    machine = Machine.objects.get()
    assert (machine.mode, machine.policy, machine.state) == ("observe", ["At most 2 nodes a job."], state)


def test_a_request_without_a_token_is_refused_as_before(client: Client) -> None:
    assert client.post("/api/agent/v1/sync", "{}", content_type="application/json").status_code == 401
