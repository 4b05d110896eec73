"""Runs that move from a machine that will not have them to one that will."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from hanse.contracts.base import now
from hanse.contracts.errors import UsageError
from hanse.contracts.site import MachineState, PartitionState
from hanse.machines import waiting
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


def test_where_it_could_have_gone_is_kept_when_a_run_moves_and_the_one_it_left_is_named(
    world: World, elsewhere: Agent
) -> None:
    run = both(world)
    assert run.contract().placement is None  # launched without a choice
    world.agent.report(world.attempt(run), "failed", job_id=None, reason="Not submitted: invalid account.")
    answer = Http(world.token(world.founder)).get(f"/api/v1/runs/{run.public_id}").json()["placement"]
    [taken] = answer["options"]
    assert taken["machine"] == "other" and taken["step_time_s"]["expected"] > 0
    assert taken["free_accelerator_seconds"] == 100 * HOUR and taken["data_there"] is False
    assert answer["unusable"] == [{"machine": "local", "reason": "The run left it: Not submitted: invalid account."}]
    listed = Http(world.token(world.founder)).get("/api/v1/runs").json()["items"]
    assert [each["placement"] for each in listed] == [None]


def test_data_that_a_run_has_trained_on_is_known_to_be_there_to_its_own_organisation_only(world: World) -> None:
    run = world.launch()
    assert [offer.data for offer in placing.offered_to(world.founder)] == [()]
    world.agent.report(world.attempt(run), "running", step=7)
    [offer] = placing.offered_to(world.colleague)
    assert offer.data == run.spec.data
    assert placing.data_on(world.machine, [world.site.organisation_id]) == ()


def test_a_retry_keeps_that_the_user_named_the_machine_and_else_that_it_is_where_it_was(
    world: World, elsewhere: Agent
) -> None:
    run = both(world)
    for machine, why in (("other", "You chose other."), (None, "It is begun again on other, where it was last.")):
        run.cancel(by="founder")
        for left in run.open_attempts():
            elsewhere.report(left, "cancelled")
        run.refresh_from_db()
        run.retry(by="founder", machine=machine)
        assert run.contract().placement.why == why


def test_a_placement_for_another_machine_than_the_launch_is_refused(world: World, elsewhere: Agent) -> None:
    run = both(world)
    world.agent.report(world.attempt(run), "failed", job_id=None, reason="Not submitted: no.")
    run.refresh_from_db()
    with pytest.raises(UsageError, match="the placement is for other, the launch for local"):
        world.launch(placement=run.placement)


def partition(machine: Machine, *, up: bool, at: datetime, agent: Agent, name: str = "p") -> None:
    state = MachineState(at=at, partitions=(PartitionState(name=name, up=up, nodes=4, reason="" if up else "power"),))
    agent.sync(state=state)
    machine.refresh_from_db()


def test_a_partition_that_goes_down_is_waited_for_with_the_users_patience_counted_from_then(
    world: World, elsewhere: Agent
) -> None:
    run = both(world, patience_s=HOUR)
    Attempt.objects.update(planned_at=now() - timedelta(hours=9))  # long in the queue, and content to be
    world.agent.report(world.attempt(run), "queued", reason="PartitionDown")
    down = now()
    partition(world.machine, up=False, at=down, agent=world.agent)
    partition(world.machine, up=False, at=down + timedelta(minutes=40), agent=world.agent)
    [held] = [each.held for each in Run.objects.whole().get(pk=run.pk).contract().legs[0].attempts]
    assert "partition p is down (power) since" in held and "It moves to another of where.machines at" in held
    assert [placing.look_after(down + timedelta(minutes=m)) for m in (50, 70)] == [0, 1]
    world.agent.report(world.attempt(run), "cancelled")
    run.refresh_from_db()
    assert run.legs.last().machine.public_id == "other" and "partition p is down" in run.reason
    assert run.placement.unusable[0].machine == "local"


def test_a_partition_that_comes_back_in_time_moves_nothing(world: World, elsewhere: Agent) -> None:
    run = both(world, patience_s=HOUR)
    at = now()
    world.agent.report(world.attempt(run), "queued")
    for minutes, up in ((0, False), (30, True), (40, False)):
        partition(world.machine, up=up, at=at + timedelta(minutes=minutes), agent=world.agent)
    assert [placing.look_after(at + timedelta(minutes=m)) for m in (70, 110)] == [0, 1]


def test_a_run_of_one_machine_whose_partition_is_down_says_why_it_waits_and_stays(world: World) -> None:
    run = world.launch()
    world.agent.report(world.attempt(run), "queued", reason="PartitionDown")
    partition(world.machine, up=False, at=now() - timedelta(days=2), agent=world.agent)
    assert placing.look_after(now() + timedelta(days=2)) == 0
    shown = Run.objects.whole().get(pk=run.pk).contract()
    found = waiting.of_run(shown, now=now())
    assert found and "where.machines names no other, so it waits until that is over" in found[1].words
    world.agent.report(world.attempt(run), "running", step=1)
    assert Run.objects.whole().get(pk=run.pk).contract().legs[0].attempts[0].held == ""


def test_what_was_queued_ahead_moves_too_when_its_turn_has_come_in_a_partition_that_is_down(
    world: World, elsewhere: Agent
) -> None:
    plan = a_plan(accelerator_seconds=3 * 2 * HOUR)
    plan = plan.model_copy(update={"workload": plan.workload.model_copy(update={"precision": "fp32"})})
    run = world.launch(a_spec(where={"machines": ("local", "other"), "patience_s": HOUR}), plan)
    first, second = run.legs.first().attempts.order_by("number")
    cursor = world.agent.sync().cursor
    world.agent.report(first, "running", step=7)
    world.agent.report(second, "queued")
    at = now()
    partition(world.machine, up=False, at=at, agent=world.agent)
    assert placing.look_after(at + timedelta(hours=2)) == 0  # what runs there runs on
    world.agent.report(first, "stopped", step=9, accelerator_seconds=30)
    assert [placing.look_after(now() + timedelta(minutes=m)) for m in (50, 70)] == [0, 1]
    told = {each.attempt_id: each.desired for each in world.agent.sync(cursor=cursor).assignments}
    assert told[second.public_id] == "cancel"
