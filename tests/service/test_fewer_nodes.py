"""A partition that lost nodes: a run whose user allows it goes on with fewer, and with all again once they are back."""

from __future__ import annotations

from typing import Any

import pytest

from hanse.contracts.base import now
from hanse.contracts.layout import Layout
from hanse.contracts.machine import Link, Partition
from hanse.contracts.site import BadNode, MachineState, PartitionState
from hanse.service.runs import fewer
from hanse.service.runs.models import Attempt, Event, Run
from tests.service.fixtures import HOUR, World, a_machine, a_plan, a_spec

pytestmark = pytest.mark.django_db


@pytest.fixture
def four(world: World) -> World:
    """A machine of four nodes in one partition."""
    link = Link(name="loopback", bytes_per_s=2e9, latency_s=5e-5)
    partition = Partition(name="all", nodes=4, max_nodes=4, max_wall_time_s=86_400)
    world.agent.hello(a_machine(partitions=(partition,), between_nodes=link, in_node=link))
    world.machine.refresh_from_db()
    return world


def down(world: World, count: int, *bad: str) -> None:
    partition = PartitionState(name="all", up=True, nodes=4, nodes_down=count)
    broken = tuple(BadNode(name=name, reason="Not responding") for name in bad)
    world.agent.sync(state=MachineState(at=now(), partitions=(partition,), bad_nodes=broken))


def launch(world: World, least: int | None = 1, **plan: Any) -> Run:
    spec = a_spec(where={"min_nodes": least, "machines": ("local",)})
    whole = a_plan(nodes=4, partition="all", layout=Layout(nodes=4, dp=4, micro_batch=2), **plan)
    workload = whole.workload.model_copy(update={"precision": "fp32"})
    return world.launch(spec, whole.model_copy(update={"workload": workload}))


def nodes(world: World, run: Run) -> list[int]:
    return [each.job.nodes for each in Attempt.objects.filter(leg__run=run).order_by("number")]


def test_after_a_lost_node_the_next_attempt_takes_those_that_are_left(four: World) -> None:
    run = launch(four)
    four.agent.report(four.attempt(run), "running", step=10)
    down(four, 1, "n4")
    four.agent.report(four.attempt(run), "failed", step=40, raw_state="NODE_FAIL", nodes=("n1", "n2", "n3", "n4"))
    assert nodes(four, run) == [4, 2], "eight sequences do not divide by three"
    [told] = four.agent.sync().assignments
    assert told.plan is not None and told.plan.layout.nodes == told.job.nodes == told.ticket.ticket.max_nodes == 2
    assert told.plan.layout.global_batch == 8, "the same training"
    run.refresh_from_db()
    assert run.state == "queued" and run.plan.layout.nodes == 4

    four.agent.report(four.attempt(run), "running", step=45)
    down(four, 0)
    four.agent.report(four.attempt(run), "failed", step=60)
    assert nodes(four, run) == [4, 2, 4], "once they are back it has all of them again"


def test_a_lost_node_that_is_told_of_together_with_the_end_of_its_job_counts_at_once(four: World) -> None:
    run = launch(four)
    attempt = four.attempt(run)
    four.agent.report(attempt, "running", step=10)
    down(four, 0)
    ended = four.agent.seen(attempt, "failed", step=40, raw_state="NODE_FAIL", nodes=("n1", "n2", "n3", "n4"))
    partition = PartitionState(name="all", up=True, nodes=4, nodes_down=2)
    four.agent.sync(ended, state=MachineState(at=now(), partitions=(partition,)))
    assert nodes(four, run) == [4, 2]


def test_a_job_that_waits_for_nodes_that_went_away_is_replaced(four: World) -> None:
    run = launch(four)
    four.agent.report(four.attempt(run), "queued")
    assert fewer.look_after(now()) == 0
    down(four, 2)
    assert fewer.look_after(now()) == 1 and fewer.look_after(now()) == 0
    [told] = four.agent.sync().assignments
    assert told.desired == "cancel"
    four.agent.report(four.attempt(run), "cancelled")
    run.refresh_from_db()
    assert (run.state, nodes(four, run)) == ("queued", [4, 2])
    assert Event.objects.get(name="service:attempt:fewer-nodes").data["nodes"] == 2


def test_one_that_no_agent_was_told_of_is_replaced_at_once_with_those_queued_behind_it(four: World) -> None:
    run = launch(four, accelerator_seconds=8 * HOUR)
    assert nodes(four, run) == [4, 4]
    Attempt.objects.update(offered_at=None)
    lost = PartitionState(name="all", up=True, nodes=4, nodes_down=3)
    type(four.machine).objects.update(state=MachineState(at=now(), partitions=(lost,)))
    assert fewer.look_after(now()) == 1
    left = Attempt.objects.filter(leg__run=run, state="planned").order_by("number")
    assert left[0].job.nodes == 1 and left[0].number == 3
    run.refresh_from_db()
    assert run.state == "queued"


def test_nobodys_run_shrinks_unasked_nor_below_what_was_allowed_nor_while_it_runs(four: World) -> None:
    unasked, bounded, running = launch(four, None), launch(four, 3), launch(four)
    four.agent.report(four.attempt(running), "running")
    for run in (unasked, bounded):
        four.agent.report(four.attempt(run), "queued")
    down(four, 2)
    assert fewer.look_after(now()) == 0


def test_without_news_of_the_machine_a_run_stays_as_it_was_planned(four: World) -> None:
    run = launch(four)
    four.agent.report(four.attempt(run), "failed", step=3)
    assert nodes(four, run) == [4, 4]
