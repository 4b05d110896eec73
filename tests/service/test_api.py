"""The HTTP interface: who may do what, how errors read, and that it says the same as its OpenAPI document."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from typing import Any

import pytest
from django.test import Client
from jsonschema import Draft202012Validator

from hanse.client.answers import LaunchRequest, Problem
from hanse.contracts.agentapi import Hello, SyncRequest
from hanse.contracts.base import Contract
from hanse.service.access.models import ApiToken, Membership
from hanse.service.runs.models import CodeBundle, Event, Run
from tests.service.fixtures import World, a_machine, a_plan, a_spec

pytestmark = pytest.mark.django_db


class Http:
    """Requests with one token."""

    def __init__(self, token: str = "", **session: Any) -> None:
        self.client = session.get("client") or Client()
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=self.headers | headers)

    def post(self, path: str, body: Contract | dict[str, Any] | None = None, **headers: str) -> Any:
        data = body.model_dump_json() if isinstance(body, Contract) else json.dumps(body or {})
        return self.client.post(path, data, content_type="application/json", headers=self.headers | headers)

    def put(self, path: str, body: bytes) -> Any:
        return self.client.put(path, body, content_type="application/gzip", headers=self.headers)


@pytest.fixture
def founder(world: World) -> Http:
    return Http(world.token(world.founder))


def asked(world: World) -> LaunchRequest:
    return LaunchRequest(spec=a_spec(), plan=a_plan(), allocation=world.allocation.public_id, machine="local")


def archive(**files: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


READS = [
    "/api/v1/me", "/api/v1/machines", "/api/v1/machines/local", "/api/v1/machines/local/agent", "/api/v1/calls",
    "/api/v1/applications", "/api/v1/allocations", "/api/v1/allocations/{allocation}", "/api/v1/runs",
    "/api/v1/runs/{run}", "/api/v1/run-summaries",
    "/api/v1/runs/{run}/telemetry", "/api/v1/runs/{run}/log", "/api/v1/runs/{run}/events", "/api/v1/runs/{run}/record",
]  # fmt: skip
OWN = [path for path in READS if "{" in path]


def filled(path: str, world: World, run: Run) -> str:
    return path.format(run=run.public_id, allocation=world.allocation.public_id)


def test_every_read_answers_its_own_organisation(world: World, founder: Http) -> None:
    run = world.launch()
    colleague = Http(world.token(world.colleague))
    for path in READS:
        assert founder.get(filled(path, world, run)).status_code == 200, path
        assert colleague.get(filled(path, world, run)).status_code == 200, path


def test_nobody_else_learns_whether_a_run_or_allocation_exists(world: World) -> None:
    run = world.launch()
    for person in (world.stranger, world.operator, world.officer):
        http = Http(world.token(person))
        for path in OWN:
            assert http.get(filled(path, world, run)).status_code == 404, (person, path)
        assert http.post(f"/api/v1/runs/{run.public_id}/cancel").status_code == 404
        assert http.get("/api/v1/runs").json()["items"] == []
        assert http.get("/api/v1/run-summaries").json()["items"] == []
    run.refresh_from_db()
    assert run.state == "queued"


@pytest.mark.parametrize("token", ["", "hanse_u_wrong"])
def test_without_a_valid_token_every_address_asks_for_one(world: World, token: str) -> None:
    http = Http(token)
    for path in (*READS, "/api/agent/v1/code/" + "0" * 64):
        answer = http.get(path.format(run="run-x", allocation="alc-x"))
        assert answer.status_code == 401, path
        assert Problem.model_validate_json(answer.content).fix
    for path in (
        "/api/v1/runs",
        "/api/v1/applications",
        "/api/v1/agents/enrol",
        "/api/agent/v1/hello",
        "/api/agent/v1/sync",
    ):
        assert http.post(path).status_code == 401, path


def test_a_persons_token_opens_no_agent_api_and_an_agents_no_user_api(world: World, founder: Http) -> None:
    agent = Http(world.agent_token())
    assert founder.post("/api/agent/v1/sync", SyncRequest(epoch=1)).status_code == 401
    assert agent.get("/api/v1/me").status_code == 401
    assert agent.post("/api/agent/v1/sync", SyncRequest(epoch=1)).status_code == 200


def test_revoked_expired_and_inactive_tokens_open_nothing(world: World) -> None:
    token = world.token(world.founder)
    ApiToken.find(token).revoke(by="test")
    assert Http(token).get("/api/v1/me").status_code == 401
    token = world.token(world.founder)
    ApiToken.objects.filter(revoked_at=None).update(expires_at="2020-01-01T00:00:00Z")
    assert Http(token).get("/api/v1/me").status_code == 401
    token = world.token(world.founder)
    world.founder.is_active = False
    world.founder.save()
    assert Http(token).get("/api/v1/me").status_code == 401
    assert ApiToken.objects.filter(digest__contains=token).count() == 0


def test_a_session_reads_freely_and_writes_only_with_its_csrf_token(world: World) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(world.founder)
    http = Http(client=browser)
    assert http.get("/api/v1/me").json()["username"] == "founder"
    assert http.post("/api/v1/runs", asked(world)).status_code == 403
    browser.cookies["csrftoken"] = "x" * 32
    assert http.post("/api/v1/runs", asked(world), **{"X-CSRFToken": "x" * 32}).status_code == 201


def test_launching_and_cancelling_over_http_write_their_events(world: World, founder: Http) -> None:
    answer = founder.post("/api/v1/runs", asked(world))
    assert answer.status_code == 201 and answer.json()["state"] == "queued"
    id = answer.json()["id"]
    assert founder.post(f"/api/v1/runs/{id}/cancel", {"reason": "typo"}).json()["state"] == "cancelled"
    assert founder.post(f"/api/v1/runs/{id}/cancel").status_code == 409
    names = [event["name"] for event in founder.get(f"/api/v1/runs/{id}/events").json()["items"]]
    assert names == [
        "user:run:launched", "service:attempt:planned", "user:run:cancelling", "service:attempt:cancelled",
        "service:run:cancelled",
    ]  # fmt: skip


def test_a_refused_launch_is_a_403_with_every_finding(world: World, founder: Http) -> None:
    body = asked(world).model_copy(update={"allocation": "alc-nobody"})
    answer = founder.post("/api/v1/runs", body)
    problem = Problem.model_validate_json(answer.content)
    assert answer.status_code == 403 and problem.findings[0].verdict == "deny"
    assert problem.history == ("You have no allocation alc-nobody.",)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"plan": None}, "launched with its plan"),
        ({"plan": a_plan(machine="lumi")}, "the plan is for lumi"),
        ({"spec": a_spec(batch=16)}, "8 sequences a step, the spec says 16"),
    ],
)
def test_a_launch_that_does_not_hang_together_is_a_422(
    world: World, founder: Http, change: dict[str, Any], says: str
) -> None:
    answer = founder.post("/api/v1/runs", asked(world).model_copy(update=change))
    assert answer.status_code == 422 and says in answer.json()["what"]


def test_a_misspelt_key_is_named_with_its_place(world: World, founder: Http) -> None:
    body = asked(world).model_dump(mode="json")
    body["spec"]["where"]["max_gpu_hour"] = 3
    answer = founder.post("/api/v1/runs", body)
    assert answer.status_code == 422
    assert "spec.where.max_gpu_hour" in answer.json()["where"]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "offset=-1", "limit=x"])
def test_pages_have_their_bounds(founder: Http, query: str) -> None:
    assert founder.get(f"/api/v1/runs?{query}").status_code == 422


def test_an_unchanged_run_answers_304_and_a_changed_one_anew(world: World, founder: Http) -> None:
    run = world.launch()
    path = f"/api/v1/runs/{run.public_id}"
    etag = founder.get(path)["ETag"]
    assert founder.get(path, **{"If-None-Match": etag}).status_code == 304
    world.agent.report(world.attempt(run), "running", step=1)
    again = founder.get(path, **{"If-None-Match": etag})
    assert again.status_code == 200 and again["ETag"] != etag
    assert again["Cache-Control"] == "private, no-cache"


def test_reading_a_run_costs_the_same_number_of_queries_however_many_attempts_it_has(
    world: World, founder: Http, django_assert_max_num_queries: Any
) -> None:
    run = world.launch(a_spec(where={"max_attempts": 20}))
    for number in range(8):
        world.agent.report(world.attempt(run), "failed", step=number + 1, accelerator_seconds=1)
    with django_assert_max_num_queries(10):
        founder.get(f"/api/v1/runs/{run.public_id}")
    for listing in ("/api/v1/runs", "/api/v1/run-summaries"):
        with django_assert_max_num_queries(11):
            founder.get(listing)


def test_a_code_bundle_travels_from_person_to_the_agents_whose_runs_use_it_only(world: World, founder: Http) -> None:
    data = archive(**{"train.py": "print(1)", "pkg__mod.py": "x = 1"})
    sha256 = hashlib.sha256(data).hexdigest()
    for _ in range(2):
        assert founder.put(f"/api/v1/code/{sha256}", data).json()["size_bytes"] == len(data)
    assert world.events("user:code:uploaded") == 1
    agent = Http(world.agent_token())
    assert agent.get(f"/api/agent/v1/code/{sha256}").status_code == 404
    run = world.launch()
    Run.objects.filter(pk=run.pk).update(code=CodeBundle.objects.get())
    answer = agent.get(f"/api/agent/v1/code/{sha256}")
    assert b"".join(answer.streaming_content) == data


def test_what_is_no_sound_archive_is_refused_and_leaves_nothing(world: World, founder: Http, settings: Any) -> None:
    settings.CODE_MAX_BYTES = 2000
    outside = archive(**{"..__..__etc__passwd": "x"})
    for data, says in (
        (b"not gzip", "cannot be unpacked"),
        (outside, "cannot be unpacked"),
        (archive(a="x")[:40], "cannot be unpacked"),
        (gzip.compress(bytes(range(256)) * 64, 0), "larger than"),
    ):
        answer = founder.put(f"/api/v1/code/{hashlib.sha256(data).hexdigest()}", data)
        status = 413 if says == "larger than" else 422
        assert answer.status_code == status and says in answer.json()["what"], (data[:20], answer.json())
    assert founder.put(f"/api/v1/code/{'0' * 64}", archive(a="x")).status_code == 422
    assert founder.put("/api/v1/code/nonsense", b"").status_code == 422
    assert not CodeBundle.objects.exists() and not list(CodeBundle.folder().glob(".incoming-*"))


def test_an_operator_enrols_an_agent_for_a_machine_of_the_own_site_and_nobody_else_does(world: World) -> None:
    operator = Http(world.token(world.operator))
    answer = operator.post("/api/v1/agents/enrol", {"machine": "big-one", "site": "here"})
    assert answer.status_code == 201
    agent = Http(answer.json()["token"])
    hello = Hello(machine=a_machine("big-one"), software="test")
    assert agent.post("/api/agent/v1/hello", hello).json()["epoch"] == 1
    assert agent.post("/api/agent/v1/hello", Hello(machine=a_machine("local"), software="x")).status_code == 403
    for person in (world.founder, world.officer, world.stranger):
        refused = Http(world.token(person)).post("/api/v1/agents/enrol", {"machine": "local", "site": "here"})
        assert refused.status_code == 403
    assert Event.objects.filter(name="user:machine:registered").count() == 1


def test_an_old_epoch_is_a_409_over_http(world: World) -> None:
    agent = Http(world.agent_token())
    assert agent.post("/api/agent/v1/sync", SyncRequest(epoch=9)).status_code == 409


def test_a_login_link_signs_in_once_and_leads_home(world: World, founder: Http) -> None:
    answer = founder.post("/api/v1/login-links")
    assert answer.status_code == 201
    path = answer.json()["url"].removeprefix("http://testserver")
    browser, second = Client(), Client()
    assert browser.get(path).headers["Location"] == "/"
    assert browser.get("/api/v1/me").json()["username"] == "founder"
    assert second.get(path).headers["Location"] == "/login/"
    assert second.get("/api/v1/me").status_code == 401


def test_link_making_is_throttled(world: World, founder: Http) -> None:
    answers = [founder.post("/api/v1/login-links").status_code for _ in range(25)]
    assert answers[0] == 201 and answers[-1] == 429


def test_the_openapi_documents_are_served_and_every_schema_in_them_is_valid(client: Client) -> None:
    for path, expected in (
        ("/api/v1/openapi.json", "/api/v1/runs"),
        ("/api/agent/v1/openapi.json", "/api/agent/v1/sync"),
    ):
        document = client.get(path).json()
        assert document["openapi"].startswith("3.1") and expected in document["paths"]
        for name, schema in document["components"]["schemas"].items():
            Draft202012Validator.check_schema({**schema, "$id": f"urn:{name}"})
        for operations in document["paths"].values():
            for operation in operations.values():
                assert operation["summary"] and operation["security"] and "401" in map(str, operation["responses"])


def test_answers_keep_to_the_openapi_document(world: World, founder: Http) -> None:
    run = world.launch()
    document = founder.client.get("/api/v1/openapi.json").json()
    for path in READS:
        template = (
            path.replace("{run}", "{id}").replace("{allocation}", "{id}").replace("machines/local", "machines/{id}")
        )
        schema = document["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        answer = founder.get(filled(path, world, run)).json()
        Draft202012Validator({**schema, "components": document["components"]}).validate(answer)


def test_pages_carry_a_policy_without_inline_code_and_sniffing(client: Client) -> None:
    answer = client.get("/healthz")
    policy = answer["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert answer["X-Content-Type-Options"] == "nosniff" and answer["X-Frame-Options"] == "DENY"


def test_a_fault_of_the_services_own_is_a_problem_too_and_tells_no_secrets(
    world: World, founder: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_run: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("hanse.service.runs.record.record_of", broken)
    answer = founder.get(f"/api/v1/runs/{world.launch().public_id}/record")
    assert answer.status_code == 500 and b"hunter2" not in answer.content
    assert Problem.model_validate_json(answer.content).fix


def test_leaving_an_organisation_ends_what_one_sees_of_it(world: World, founder: Http) -> None:
    run = world.launch()
    Membership.objects.filter(person=world.founder).delete()
    assert founder.get(f"/api/v1/runs/{run.public_id}").status_code == 404
