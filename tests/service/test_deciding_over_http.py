"""Retry, gone, offers and trouble over HTTP: who may, what is refused, and that each refusal is one clear message."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from hanse.client.answers import Problem
from hanse.contracts.base import now
from hanse.contracts.site import BadNode
from hanse.service.access.models import Allocation, Application
from hanse.service.runs.models import Attempt, Machine, Run, UsageEntry
from tests.service.fixtures import HOUR, World, a_plan, a_spec
from tests.service.test_api import Http

pytestmark = pytest.mark.django_db
NOBODY = Http()


def told(answer: Any, status: int) -> Problem:
    """The one message of a refusal; nothing of the machinery stands in it."""
    assert answer.status_code == status, answer.content
    problem = Problem.from_json(answer.content)
    assert problem.what and "Traceback" not in problem.what and "Error" not in problem.what
    return problem


def people(world: World) -> dict[str, Http]:
    return {name: Http(world.token(getattr(world, name))) for name in ("founder", "stranger", "officer", "operator")}


def test_an_ended_run_is_retried_by_its_team_once_however_often_the_request_is_sent(world: World) -> None:
    run, http = world.launch(), people(world)
    run.cancel(by="founder")
    path, key = f"/api/v1/runs/{run.public_id}/retry", {"Idempotency-Key": "once"}
    for _ in range(2):
        assert http["founder"].post(path, {}, **key).json()["state"] == "queued"
    assert run.legs.count() == 2
    problem = told(http["founder"].post(path), 409)
    assert problem.what == "the run is queued; a failed or cancelled one can be retried"


def test_a_retry_is_refused_to_strangers_for_unknown_runs_and_for_machines_the_run_does_not_allow(
    world: World,
) -> None:
    run, http = world.launch(), people(world)
    run.cancel(by="founder")
    path = f"/api/v1/runs/{run.public_id}/retry"
    told(NOBODY.post(path), 401)
    for someone, where in (("stranger", path), ("operator", path), ("founder", "/api/v1/runs/run-nosuch/retry")):
        assert "that you may see" in told(http[someone].post(where), 404).what
    assert told(http["founder"].post(path, {"machine": "moon"}), 422).what == "where.machines names local, not moon"
    Machine.objects.update(draining=True)
    refused = told(http["founder"].post(path), 403)
    assert refused.what == "local cannot take this run now" and "drained" in refused.history[0]
    run.refresh_from_db()
    assert run.state == "cancelled" and run.legs.count() == 1


def test_a_retry_waits_for_a_job_that_has_not_ended(world: World) -> None:
    run, http = world.launch(), people(world)
    world.agent.report(world.attempt(run), "running", step=1)
    Run.objects.filter(pk=run.pk).update(state="failed")
    problem = told(http["founder"].post(f"/api/v1/runs/{run.public_id}/retry"), 409)
    assert "has not ended yet" in problem.what and "declare it gone" in problem.fix


def test_a_job_is_declared_gone_by_who_operates_its_machine_when_nobody_answers_for_it(world: World) -> None:
    run, http = world.launch(), people(world)
    attempt = world.attempt(run)
    world.agent.report(attempt, "running", step=3, accelerator_seconds=40)
    path, because = f"/api/v1/attempts/{attempt.public_id}/gone", {"because": "The rack burnt."}
    told(NOBODY.post(path, because), 401)
    assert "that you may see" in told(http["stranger"].post(path, because), 404).what
    assert "operator of Here or an officer" in told(http["founder"].post(path, because), 403).what
    assert "answers for it" in told(http["operator"].post(path, because), 409).what
    assert told(http["operator"].post(path, {"because": ""}), 422).where == "because"
    assert "that you may see" in told(http["operator"].post("/api/v1/attempts/att-no/gone", because), 404).what
    Machine.objects.update(away_since=now() - timedelta(hours=3))
    gone = http["operator"].post(path, because)
    assert gone.status_code == 200 and gone.json()["state"] == "failed"
    assert gone.json()["reason"] == "Declared gone by operator: The rack burnt."
    assert world.balance().used_accelerator_seconds == 40  # at its last known measure
    assert "already failed" in told(http["operator"].post(path, because), 409).what


def test_offers_are_of_machines_where_one_has_hours(world: World) -> None:
    http = people(world)
    told(NOBODY.get("/api/v1/offers"), 401)
    [mine] = http["founder"].get("/api/v1/offers").json()["items"]
    assert (mine["machine"], mine["away"], mine["draining"], mine["data"]) == ("local", False, False, [])
    assert http["stranger"].get("/api/v1/offers").json()["items"] == []


def test_trouble_of_nodes_is_read_and_mended_by_the_machines_operator(world: World) -> None:
    run, http = world.launch(), people(world)
    bad = (BadNode(name="n7", reason="ECC errors"),)
    world.agent.report(world.attempt(run), "failed", bad_nodes=bad, nodes=("n6", "n7"))
    path = "/api/v1/machines/local/trouble"
    told(NOBODY.get(path), 401)
    for someone in ("founder", "stranger"):
        assert "only an operator of Here or an officer" in told(http[someone].get(path), 403).what
        told(http[someone].client.delete(f"{path}/n7", headers=http[someone].headers), 403)
    assert "that you may see" in told(http["operator"].get("/api/v1/machines/moon/trouble"), 404).what
    [entry] = http["officer"].get(path).json()["items"]
    assert (entry["node"], entry["reason"], entry["run_id"]) == ("n7", "ECC errors", run.public_id)
    assert world.attempt(run).job.exclude == ("n7",)  # its next attempt keeps off it
    mended = http["operator"].client.delete(f"{path}/n7", headers=http["operator"].headers)
    assert mended.status_code == 200 and mended.json()["items"] == []
    again = http["operator"].client.delete(f"{path}/n7", headers=http["operator"].headers)
    assert again.status_code == 200 and world.events("user:node:cleared") == 1


def fail(world: World, attempt: Attempt, **more: Any) -> None:
    world.agent.report(attempt, "failed", **{"reason": "Exit code 1.", "exit_code": 1} | more)


def long(world: World, **where: Any) -> Run:
    """Of several jobs, so that one is queued ahead while another has its turn."""
    where = {"ahead": 1, "max_attempts": 9, "max_gpu_hours": 90.0} | where
    return world.launch(a_spec(where=where), a_plan(accelerator_seconds=8 * 2 * HOUR))


def turns(world: World, run: Run) -> list[Attempt]:
    """Attempts that are open, the one whose turn it is first."""
    return sorted(run.open_attempts(), key=lambda each: each.number)


def test_rapid_failures_end_a_run_that_has_an_attempt_queued_ahead_and_that_one_is_ended_too(world: World) -> None:
    run = long(world)
    for _ in range(3):
        now_, ahead = turns(world, run)[:2]
        assert ahead.after_id == now_.pk
        world.agent.report(ahead, "queued")
        fail(world, now_)
    run.refresh_from_db()
    assert run.state == "failed" and run.reason.startswith("3 attempts in a row failed without a step of progress.")
    told_ = {each.attempt_id: each.desired for each in world.agent.sync().assignments}
    assert set(told_.values()) == {"cancel"} and len(told_) == 1
    world.agent.report(next(iter(told_)), "cancelled")
    assert turns(world, run) == [] and world.balance().reserved_accelerator_seconds == 0


def test_a_step_of_progress_between_failures_begins_the_count_anew(world: World) -> None:
    run = long(world)
    for step in (None, None, 5, None, None):
        current = turns(world, run)[0]
        if step:
            world.agent.report(current, "running", step=step)
        fail(world, current, **({"step": step} if step else {}))
        run.refresh_from_db()
        assert run.state == "queued", (step, run.reason)
    fail(world, turns(world, run)[0])
    run.refresh_from_db()
    assert run.state == "failed"


def test_a_stop_at_the_wall_time_between_failures_is_no_failure(world: World) -> None:
    run = long(world)
    for end in ("failed", "failed", "stopped", "failed", "failed"):
        world.agent.report(turns(world, run)[0], end, reason="Exit code 1.")
        run.refresh_from_db()
        assert run.state == "queued", (end, run.reason)


def test_attempts_used_up_end_a_run_whose_failures_each_got_further(world: World) -> None:
    run = long(world, ahead=0, max_attempts=4)
    for step in (1, 2, 3, 4):
        current = turns(world, run)[0]
        world.agent.report(current, "running", step=step)
        fail(world, current, step=step)
    run.refresh_from_db()
    assert run.state == "failed" and run.reason.startswith("All 4 attempts that where.max_attempts allows are used.")


def test_hours_granted_elsewhere_are_stated_by_who_operates_the_machine_and_no_application_is_made_up(
    world: World,
) -> None:
    http, path = people(world), f"/api/v1/machines/{world.machine.public_id}/own-hours"
    ends = now().date() + timedelta(days=90)
    body = {"account": "EUHPC_A01", "gpu_hours": 500, "ends": str(ends)}
    applications = Application.objects.count()
    assert "only an operator" in told(http["founder"].post(path, body), 403).what
    told(NOBODY.post(path, body), 401)
    told(http["operator"].post(path, body | {"gpu_hours": 0}), 422)
    assert "is past" in told(http["operator"].post(path, body | {"ends": "2020-01-01"}), 422).what
    first = http["operator"].post(path, body).json()
    assert (first["granted_accelerator_seconds"], first["account"], first["ends"]) == (
        500 * 3600,
        "EUHPC_A01",
        str(ends),
    )
    assert Allocation.objects.get(public_id=first["id"]).award is None
    again = http["operator"].post(path, body | {"gpu_hours": 800}).json()
    assert again["id"] == first["id"] and again["granted_accelerator_seconds"] == 800 * 3600
    held = Allocation.objects.get(public_id=first["id"])
    UsageEntry.correct(held, 600 * 3600, by="olli", reason="used before")
    assert "used or set aside already" in told(http["operator"].post(path, body), 422).what
    assert Allocation.objects.get(public_id=first["id"]).granted_accelerator_seconds == 800 * 3600
    assert Application.objects.count() == applications
