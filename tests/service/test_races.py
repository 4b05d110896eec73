"""Two at once: of racing changes one wins, and amounts never count twice. Real threads, real transactions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from django.db import connection

from hanse.contracts.agentapi import Hello
from hanse.contracts.errors import Conflict, PolicyError
from hanse.service.access.models import Allocation, LoginLink
from hanse.service.runs.models import Attempt, Machine, Run, UsageEntry
from hanse.service.tick import tick
from tests.service.fixtures import HOUR, Agent, World, a_machine

THREADS = 6


def at_once(actions: list[Callable[[], Any]]) -> list[Any]:
    """What each action answered or raised, all started together."""
    start, results = threading.Barrier(len(actions)), [None] * len(actions)

    def run(index: int) -> None:
        start.wait(10)
        try:
            results[index] = actions[index]()
        except Exception as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_of_many_hellos_at_once_each_winner_has_an_epoch_of_its_own(shared_world: World) -> None:
    hello = Hello(machine=a_machine(), software="race")

    def greet() -> int:
        return Machine.objects.get().greet(hello, ticket_key="k").epoch

    answers = at_once([greet] * THREADS)
    epochs = [answer for answer in answers if isinstance(answer, int)]
    assert epochs and len(set(epochs)) == len(epochs)
    assert all(isinstance(answer, int | Conflict) for answer in answers), answers
    assert Machine.objects.get().agent_epoch == 1 + len(epochs)


def test_the_same_final_observation_from_many_connections_debits_once(shared_world: World) -> None:
    world = shared_world
    run = world.launch()
    final = world.agent.seen(world.attempt(run), "stopped", step=10, accelerator_seconds=600)
    answers = at_once([lambda: world.agent.sync(final)] * THREADS)
    assert not [answer for answer in answers if isinstance(answer, Exception)], answers
    assert UsageEntry.objects.get().accelerator_seconds == 600
    assert Attempt.objects.count() == 2


def test_launches_at_once_never_reserve_more_than_was_granted(shared_world: World) -> None:
    world = shared_world
    Allocation.objects.update(granted_accelerator_seconds=4 * HOUR)
    answers = at_once([lambda: world.launch()] * THREADS)
    assert all(isinstance(answer, Run | PolicyError) for answer in answers), answers
    assert Run.objects.count() == 2
    assert world.balance().free_accelerator_seconds == 0


def test_cancelling_while_the_agent_reports_ends_in_one_sound_state(shared_world: World) -> None:
    world = shared_world
    for _ in range(4):
        run = world.launch()
        world.agent.sync()
        attempt = world.attempt(run)
        final = world.agent.seen(attempt, "stopped", step=1, accelerator_seconds=5)
        answers = at_once([
            lambda run=run: Run.objects.get(pk=run.pk).cancel(by="founder"),
            lambda final=final: world.agent.sync(final),
        ])  # fmt: skip
        assert not [answer for answer in answers if isinstance(answer, Exception)], answers
        run.refresh_from_db()
        open_attempts = [a for a in Attempt.objects.filter(leg__run=run) if a.state == "planned"]
        assert run.state in ("cancelled", "cancelling")
        assert UsageEntry.objects.filter(attempt=attempt).count() == 1
        if run.state == "cancelling":
            world.agent.report(open_attempts[0], "cancelled")
        run.refresh_from_db()
        assert run.state == "cancelled"


def test_a_cancel_racing_the_first_offer_never_cancels_what_an_agent_was_told_to_run(shared_world: World) -> None:
    world = shared_world
    for _ in range(4):
        run = world.launch()
        _, offer = at_once([lambda run=run: Run.objects.get(pk=run.pk).cancel(by="founder"), world.agent.sync])
        assert not isinstance(offer, Exception), repr(offer)
        told = [a for a in offer.assignments if a.run_id == run.public_id]
        run.refresh_from_db()
        assert run.state == ("cancelling" if told else "cancelled")
        if told:
            world.agent.report(told[0].attempt_id, "cancelled")


def test_a_login_link_followed_twice_at_once_signs_in_once(shared_world: World) -> None:
    secret, _ = LoginLink.issue(shared_world.founder)
    answers = at_once([lambda: LoginLink.use(secret)] * THREADS)
    assert sum(answer is not None for answer in answers) == 1, answers


def test_ticks_at_once_note_everything_once(shared_world: World) -> None:
    Machine.objects.update(last_heard_at="2020-01-01T00:00:00Z")
    Allocation.objects.update(starts="2020-01-01", ends="2020-02-01")
    answers = at_once([tick] * THREADS)
    assert not [answer for answer in answers if isinstance(answer, Exception)], answers
    assert shared_world.events("service:machine:away") == shared_world.events("service:allocation:ended") == 1


def test_an_older_agent_racing_a_newer_one_leaves_one_epoch_speaking(shared_world: World) -> None:
    world = shared_world
    run = world.launch()
    old = world.agent
    final = old.seen(world.attempt(run), "finished", accelerator_seconds=5)
    new = Agent(Machine.objects.get())
    sync, _ = at_once([lambda: old.sync(final), new.hello])
    if isinstance(sync, Conflict):
        assert not UsageEntry.objects.exists()
        new.report(world.attempt(run), "finished", accelerator_seconds=5)
    assert UsageEntry.objects.get().accelerator_seconds == 5
