"""The client against a real server: contracts come back, errors are of the one tree, repeats are harmless."""

from __future__ import annotations

import hashlib
import io
import socket
import tarfile
import threading
from typing import Any

import httpx
import pytest

from hanse.client.agent import AgentClient
from hanse.client.api import Client
from hanse.client.http import Connection
from hanse.client.summary import run_summaries
from hanse.contracts.agentapi import Hello, Observation, SyncRequest
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, ServiceError, UsageError
from hanse.service.runs.models import Run
from tests.service.fixtures import World, a_machine, a_plan, a_spec


@pytest.fixture
def client(shared_world: World, live_server: Any) -> Client:
    return Client(live_server.url, shared_world.token(shared_world.founder))


@pytest.fixture
def agent(shared_world: World, live_server: Any) -> AgentClient:
    return AgentClient(live_server.url, shared_world.agent_token())


def test_a_run_is_launched_followed_and_read_through_the_client_alone(
    shared_world: World, client: Client, agent: AgentClient
) -> None:
    assert client.me().organisations[0].name == "Brick AI"
    [machine], [allocation] = client.machines(), client.allocations()
    run = client.launch(a_spec(), a_plan(), allocation=allocation.id, machine=machine.id)
    epoch = agent.hello(Hello(machine=a_machine(), software="test")).epoch
    [assignment] = agent.sync(SyncRequest(epoch=epoch)).assignments
    assert assignment.spec == run.spec == a_spec() and assignment.plan == run.plan
    seen = Observation(
        attempt_id=assignment.attempt_id, epoch=epoch, sequence=1, at=now(), state="finished", accelerator_seconds=42
    )
    assert agent.sync(SyncRequest(epoch=epoch, observations=(seen,))).acknowledged == 1
    assert client.run(run.id).state == "finished"
    assert client.record(run.id).usage[0].accelerator_seconds == 42
    assert client.events(run.id)[-1].name == "service:run:finished"
    assert client.allocation(allocation.id).used_accelerator_seconds == 42
    assert [listed.id for listed in client.runs()] == [run.id]
    [summary], whole = run_summaries(client), client.run(run.id)
    for name in ("id", "name", "state", "step", "steps", "used_accelerator_seconds", "created_at"):
        assert getattr(summary, name) == getattr(whole, name), name
    assert summary.machines == (machine.id,) and summary.steps == a_plan().steps
    assert client.agent_status(machine.id).away is False
    assert client.telemetry(run.id) == () and client.log(run.id).text == ""


def test_polling_an_unchanged_run_transfers_nothing_and_still_answers_it(shared_world: World, live_server: Any) -> None:
    statuses: list[int] = []

    class Counting(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            statuses.append(response.status_code)
            return response

    client = Client(live_server.url, shared_world.token(shared_world.founder), transport=Counting())
    id = shared_world.launch().public_id
    assert client.run(id) == client.run(id) == client.run(id)
    assert statuses == [200, 304, 304]


def test_a_launch_whose_answer_is_lost_is_asked_again_and_starts_one_run(shared_world: World, live_server: Any) -> None:
    class Losing(httpx.HTTPTransport):
        lost = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            if request.method == "POST" and not self.lost:
                self.lost += 1
                response.read()
                raise httpx.ReadError("connection reset", request=request)
            return response

    client = Client(live_server.url, shared_world.token(shared_world.founder), transport=Losing())
    run = client.launch(a_spec(), a_plan(), allocation=shared_world.allocation.public_id, machine="local")
    assert [found.public_id for found in Run.objects.all()] == [run.id]


def test_refusals_arrive_as_errors_of_the_tree_with_what_to_do(shared_world: World, client: Client) -> None:
    with pytest.raises(PolicyError) as refused:
        client.launch(a_spec(), a_plan(), allocation="alc-none", machine="local")
    assert refused.value.findings and refused.value.fix
    with pytest.raises(UsageError, match="no run run-none"):
        client.run("run-none")
    with pytest.raises(UsageError, match="launched with its plan"):
        client.launch(a_spec(), None, allocation=shared_world.allocation.public_id, machine="local")
    id = client.launch(a_spec(), a_plan(), allocation=shared_world.allocation.public_id, machine="local").id
    client.cancel(id, "no need")
    with pytest.raises(Conflict, match="already cancelled"):
        client.cancel(id)


def test_a_wrong_token_and_a_dead_address_are_service_errors(live_server: Any, transactional_db: None) -> None:
    with pytest.raises(ServiceError, match="not signed in"):
        Client(live_server.url, "wrong").me()
    with pytest.raises(ServiceError, match="does not answer"):
        Client("http://127.0.0.1:9", "x", timeout_s=2).me()


def test_a_service_on_this_machine_is_reached_past_any_proxy(
    shared_world: World, live_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    token = shared_world.token(shared_world.founder)
    assert Client(live_server.url, token).me().username == "founder"
    with pytest.raises(ServiceError, match="does not answer"):
        Client("http://hanse.example", token, timeout_s=2).me()


def test_an_answer_in_another_form_names_the_version_as_the_thing_to_mend(live_server: Any) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"unexpected": True})

    with pytest.raises(ServiceError, match="not a Me"):
        Client("http://x", "x", transport=httpx.MockTransport(answer)).me()
    with pytest.raises(ServiceError, match="not a RunSummary"):
        run_summaries(Connection("http://x", "x", transport=httpx.MockTransport(answer)))


def test_a_service_on_this_machine_that_hangs_up_is_a_service_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        hangs_up = threading.Thread(target=lambda: server.accept()[0].close())
        hangs_up.start()
        with pytest.raises(ServiceError, match="does not answer"):
            Client(f"http://127.0.0.1:{server.getsockname()[1]}", "x").me()
        hangs_up.join()


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_proxys_own_error_pages_are_service_errors(status: int) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, text="<html>Bad gateway</html>")

    with pytest.raises(ServiceError, match=str(status)):
        Client("http://x", "x", transport=httpx.MockTransport(answer)).me()


def test_code_goes_up_and_comes_down_to_the_agent_unaltered(
    shared_world: World, client: Client, agent: AgentClient
) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("empty.py"))
    bundle = client.upload_code(out.getvalue())
    assert bundle.sha256 == hashlib.sha256(out.getvalue()).hexdigest()
    with pytest.raises(UsageError, match="no run on this machine"):
        agent.code(bundle.sha256)
    from hanse.contracts.spec import CommandSpec, TrainSpec

    spec = TrainSpec(name="cmd", command=CommandSpec(run="true"), where=a_spec().where)
    client.launch(spec, None, allocation=shared_world.allocation.public_id, machine="local", code_sha256=bundle.sha256)
    assert agent.code(bundle.sha256) == out.getvalue()


def test_an_agent_of_an_older_epoch_is_told_by_a_conflict(agent: AgentClient) -> None:
    first = agent.hello(Hello(machine=a_machine(), software="a")).epoch
    agent.hello(Hello(machine=a_machine(), software="b"))
    with pytest.raises(Conflict, match="speaks for this machine now"):
        agent.sync(SyncRequest(epoch=first))


def test_an_operator_enrols_an_agent_and_a_person_gets_a_login_link(shared_world: World, live_server: Any) -> None:
    operator = Client(live_server.url, shared_world.token(shared_world.operator))
    token = operator.enrol_agent("new-one", "here").token
    assert AgentClient(live_server.url, token).hello(Hello(machine=a_machine("new-one"), software="x")).epoch == 1
    link = operator.login_link()
    with httpx.Client() as browser:
        assert browser.get(link.url).headers["location"] == "/"
        assert browser.get(f"{live_server.url}/api/v1/me").json()["username"] == "operator"


def test_long_lists_are_read_to_their_end(shared_world: World, client: Client) -> None:
    from hanse.service.runs.models import Event

    run = shared_world.launch()
    for number in range(230):
        Event.record("test:run:noise", run.public_id, by="test", number=number)
    assert len(client.events(run.public_id)) == 232
