"""Runs that move from a machine that will not have them to one that will."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from hanse.contracts.base import now
from hanse.service.access.models import Allocation
from hanse.service.runs import arrivals, operating, placing
from hanse.service.runs.models import Attempt, Machine, Parcel, Run
from tests.planning.worlds import calibrated
from tests.service.fixtures import HOUR, Agent, World, a_plan, a_spec
from tests.service.test_api import Http

pytestmark = pytest.mark.django_db


@pytest.fixture
def elsewhere(world: World) -> Agent:
    """A second machine with hours of the same project."""
    machine = Machine.objects.create(public_id="other", site=world.site)
    agent = Agent(machine)
    agent.hello(calibrated().model_copy(update={"id": "other", "nodes": 4}))
    Allocation.open(
        by="test", project=world.project, machine=machine, granted_accelerator_seconds=100 * HOUR,
        starts=world.allocation.starts, ends=world.allocation.ends,
    )  # fmt: skip
    return agent


def both(world: World, **where: Any) -> Run:
    plan = a_plan()
    plan = plan.model_copy(update={"workload": plan.workload.model_copy(update={"precision": "fp32"})})
    return world.launch(a_spec(where={"machines": ("local", "other")} | where), plan)


def test_a_job_the_machine_refuses_goes_to_the_next_with_a_plan_of_its_own(world: World, elsewhere: Agent) -> None:
    run = both(world)
    refused = {"job_id": None, "reason": "Not submitted: invalid account."}
    world.agent.report(world.attempt(run), "failed", **refused)
    run.refresh_from_db()
    leg = run.legs.order_by("-number").first()
    assert (run.state, leg.machine.public_id, leg.plan.machine) == ("queued", "other", "other")
    assert run.reason == "Tried local: Not submitted: invalid account."
    [told] = elsewhere.sync().assignments
    assert told.plan.machine == told.machine.id == "other" and told.fetch == ()


def test_with_one_machine_a_refusal_is_tried_again_as_before(world: World, elsewhere: Agent) -> None:
    run = world.launch()
    world.agent.report(world.attempt(run), "failed", job_id=None, reason="Not submitted: no.")
    assert run.legs.count() == 1 and Attempt.objects.count() == 2


def test_a_drained_machines_run_stops_with_a_checkpoint_that_follows_it(world: World, elsewhere: Agent) -> None:
    run = both(world)
    cursor = world.agent.sync().cursor
    world.agent.report(world.attempt(run), "running", step=7)
    assert operating.drain(world.machine, by=world.operator, because="new racks", move=True) == 1
    [told] = world.agent.sync(cursor=cursor).assignments
    assert told.desired == "stop"
    world.agent.report(told.attempt_id, "stopped", step=9, accelerator_seconds=30)
    run.refresh_from_db()
    assert run.state == "queued" and run.legs.count() == 2 and "is drained" in run.reason
    assert elsewhere.sync().assignments == ()
    Parcel.objects.update(state="ready")
    assert [each.run_id for each in elsewhere.sync().assignments] == [run.public_id]


def test_what_was_never_told_to_an_agent_that_stays_away_moves_after_the_users_patience(
    world: World, elsewhere: Agent
) -> None:
    run = both(world, patience_s=HOUR)
    at = now()
    Machine.objects.filter(pk=world.machine.pk).update(away_since=at)
    assert placing.look_after(at + timedelta(minutes=50)) == 0
    assert placing.look_after(at + timedelta(minutes=70)) == 1
    run.refresh_from_db()
    assert run.legs.order_by("-number").first().machine.public_id == "other" and "away" in run.reason


def test_a_retry_may_name_another_machine(world: World, elsewhere: Agent) -> None:
    run = both(world)
    run.cancel(by="founder")
    run.retry(by="founder", machine="other")
    assert (run.state, run.legs.last().machine.public_id) == ("queued", "other")


def moved_while_training(world: World, **where: Any) -> Run:
    run = both(world, **where)
    world.agent.report(world.attempt(run), "running", step=7)
    operating.drain(world.machine, by=world.operator, because="new racks", move=True)
    world.agent.report(world.attempt(run), "stopped", step=9, accelerator_seconds=30)
    return run


def test_a_checkpoint_that_does_not_come_ends_the_run_and_says_what_to_do(world: World, elsewhere: Agent) -> None:
    run = moved_while_training(world)
    assert arrivals.look_after(now()) == 0
    Parcel.objects.update(state="failed", reason="the disk is full")
    assert [arrivals.look_after(now()) for _ in range(2)] == [1, 0]
    run.refresh_from_db()
    assert run.state == "failed" and "did not arrive: the disk is full; hanse retry" in run.reason
    [waited] = run.legs.last().attempts.all()
    assert waited.state == "cancelled" and "restart_elsewhere: true" in waited.reason


def test_a_checkpoint_whose_agent_stays_away_is_given_up_and_begun_anew_only_where_allowed(
    world: World, elsewhere: Agent
) -> None:
    run = moved_while_training(world, patience_s=HOUR, restart_elsewhere=True)
    at = now()
    Machine.objects.filter(pk=world.machine.pk).update(away_since=at)
    assert arrivals.look_after(at + timedelta(minutes=50)) == 0
    assert [arrivals.look_after(at + timedelta(minutes=70)) for _ in range(2)] == [1, 0]
    run.refresh_from_db()
    assert run.state == "queued" and "again from step 0 on other" in run.reason
    assert world.events("service:run:restarted") == 1
    assert [each.run_id for each in elsewhere.sync().assignments] == [run.public_id]


def test_an_operator_drains_over_http_and_what_is_there_leaves(world: World, elsewhere: Agent) -> None:
    run = both(world)
    path, asked = "/api/v1/machines/local", {"reason": "new racks", "move": True}
    assert Http(world.token(world.founder)).post(f"{path}/drain", asked).status_code == 403
    operator = Http(world.token(world.operator))
    assert operator.post(f"{path}/drain", asked).json() == {"machine": "local", "draining": True, "moving": 1}
    run.refresh_from_db()
    assert run.legs.last().machine.public_id == "other" and "new racks" in run.reason
    assert operator.post(f"{path}/drain", {"reason": "again"}).status_code == 409
    assert operator.post(f"{path}/undrain", {"reason": "done"}).json()["draining"] is False
