"""Attempts queued ahead, what a cursor tells, and attempts nobody can speak of any more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanse.contracts.errors import Conflict, PolicyError
from hanse.contracts.run import FINAL_ATTEMPT_STATES
from hanse.contracts.site import BadNode
from hanse.service.runs.models import Attempt, Run, UsageEntry
from tests.service.fixtures import HOUR, World, a_plan, a_spec
from tests.service.test_protocol import rolled_back

pytestmark = pytest.mark.django_db


def a_long_run(world: World, **where: Any) -> Run:
    """Two hours of training in jobs of one."""
    return world.launch(a_spec(where=where), a_plan(accelerator_seconds=4 * HOUR))


def test_a_run_longer_than_a_job_has_the_next_one_in_the_queue_already(world: World) -> None:
    run = a_long_run(world)
    first, second = (world.attempt(run, number) for number in (1, 2))
    assert second.after == first and Attempt.objects.count() == 2
    told = {each.attempt_id: each.after for each in world.agent.sync().assignments}
    assert told == {first.public_id: None, second.public_id: first.public_id}
    assert world.balance().reserved_accelerator_seconds == 4 * HOUR


def test_a_run_that_fits_one_job_or_wants_none_ahead_has_none(world: World) -> None:
    world.launch()
    a_long_run(world, ahead=0)
    assert Attempt.objects.filter(after__isnull=False).count() == 0


def test_the_one_ahead_reserves_only_what_is_left_of_the_runs_own_cap(world: World) -> None:
    run = a_long_run(world, max_gpu_hours=4.0)
    world.agent.report(world.attempt(run, 1), "stopped", step=40, accelerator_seconds=2 * HOUR)
    assert Attempt.objects.exclude(state__in=FINAL_ATTEMPT_STATES).count() == 1
    assert world.balance().reserved_accelerator_seconds == 2 * HOUR


def test_when_one_ends_the_next_is_there_and_another_is_queued_behind_it(world: World) -> None:
    run = a_long_run(world)
    world.agent.report(world.attempt(run, 1), "stopped", step=10, accelerator_seconds=HOUR)
    run.refresh_from_db()
    assert run.state == "queued"
    third = world.attempt(run)
    assert (third.number, third.after.number) == (3, 2)


def test_when_the_run_finishes_what_was_queued_ahead_is_cancelled(world: World) -> None:
    run = a_long_run(world)
    cursor = world.agent.sync().cursor
    ahead = world.attempt(run, 2)
    answer = world.agent.sync(world.agent.seen(world.attempt(run, 1), "finished", accelerator_seconds=9), cursor=cursor)
    assert [(each.attempt_id, each.desired) for each in answer.assignments] == [(ahead.public_id, "cancel")]
    assert answer.closed == (world.attempt(run, 1).public_id,)
    world.agent.report(ahead, "cancelled", job_id=None)
    run.refresh_from_db()
    assert run.state == "finished" and world.balance().reserved_accelerator_seconds == 0


def test_one_ahead_lost_before_its_turn_does_not_end_the_run(world: World) -> None:
    run = a_long_run(world)
    world.agent.report(world.attempt(run, 1), "running")
    world.agent.report(world.attempt(run, 2), "cancelled", raw_state="CANCELLED by 0")
    run.refresh_from_db()
    assert run.state == "running"
    world.agent.report(world.attempt(run, 1), "stopped", step=10, accelerator_seconds=9)
    assert world.attempt(run, 3).after is None


def test_a_queued_one_ahead_does_not_make_a_running_run_queued(world: World) -> None:
    run = a_long_run(world)
    world.agent.report(world.attempt(run, 1), "running")
    world.agent.report(world.attempt(run, 2), "queued")
    run.refresh_from_db()
    assert run.state == "running"


def test_a_cursor_hears_of_nothing_when_nothing_changed_and_in_few_queries(
    world: World, django_assert_max_num_queries: Any
) -> None:
    for _ in range(5):
        world.launch()
    answer = world.agent.sync()
    assert len(answer.assignments) == 5
    with django_assert_max_num_queries(3):
        again = Attempt.offer(world.machine, answer.cursor)
    assert again == ((), (), answer.cursor)
    assert len(Attempt.offer(world.machine, answer.cursor + 99).assignments) == 5
    launched = world.launch()
    assert [each.run_id for each in world.agent.sync(cursor=answer.cursor).assignments] == [launched.public_id]


def test_an_unknown_attempt_is_closed_by_its_operators_word_at_its_last_measure(world: World) -> None:
    run = world.launch()
    attempt = world.attempt(run)
    world.agent.report(attempt, "running", step=5, accelerator_seconds=70)
    with pytest.raises(Conflict, match="answers for it"):
        attempt.declare_gone(world.operator, "I looked")
    world.agent.report(attempt, "unknown")
    attempt.refresh_from_db()
    with pytest.raises(PolicyError, match="operates"):
        attempt.declare_gone(world.founder, "I hope so")
    attempt.declare_gone(world.operator, "the node was reinstalled")
    entry = UsageEntry.objects.get()
    assert (entry.accelerator_seconds, world.attempt(run).number) == (70, 2) and "last one reported" in entry.note
    assert "operator" in world.attempt(run, 1).reason
    with pytest.raises(Conflict, match="already failed"):
        attempt.declare_gone(world.operator, "again")


def test_a_node_an_agent_blames_is_kept_out_of_the_next_attempt(world: World) -> None:
    run = world.launch()
    bad = (BadNode(name="n1", reason="no accelerator answers"),)
    world.agent.report(world.attempt(run), "failed", step=4, accelerator_seconds=3, nodes=("n1", "n2"), bad_nodes=bad)
    assert world.attempt(run).job.exclude == ("n1",)
    assert world.attempt(world.launch()).job.exclude == ()


def test_a_failed_run_is_begun_anew_once_a_key(world: World) -> None:
    run = world.launch()
    for _ in range(3):
        world.agent.report(world.attempt(run), "failed", accelerator_seconds=2, error="no")
    run.refresh_from_db()
    assert run.state == "failed"
    for _ in range(2):
        run.retry(by="founder", key="k")
    assert (run.state, run.legs.count(), run.ended_at) == ("queued", 2, None)
    with pytest.raises(Conflict, match="queued"):
        run.retry(by="founder", key="other")


SEEN = st.tuples(
    st.sampled_from(["queued", "running", "unknown", "stopped", "failed", "cancelled", "finished"]),
    st.integers(0, 9), st.integers(0, 2 * HOUR), st.integers(0, 99),
)  # fmt: skip


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.lists(SEEN, min_size=1, max_size=12), ahead=st.integers(0, 3))
def test_a_chain_never_sets_aside_more_than_is_granted_nor_lets_two_start_at_once(
    db: None, story: list[tuple[str, int, int, int]], ahead: int
) -> None:
    with rolled_back() as world:
        run = a_long_run(world, ahead=ahead, max_gpu_hours=7.0)
        for state, which, seconds, step in story:
            attempts = list(Attempt.objects.order_by("number"))
            attempt = attempts[which % len(attempts)]
            world.agent.report(
                attempt, state, accelerator_seconds=min(seconds, attempt.reserved_accelerator_seconds), step=step
            )
            run.refresh_from_db()
            balance = world.balance()
            assert balance.used_accelerator_seconds + balance.reserved_accelerator_seconds <= 7 * HOUR
            waiting = list(Attempt.objects.exclude(state__in=FINAL_ATTEMPT_STATES).order_by("number"))
            assert len(waiting) <= 1 + ahead
            wanted = [each for each in waiting if each.desired == "run"]
            heads = [each for each in wanted if each.after is None or each.after.state in FINAL_ATTEMPT_STATES]
            assert len(heads) <= 1
            if not run.is_final:
                assert waiting
        used = sum(UsageEntry.objects.values_list("accelerator_seconds", flat=True))
        assert used == world.balance().used_accelerator_seconds
