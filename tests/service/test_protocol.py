"""The agent protocol under everything networks and restarts do to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanse.contracts.agentapi import Hello, Observation, SyncRequest
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.contracts.run import AttemptState
from hanse.service.runs.models import Attempt, Event, Machine, UsageEntry
from hanse.service.runs.sync import sync
from hanse.service.tick import tick
from tests.service.fixtures import Agent, World, a_machine, make_world

pytestmark = pytest.mark.django_db


def test_a_new_hello_raises_the_epoch_and_the_older_agent_is_refused(world: World) -> None:
    old = Agent(world.machine, epoch=world.agent.epoch)
    world.agent.hello()
    assert world.agent.epoch == old.epoch + 1
    with pytest.raises(Conflict, match="epoch 1 is over"):
        old.sync()
    with pytest.raises(Conflict):
        Agent(world.machine, epoch=world.agent.epoch + 5).sync()


def test_a_final_observation_sent_again_and_again_debits_once(world: World) -> None:
    run = world.launch()
    final = world.agent.seen(world.attempt(run), "finished", accelerator_seconds=600)
    answers = [world.agent.sync(final) for _ in range(4)]
    assert {answer.acknowledged for answer in answers} == {final.sequence}
    assert UsageEntry.objects.get().accelerator_seconds == 600


def test_a_restarted_agent_that_reports_the_same_end_in_a_new_epoch_debits_once(world: World) -> None:
    run = world.launch()
    world.agent.report(world.attempt(run), "finished", accelerator_seconds=600)
    world.agent.hello()
    answer = world.agent.report(world.attempt(run), "finished", accelerator_seconds=601)
    assert answer.acknowledged == 1
    assert UsageEntry.objects.get().accelerator_seconds == 600


def test_an_observation_that_comes_late_changes_nothing(world: World) -> None:
    run = world.launch()
    early = world.agent.seen(world.attempt(run), "queued")
    world.agent.report(world.attempt(run), "running", step=9)
    assert world.agent.sync(early).acknowledged == 2
    assert world.attempt(run).state == "running"


def test_observations_of_one_request_are_taken_in_their_order_whatever_order_they_lie_in(world: World) -> None:
    run = world.launch()
    attempt = world.attempt(run)
    queued, running = world.agent.seen(attempt, "queued"), world.agent.seen(attempt, "running")
    final = world.agent.seen(attempt, "finished", accelerator_seconds=5)
    world.agent.sync(final, queued, running)
    states = Event.objects.filter(subject_id=attempt.public_id, name__startswith="agent:attempt").values_list(
        "name", flat=True
    )
    assert [name.rpartition(":")[2] for name in states] == ["queued", "running", "finished"]


def test_an_agent_cannot_speak_of_another_machines_attempts(world: World) -> None:
    run = world.launch()
    other = Agent(Machine.objects.create(public_id="other", site=world.site))
    other.hello()
    answer = other.report(world.attempt(run), "finished", accelerator_seconds=10**9)
    assert answer.acknowledged == 1 and answer.assignments == ()
    assert world.attempt(run).state == "planned" and not UsageEntry.objects.exists()


def test_an_agent_cannot_say_hello_for_another_machine(world: World) -> None:
    with pytest.raises(PolicyError, match="not other"):
        world.agent.hello(a_machine("other"))


def test_a_protocol_this_service_does_not_speak_is_named(world: World) -> None:
    with pytest.raises(UsageError, match="protocol 9"):
        world.machine.greet(Hello(protocol=9, machine=a_machine(), software="x"), ticket_key="k")
    with pytest.raises(UsageError, match="protocol 9"):
        sync(world.machine, SyncRequest(protocol=9, epoch=1))


def test_a_draining_machine_is_told_so_and_keeps_what_it_has(world: World) -> None:
    world.launch()
    Machine.objects.update(draining=True)
    answer = world.agent.sync()
    assert answer.drain and len(answer.assignments) == 1


def test_an_agent_away_is_noted_once_and_so_is_its_return(world: World) -> None:
    later = now() + timedelta(minutes=5)
    assert [tick(later).agents_away for _ in range(3)] == [1, 0, 0]
    assert world.machine.status().away is False
    for _ in range(2):
        world.agent.sync()
    assert world.events("service:machine:away") == world.events("agent:machine:back") == 1


def test_an_attempt_waits_for_an_agent_that_is_away_and_is_offered_when_it_is_back(world: World) -> None:
    run = world.launch()
    tick(now() + timedelta(days=5))
    run.refresh_from_db()
    assert run.state == "queued"
    world.agent.hello()
    assert [a.run_id for a in world.agent.sync().assignments] == [run.public_id]


@contextmanager
def rolled_back() -> Iterator[World]:
    """A world of one hypothesis example."""
    with transaction.atomic():
        yield make_world()
        transaction.set_rollback(True)


STATES = [state.value for state in AttemptState]
SEEN = st.tuples(
    st.sampled_from(STATES),
    st.integers(0, 3),
    st.integers(0, 5000),
    st.integers(0, 20),
    st.booleans(),
    st.integers(0, 9),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.lists(SEEN, min_size=1, max_size=25))
def test_hours_are_conserved_and_the_run_stays_sound_whatever_is_observed_repeated_or_delayed(
    db: None, story: list[tuple[str, int, int, int, bool, int]]
) -> None:
    with rolled_back() as world:
        run = world.launch()
        first_final: dict[str, int] = {}
        sent: list[Observation] = []
        for state, which, seconds, step, restart, again in story:
            if restart:
                world.agent.hello()
            attempts = list(Attempt.objects.order_by("number"))
            attempt = attempts[which % len(attempts)]
            seen = world.agent.seen(attempt, state, accelerator_seconds=seconds, step=step)
            if attempt.state not in ("finished", "stopped", "failed", "cancelled") and state in (
                "finished", "stopped", "failed", "cancelled"
            ):  # fmt: skip
                first_final[attempt.public_id] = seconds
            sent.append(seen)
            late = [old for old in sent[-1 - again :] if old.epoch <= world.agent.epoch]
            world.agent.sync(*late)
            if len(story) % 7 == 0 and again == 9:
                run.refresh_from_db()
                if not run.is_final:
                    run.cancel(by="founder")
        run.refresh_from_db()
        entries = UsageEntry.objects.all()
        assert {e.attempt.public_id: e.accelerator_seconds for e in entries} == first_final
        balance = world.balance()
        assert balance.used_accelerator_seconds == sum(first_final.values())
        open_attempts = [
            a for a in Attempt.objects.all() if a.state not in ("finished", "stopped", "failed", "cancelled")
        ]
        assert balance.reserved_accelerator_seconds == sum(a.reserved_accelerator_seconds for a in open_attempts)
        assert len(open_attempts) == (0 if run.is_final else 1)
        assert balance.granted_accelerator_seconds >= balance.reserved_accelerator_seconds
        assert Attempt.objects.count() <= run.spec.where.max_attempts
