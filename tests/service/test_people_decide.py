"""What people say over the API when machines cannot: a job is gone, a run is begun anew, a node is mended."""

from __future__ import annotations

import pytest

from hanse.contracts.base import now
from hanse.contracts.site import BadNode
from tests.service.fixtures import World
from tests.service.test_api import Http

pytestmark = pytest.mark.django_db


@pytest.fixture
def founder(world: World) -> Http:
    return Http(world.token(world.founder))


@pytest.fixture
def operator(world: World) -> Http:
    return Http(world.token(world.operator))


def test_a_job_nobody_can_find_is_closed_by_an_operator_at_its_last_measure_and_the_run_goes_on(
    world: World, operator: Http
) -> None:
    run = world.launch()
    attempt = world.attempt(run)
    world.agent.report(attempt, "running", accelerator_seconds=120)
    world.agent.report(attempt, "unknown", accelerator_seconds=120)
    told = operator.post(f"/api/v1/attempts/{attempt.public_id}/gone", {"because": "the site purged its queue"})
    assert told.status_code == 200 and told.json()["state"] == "failed"
    assert "the site purged its queue" in told.json()["reason"]
    assert world.balance().used_accelerator_seconds == 120
    assert world.attempt(run).number == 2, "another attempt follows"
    again = operator.post(f"/api/v1/attempts/{attempt.public_id}/gone", {"because": "twice"})
    assert again.status_code == 409 and world.balance().used_accelerator_seconds == 120


def test_only_operators_may_say_that_a_job_is_gone_and_only_of_one_nobody_answers_for(
    world: World, founder: Http, operator: Http
) -> None:
    attempt = world.attempt(world.launch())
    world.agent.report(attempt, "running")
    path = f"/api/v1/attempts/{attempt.public_id}/gone"
    answered_for = operator.post(path, {"because": "I think so"})
    assert answered_for.status_code == 409 and "answers for it" in answered_for.json()["what"]
    world.agent.report(attempt, "unknown")
    assert founder.post(path, {"because": "I want it so"}).status_code == 403
    assert operator.post(path, {"because": "  "}).status_code == 422
    attempt.refresh_from_db()
    assert attempt.state == "unknown"


def test_a_cancelled_run_is_begun_anew_once_however_often_it_is_asked(world: World, founder: Http) -> None:
    run = world.launch()
    path = f"/api/v1/runs/{run.public_id}/retry"
    early = founder.post(path, {})
    assert early.status_code == 409 and "queued" in early.json()["what"]
    run.cancel(by="ada")
    first = founder.post(path, {}, **{"Idempotency-Key": "once"})
    assert first.status_code == 200, first.json()
    assert first.json()["state"] == "queued"
    legs = run.legs.count()
    assert founder.post(path, {}, **{"Idempotency-Key": "once"}).status_code == 200
    assert run.legs.count() == legs == 2
    stranger = Http(world.token(world.stranger))
    assert stranger.post(path, {}).status_code == 404


def test_offers_are_told_of_machines_where_one_has_hours(world: World, founder: Http) -> None:
    told = founder.get("/api/v1/offers").json()["items"]
    assert [(offer["machine"], offer["draining"]) for offer in told] == [("local", False)]
    assert Http(world.token(world.stranger)).get("/api/v1/offers").json()["items"] == []


def test_a_node_blamed_by_the_agent_is_listed_until_its_operator_says_it_is_mended(
    world: World, founder: Http, operator: Http
) -> None:
    attempt = world.attempt(world.launch())
    world.agent.report(attempt, "running")
    bad = BadNode(name="n7", reason="GPU has fallen off the bus", since=now())
    world.agent.report(attempt, "failed", bad_nodes=(bad,), nodes=("n7", "n8"), exit_code=1)
    path = "/api/v1/machines/local/trouble"
    assert [row["node"] for row in operator.get(path).json()["items"]] == ["n7"]
    assert founder.get(path).status_code == 403
    cleared = operator.client.delete(f"{path}/n7", headers=operator.headers)
    assert cleared.status_code == 200 and cleared.json()["items"] == []
