"""A run with a leg on each of several machines at once: launched whole, gone on with leg by leg, ended by the last."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Web
from django.test.utils import CaptureQueriesContext

from hanse.client.answers import LaunchLeg, LaunchRequest
from hanse.contracts.across import AcrossSpec
from hanse.contracts.agentapi import Exchange, TrailBatch, TrailLine
from hanse.contracts.base import now
from hanse.contracts.errors import PolicyError, UsageError
from hanse.contracts.layout import Layout
from hanse.contracts.outer import OuterRow, OuterShare
from hanse.contracts.run import FINAL_ATTEMPT_STATES
from hanse.contracts.spec import TrainSpec
from hanse.contracts.telemetry import DatasetRead, TrainResult
from hanse.service.access.models import Allocation
from hanse.service.runs import abreast, arrivals, placing
from hanse.service.runs.launch import launch
from hanse.service.runs.models import Attempt, Event, Machine, Run, StepRow, UsageEntry
from hanse.service.runs.record import record_of
from hanse.tickets import keys
from hanse.tickets.signing import verify
from tests.portal.test_queries import MOST
from tests.service.fixtures import HOUR, Agent, World, a_plan, a_row, a_spec

pytestmark = pytest.mark.django_db
NAMES = ("local", "second", "third")


@dataclass
class Legs:
    """A run across machines with the agents of all of them."""

    world: World
    agents: dict[str, Agent]
    allocations: dict[str, Allocation]

    def ask(self, names: tuple[str, ...] = NAMES, *, hours: float = 1.0, **across: Any) -> LaunchRequest:
        spec = a_spec(across=AcrossSpec(**across), where={"machines": names, "max_gpu_hours": 40.0})
        legs = tuple(
            LaunchLeg(
                machine=name, allocation=self.allocations[name].public_id, inner_steps=10 - place,
                plan=a_plan(
                    machine=name, layout=Layout(nodes=2, dp=2, micro_batch=1), accelerator_seconds=round(hours * HOUR)
                ),
            )
            for place, name in enumerate(names)
        )  # fmt: skip
        first = legs[0]
        return LaunchRequest(
            spec=spec, plan=first.plan, allocation=first.allocation, machine=first.machine, legs=legs
        )  # fmt: skip

    def launch(self, names: tuple[str, ...] = NAMES, **how: Any) -> Run:
        return launch(self.world.founder, self.ask(names, **how))

    def attempt(self, run: Run, name: str) -> Attempt:
        """The latest one of a leg."""
        found = Attempt.objects.filter(leg__run=run, leg__slot=name).select_related("leg__run", "machine")
        return found.order_by("-leg__number", "-number")[0]

    def report(self, run: Run, name: str, state: str, **more: Any) -> Run:
        self.agents[name].report(self.attempt(run, name), state, **more)
        run.refresh_from_db()
        return run

    def fail(self, run: Run, name: str) -> Run:
        """Three failures in a row without a step: the leg is lost."""
        for _ in range(3):
            self.report(run, name, "failed", exit_code=1, error="no such file")
        return run


@pytest.fixture
def legs(world: World) -> Legs:
    agents, allocations = {"local": world.agent}, {"local": world.allocation}
    today = now().date()
    for name in NAMES[1:]:
        machine = Machine.objects.create(public_id=name, site=world.site)
        agents[name] = Agent(machine)
        agents[name].hello()
        machine.refresh_from_db()
        allocations[name] = Allocation.open(
            by="test", project=world.project, machine=machine, granted_accelerator_seconds=100 * HOUR,
            starts=today - timedelta(days=1), ends=today + timedelta(days=30),
        )  # fmt: skip
    return Legs(world, agents, allocations)


def test_every_machine_gets_a_job_of_its_own_whose_ticket_names_the_same_terms(legs: Legs) -> None:
    run = legs.launch(codec="int8", wait_s=30.0)
    assert run.across is not None
    assert [each.name for each in run.across.legs] == list(NAMES)
    assert [each.inner_steps for each in run.across.legs] == [10, 9, 8]
    assert (run.across.codec, run.across.wait_s, run.across.inner_steps) == ("int8", 30.0, 10)
    for name, agent in legs.agents.items():
        [assignment] = agent.sync().assignments
        ticket = verify(assignment.ticket, public_key(), at=now())
        assert (ticket.machine, ticket.outer_sha256) == (name, run.across.digest())
        assert assignment.plan is not None and assignment.plan.machine == name
    assert {leg.slot: leg.allocation.public_id for leg in run.legs.all()} == {
        name: allocation.public_id for name, allocation in legs.allocations.items()
    }


def test_an_agent_gets_the_key_of_its_own_leg_and_of_no_other(legs: Legs, client: Web) -> None:
    run = legs.launch()
    assert run.across is not None

    def asked(name: str, of: str) -> Any:
        token = legs.world.agent_token(legs.agents[name].machine)
        path = f"/api/agent/v1/attempts/{legs.attempt(run, of).public_id}/exchange"
        return client.get(path, headers={"Authorization": f"Bearer {token}"})

    private = set()
    for name in NAMES:
        answer = asked(name, name)
        given = Exchange.from_json(answer.content)
        assert given.launch.leg == name and given.launch.terms == run.across
        assert keys.public_key_b64(base64.b64decode(given.key)) == run.across.leg(name).public_key
        private.add(given.key)
        assert "private" in answer["Cache-Control"]
    assert len(private) == len(NAMES)
    assert asked("local", "second").status_code == 404
    ordinary = legs.world.launch()
    token = legs.world.agent_token()
    path = f"/api/agent/v1/attempts/{legs.world.attempt(ordinary).public_id}/exchange"
    assert client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 409


def test_the_private_keys_lie_in_no_table(legs: Legs) -> None:
    run = legs.launch()
    given = exchange_of(legs, run, "second")
    for model in (Run, Attempt, Event):
        for row in model.objects.values():
            assert given.key not in repr(row)


def test_the_run_runs_with_its_first_leg_and_ends_with_its_last(legs: Legs) -> None:
    run = legs.launch()
    assert legs.report(run, "second", "running", step=1).state == "running"
    legs.report(run, "local", "queued")
    assert run.state == "running", "a leg that waits does not stop the one that trains"
    legs.report(run, "third", "running")
    legs.report(run, "local", "running")
    for name in ("third", "local"):
        legs.report(run, name, "finished", step=100, accelerator_seconds=60, exit_code=0)
        assert run.state == "running"
    legs.report(run, "second", "finished", step=100, accelerator_seconds=60, exit_code=0)
    assert run.state == "finished" and run.reason == ""
    charged = UsageEntry.objects.values_list("allocation__machine__public_id", "accelerator_seconds")
    assert dict(charged) == dict.fromkeys(NAMES, 60)


def test_a_leg_that_is_killed_goes_on_on_its_own_machine_whatever_the_others_do(legs: Legs) -> None:
    run = legs.launch()
    for name in NAMES:
        legs.report(run, name, "running", step=5)
    killed = legs.attempt(run, "second")
    legs.report(run, "second", "failed", step=40, raw_state="NODE_FAIL")
    follower = legs.attempt(run, "second")
    assert (follower.leg_id, follower.number) == (killed.leg_id, 2)
    assert run.state == "running" and run.legs.count() == 3
    told = {each.attempt_id for each in legs.agents["second"].sync().assignments}
    assert told == {follower.public_id}


def test_one_lost_leg_is_gone_on_without_and_the_reason_stands(legs: Legs) -> None:
    run = legs.launch()
    for name in ("local", "third"):
        legs.report(run, name, "running", step=5)
    legs.fail(run, "second")
    assert run.state == "running" and run.reason.startswith("Tried second: 3 attempts in a row failed")
    assert not Attempt.objects.filter(leg__slot="second").exclude(state__in=FINAL_ATTEMPT_STATES).exists()
    for name in ("local", "third"):
        [told] = legs.agents[name].sync().lost
        assert (told.run_id, told.names) == (run.public_id, ("second",)), "the others need not wait for it"
    assert legs.agents["second"].sync().lost == ()
    for name in ("local", "third"):
        legs.report(run, name, "finished", step=100, exit_code=0)
    assert run.state == "finished" and "second" in run.reason


def test_with_too_few_legs_to_commit_the_run_fails_and_the_rest_is_ended(legs: Legs) -> None:
    run = legs.launch()
    legs.report(run, "third", "running", step=5)
    legs.fail(run, "local")
    assert run.state in {"queued", "running"}
    legs.fail(run, "second")
    assert run.state == "failed" and "third alone may not commit for all" in run.reason
    [wanted] = legs.agents["third"].sync().assignments
    assert wanted.desired == "cancel"


def test_of_two_legs_the_first_may_go_on_alone_and_the_second_may_not(legs: Legs) -> None:
    without_second = legs.fail(legs.launch(NAMES[:2]), "second")
    assert without_second.state == "queued"
    without_first = legs.fail(legs.launch(NAMES[:2]), "local")
    assert without_first.state == "failed"


def test_fewer_legs_than_the_terms_want_are_too_few(legs: Legs) -> None:
    run = legs.fail(legs.launch(min_legs=3), "second")
    assert run.state == "failed"


def test_legs_queued_ahead_are_chains_of_their_own(legs: Legs) -> None:
    run = legs.launch(hours=4)
    counts = {name: Attempt.objects.filter(leg__run=run, leg__slot=name).count() for name in NAMES}
    assert counts == dict.fromkeys(NAMES, 2)
    for name in NAMES:
        assert legs.attempt(run, name).after is not None
        first = Attempt.objects.get(leg__run=run, leg__slot=name, number=1)
        legs.agents[name].report(first, "running", step=3)
    first = Attempt.objects.get(leg__run=run, leg__slot="second", number=1)
    legs.agents["second"].sync()
    legs.agents["second"].report(first, "finished", step=100, exit_code=0)
    [ahead] = [each for each in legs.agents["second"].sync().assignments if each.number == 2]
    assert ahead.desired == "cancel"
    legs.report(run, "second", "cancelled")
    assert run.state == "running", "the other legs train on"
    assert not run.legs.exclude(left_because="").exists()


def test_a_leg_never_moves_to_another_machine(legs: Legs) -> None:
    run = legs.launch()
    Machine.objects.filter(public_id="second").update(draining=True, away_since=now() - timedelta(days=2))
    at = now() + timedelta(days=3)
    assert placing.look_after(at) == 0 and arrivals.look_after(at) == 0
    legs.report(run, "local", "failed", reason="Not submitted: the partition is closed")
    assert run.legs.count() == 3 and legs.attempt(run, "local").number == 2


def test_cancelling_ends_every_leg(legs: Legs) -> None:
    run = legs.launch()
    for name in ("local", "second"):
        legs.report(run, name, "running")
    run.cancel(by="founder")
    run.refresh_from_db()
    assert run.state == "cancelling" and legs.attempt(run, "third").state == "cancelled"
    legs.report(run, "local", "cancelled")
    assert run.state == "cancelling"
    legs.report(run, "second", "cancelled")
    assert run.state == "cancelled"


def test_a_failed_run_begins_again_on_all_its_machines(legs: Legs) -> None:
    run = legs.fail(legs.fail(legs.launch(), "local"), "second")
    legs.report(run, "third", "cancelled")
    run.retry(by="founder", key="once")
    run.retry(by="founder", key="once")
    assert run.state == "queued" and run.legs.count() == 6
    assert [leg.slot for leg in abreast.current(run)] == list(NAMES)
    for name in NAMES:
        legs.report(run, name, "running", step=1)
        legs.report(run, name, "finished", step=100, exit_code=0)
    assert run.state == "finished"
    with pytest.raises(UsageError, match="begins again on all of them"):
        legs.fail(legs.fail(legs.launch(), "local"), "second").retry(by="founder", machine="local")


def test_what_the_legs_trained_is_added_up(legs: Legs) -> None:
    run = legs.launch(NAMES[:2])
    for name, tokens in (("local", 30_000), ("second", 20_000)):
        read = DatasetRead(
            name="stdlib", source="python-stdlib", licence="PSF-2.0", samples=tokens // 64, tokens=tokens,
            shards_sha256="0" * 64,
        )  # fmt: skip
        result = TrainResult(
            steps=100, tokens=tokens, final_loss=2.0, unigram_entropy=5.0, vocab=512, parameters=100_000,
            dataset_tokens=60_000, datasets=(read,), training_s=10.0, finished_at=now(),
        )  # fmt: skip
        for _ in range(2):  # agents tell a result again after a lost answer
            legs.agents[name].sync(results=({"run_id": run.public_id, "result": result},))
    run.refresh_from_db()
    assert run.result is not None and run.result.tokens == 50_000
    assert [(each.samples, each.tokens) for each in run.result.datasets] == [(780, 50_000)]


def test_the_curve_is_one_legs_and_the_tokens_are_all_legs(legs: Legs) -> None:
    run = legs.launch(NAMES[:2])
    for name, last in (("local", 4), ("second", 6)):
        attempt = legs.attempt(run, name)
        StepRow.store(attempt, [a_row(step, loss=3.0 if name == "local" else 9.0) for step in range(1, last + 1)])
    assert [row.loss for row in StepRow.thinned(run)] == [3.0] * 4
    assert StepRow.tokens_of(run) == (4 + 6) * 512


def test_what_the_legs_exchanged_stands_in_the_record_and_on_the_runs_page(legs: Legs, client: Web) -> None:
    run = legs.launch(NAMES[:2], fragments=2)
    attempts = {name: legs.attempt(run, name) for name in NAMES[:2]}
    for name, loss in (("local", 3.0), ("second", 9.0)):
        StepRow.store(attempts[name], [a_row(step, loss=loss - step / 10) for step in range(1, 5)])

    def tell(name: str, *rows: OuterRow, of: str | None = None) -> None:
        lines = tuple(TrailLine(offset=100 * place, row=row) for place, row in enumerate(rows))
        batch = TrailBatch(attempt_id=attempts[of or name].public_id, lines=lines)
        for _ in range(2):  # again after a lost answer
            legs.agents[name].sync(trails=(batch,))

    def row(leg: str, what: str, number: int = 0, took: tuple[str, ...] = NAMES[:2], **more: Any) -> OuterRow:
        shares = tuple(OuterShare(leg=each, part_sha256="0" * 64, tokens=1) for each in took)
        done = {"parts": shares, "result_sha256": f"{number}" * 64} if what == "applied" else {}
        outer = {"outer_step": number // 2, "fragment": number % 2}
        return OuterRow(at=now(), what=what, leg=leg, attempt=1, **outer, **done, **more)

    for name in NAMES[:2]:
        tell(
            name, row(name, "sent", sent_bytes=1000), row(name, "applied", waited_s=2.0, received_bytes=1000),
            row(name, "sent", 1, sent_bytes=1000), row(name, "applied", 1),
            row(name, "sent", 2, sent_bytes=1000), row(name, "applied", 2, took=("local",)),
            row(name, "applied", 2, took=("local",)),
            *([row(name, "late", 2, reason="the part came after the commit")] if name == "second" else []),
        )  # fmt: skip
    tell("second", row("local", "sent", 3, sent_bytes=10**9), of="local")  # of another machine's leg: not its to tell
    across = record_of(run).across
    assert across is not None and (across.exchanges, across.differing) == (3, 0)
    assert [leg.name for leg in across.legs] == ["local", "second"]
    assert [leg.telemetry[-1].loss for leg in across.legs] == [2.6, 8.6]
    ours, theirs = (leg.tally for leg in across.legs)
    assert (ours.sent, ours.applied, ours.took_part, ours.sent_bytes, ours.waited_s) == (3, 3, 3, 3000, 2.0)
    assert (theirs.took_part, theirs.late, theirs.received_bytes) == (2, 1, 1000)
    assert [(each.first, each.last, each.legs) for each in across.spans] == [
        (0, 0, ("local", "second")), (1, 1, ("local",)),
    ]  # fmt: skip
    assert [(each.leg, each.what, each.outer_step) for each in across.happenings] == [("second", "late", 1)]
    client.force_login(legs.world.founder)
    with CaptureQueriesContext(connection) as queries:
        page = client.get(f"/runs/{run.public_id}/").content.decode()
    assert len(queries) <= MOST
    assert "What the legs exchanged" in page and page.count("Loss fell from") >= 2 and "1 late" in page
    assert record_of(legs.world.launch()).across is None


def test_legs_that_told_of_different_weights_are_counted(legs: Legs) -> None:
    run = legs.launch(NAMES[:2])
    for name, sha256 in (("local", "a"), ("second", "b")):
        applied = OuterRow(
            at=now(), what="applied", leg=name, attempt=1, outer_step=0, fragment=0, result_sha256=sha256 * 64
        )  # fmt: skip
        batch = TrailBatch(
            attempt_id=legs.attempt(run, name).public_id, lines=(TrailLine(offset=0, row=applied),)
        )  # fmt: skip
        legs.agents[name].sync(trails=(batch,))
    across = record_of(run).across
    assert across is not None and across.differing == 1


def test_a_launch_that_does_not_fit_one_machine_starts_none(legs: Legs) -> None:
    Allocation.objects.filter(pk=legs.allocations["second"].pk).update(granted_accelerator_seconds=60)
    with pytest.raises(PolicyError) as refused:
        legs.launch()
    assert any("are free" in line for line in refused.value.history)
    assert not Run.objects.exists() and not Attempt.objects.exists()


def test_the_cap_of_the_user_is_over_all_legs(legs: Legs) -> None:
    with pytest.raises(PolicyError) as refused:
        legs.launch(hours=20)
    assert any("All legs together take about 60" in line for line in refused.value.history)


def test_terms_that_contradict_themselves_are_refused_by_the_key_of_train_yaml(legs: Legs) -> None:
    with pytest.raises(UsageError, match="overlap_steps must be below") as refused:
        legs.launch(overlap_steps=50)
    assert refused.value.where.startswith("train.yaml, key across")
    asked = legs.ask()
    with pytest.raises(UsageError, match="across is for local, second, third"):
        launch(legs.world.founder, asked.model_copy(update={"legs": asked.legs[:2]}))
    with pytest.raises(UsageError, match="legs belong to a training with across"):
        launch(legs.world.founder, asked.model_copy(update={"spec": a_spec()}))


def test_a_spec_without_across_keeps_the_hash_it_had() -> None:
    spec = a_spec()
    assert not {"across", "compile"} & set(json.loads(spec.canonical()))
    assert TrainSpec.from_json(spec.to_json()).digest() == spec.digest()
    assert spec.digest() != a_spec(
        across=AcrossSpec(), where={"machines": ("local", "second")}
    ).digest()  # fmt: skip


def exchange_of(legs: Legs, run: Run, name: str) -> Exchange:
    from hanse.service.runs.exchanges import exchange_for

    return exchange_for(legs.attempt(run, name))


def public_key() -> str:
    from hanse.service.runs import issue

    return issue.public_key()
