"""Longer, more, elsewhere: asked by a project, decided by officers, kept with its history; and the law of hours."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanse.contracts.awarding import AwardPart, ChangeAsked, GivenBack
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, HanseError, PolicyError, UsageError
from hanse.service.access.awards import months_later
from hanse.service.access.models import Allocation, Membership
from hanse.service.awarding import holding
from hanse.service.awarding.changes import ChangeRequest
from hanse.service.awarding.models import Duty
from hanse.service.awarding.movements import Movement, hours_of
from hanse.service.runs.models import UsageEntry
from hanse.service.tick import tick
from tests.awarding.world import Programme
from tests.service.test_api import Http

pytestmark = pytest.mark.django_db
HOUR = 3600


def ask(programme: Programme, held: Allocation, kind: str, **more: Any) -> ChangeRequest:
    return ChangeRequest.ask(held, programme.world.founder, ChangeAsked(kind=kind, reason="We need it.", **more))


def test_an_extension_moves_the_end_and_the_final_report_within_what_the_call_allows(programme: Programme) -> None:
    held = programme.award()
    report = Duty.objects.get(name="final-report")
    with pytest.raises(UsageError, match="at most 3 months"):
        ask(programme, held, "extension", months=4)
    asked = ask(programme, held, "extension", months=3)
    with pytest.raises(Conflict, match="waits already"):
        ask(programme, held, "extension", months=1)
    assert asked.grant(programme.second, reason="It waited long in the queue.") == "granted"
    after = programme.held(held.public_id)
    assert after.ends == months_later(held.ends, 3)
    assert Duty.objects.get(pk=report.pk).due == months_later(after.ends, 3)
    with pytest.raises(PolicyError, match="that was done"):
        ask(programme, after, "extension", months=1)
    with pytest.raises(Conflict):
        asked.grant(programme.world.officer, reason="Twice.")


def test_more_hours_take_two_officers_and_stay_within_the_calls_share(programme: Programme) -> None:
    held = programme.award()
    with pytest.raises(UsageError, match="500 GPU-hours are left of that"):
        ask(programme, held, "supplement", gpu_hours=501)
    asked = ask(programme, held, "supplement", gpu_hours=500)
    assert asked.grant(programme.world.officer, reason="A good use.") == "proposed"
    assert programme.held(held.public_id).granted_accelerator_seconds == 1000 * HOUR
    with pytest.raises(PolicyError, match="another officer"):
        asked.grant(programme.world.officer, reason="Again.")
    assert asked.grant(programme.second, reason="I agree.") == "granted"
    assert programme.held(held.public_id).granted_accelerator_seconds == 1500 * HOUR
    with pytest.raises(UsageError, match="0 GPU-hours are left"):
        ask(programme, held, "supplement", gpu_hours=1)


def test_a_transfer_and_a_change_of_machine_keep_the_sum_and_say_what_it_means(programme: Programme) -> None:
    first = programme.award(
        parts=(AwardPart(machine="local", gpu_hours=600), AwardPart(machine="other", gpu_hours=400))
    )
    second = Allocation.objects.get(award=first.award, machine__public_id="other")
    moved = ask(programme, first, "transfer", gpu_hours=100, to_allocation=second.public_id)
    moved.grant(programme.second, reason="Fine.")
    third = ask(programme, programme.held(first.public_id), "machine", gpu_hours=50, machine="other", partition="big")
    assert "50.0\N{NO-BREAK SPACE}GPU-hours stay" in third.explained
    third.grant(programme.second, reason="Fine.")
    sums = dict(Allocation.objects.filter(award=first.award).values_list("public_id", "granted_accelerator_seconds"))
    assert sums[first.public_id] == 450 * HOUR and sums[second.public_id] == 500 * HOUR
    assert sum(sums.values()) == 1000 * HOUR and len(sums) == 3
    assert sum(Movement.objects.filter(change=moved).values_list("accelerator_seconds", flat=True)) == 0
    with pytest.raises(UsageError, match="no other allocation"):
        ask(programme, first, "transfer", gpu_hours=1, to_allocation=programme.world.allocation.public_id[:-1] + "x")
    with pytest.raises(UsageError, match="are free"):
        ask(programme, programme.held(first.public_id), "transfer", gpu_hours=451, to_allocation=second.public_id)


def test_who_asks_is_of_the_project_and_who_decides_is_not(programme: Programme) -> None:
    held = programme.award()
    stranger = ChangeAsked(kind="extension", reason="Mine.", months=1)
    with pytest.raises(PolicyError, match="only members"):
        ChangeRequest.ask(held, programme.world.stranger, stranger)
    asked = ask(programme, held, "extension", months=1)
    with pytest.raises(PolicyError, match="only a programme officer"):
        asked.grant(programme.world.founder, reason="Mine.")
    with pytest.raises(UsageError, match="needs its reason"):
        asked.decline(programme.second, reason="  ")
    Membership.objects.create(person=programme.second, organisation=programme.world.organisation)
    with pytest.raises(PolicyError, match="you stand in"):
        asked.grant(programme.second, reason="Mine.")
    asked.withdraw(programme.world.founder)
    assert asked.contract().state == "withdrawn"


def test_nothing_starts_on_a_suspended_allocation_until_it_is_resumed(programme: Programme) -> None:
    programme.world.allocation = programme.award()
    holding.suspend(programme.world.allocation, programme.second, reason="The data's licence is in doubt.")
    with pytest.raises(PolicyError) as refused:
        programme.world.launch()
    assert any("licence is in doubt" in finding.reason for finding in refused.value.findings)
    with pytest.raises(Conflict, match="suspended already"):
        holding.suspend(programme.world.allocation, programme.second, reason="Again.")
    holding.resume(programme.world.allocation, programme.second, reason="Settled.")
    assert programme.world.launch()


def test_hours_are_returned_by_the_project_and_what_an_ended_award_still_holds_by_the_tick(
    programme: Programme,
) -> None:
    held = programme.award()
    founder = programme.world.founder
    holding.give_back(held, founder, GivenBack(gpu_hours=300, reason="We are done early."))
    with pytest.raises(Conflict, match=r"700\.0 GPU-hours are free"):
        holding.give_back(held, founder, GivenBack(gpu_hours=701, reason="More."))
    UsageEntry.correct(held, 100 * HOUR, by="test", reason="Used.")
    end = now() + timedelta(days=120)
    tick(end)
    tick(end)
    after = hours_of(programme.held(held.public_id))
    assert (after.granted, after.used, after.returned, after.left) == (1000 * HOUR, 100 * HOUR, 900 * HOUR, 0)
    assert Movement.objects.filter(kind="returned").count() == 2


def test_every_act_has_its_place_in_the_api(programme: Programme) -> None:
    held, founder = programme.award(), Http(programme.world.token(programme.world.founder))
    first, second = (Http(programme.world.token(one)) for one in (programme.world.officer, programme.second))
    path = f"/api/v1/allocations/{held.public_id}"
    made = founder.post(f"{path}/requests", {"kind": "supplement", "gpu_hours": 10, "reason": "More data."})
    assert made.status_code == 201
    decide = f"/api/v1/requests/{made.json()['id']}/decide"
    assert founder.post(decide, {"decision": "grant", "reason": "mine"}).status_code == 403
    assert first.post(decide, {"decision": "accept", "reason": "x"}).status_code == 422
    assert first.post(decide, {"decision": "grant", "reason": "fine"}).json()["state"] == "proposed"
    assert second.post(decide, {"decision": "grant", "reason": "fine"}).json()["state"] == "granted"
    assert first.post(f"{path}/suspend", {"reason": "a doubt"}).json()["suspended"] == "a doubt"
    assert second.post(f"{path}/resume", {"reason": "settled"}).json()["suspended"] == ""
    told = founder.post(f"{path}/return", {"reason": "done"}).json()
    assert told["granted_accelerator_seconds"] == told["returned_accelerator_seconds"] == 1010 * HOUR
    stranger = Http(programme.world.token(programme.world.stranger))
    assert stranger.get(f"{path}/balance").status_code == 404
    assert stranger.get("/api/v1/requests").json()["count"] == 0


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["launch", "charge", "correct", "supplement", "transfer", "machine", "return", "end"]),
        st.integers(1, 400),
    ),
    min_size=4,
    max_size=7,
)


@given(ACTS)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_granted_is_used_and_returned_and_left_whatever_happens(
    programme: Programme, acts: list[tuple[str, int]]
) -> None:
    from django.db import transaction

    sid = transaction.savepoint()
    try:
        _live(programme, acts)
    finally:
        transaction.savepoint_rollback(sid)


def _live(programme: Programme, acts: list[tuple[str, int]]) -> None:
    parts = (AwardPart(machine="local", gpu_hours=600), AwardPart(machine="other", gpu_hours=400))
    first = programme.award(parts=parts)
    second = Allocation.objects.get(award=first.award, machine__public_id="other")
    programme.world.allocation = first
    total = 1000 * HOUR
    for act, amount in acts:
        before = _sums(first)
        try:
            _do(programme, first, second, act, amount)
        except HanseError:
            assert _sums(first) == before, f"{act} was refused and changed something"
        if act == "supplement":
            total = sum(granted for granted, *_ in _sums(first).values())
        _holds(first, total)


def _do(programme: Programme, first: Allocation, second: Allocation, act: str, amount: int) -> None:
    world = programme.world
    if act == "launch":
        world.launch()
    elif act == "charge" and (attempt := world.machine.open_attempts().first()) is not None:
        world.agent.report(attempt, "finished", step=100, accelerator_seconds=amount)
    elif act == "correct":
        UsageEntry.correct(first, amount * HOUR if amount % 2 else -amount, by="test", reason="A correction.")
    elif act == "supplement":
        asked = ask(programme, programme.held(first.public_id), "supplement", gpu_hours=amount)
        asked.grant(world.officer, reason="Yes.")
        asked.grant(programme.second, reason="Yes.")
    elif act == "transfer":
        held = programme.held(first.public_id)
        asked = ask(programme, held, "transfer", gpu_hours=amount, to_allocation=second.public_id)
        asked.grant(programme.second, reason="Yes.")
    elif act == "machine":
        held = programme.held(second.public_id)
        ask(programme, held, "machine", gpu_hours=amount, machine="local", partition="x").grant(
            programme.second, reason="Yes."
        )
    elif act == "return":
        holding.give_back(programme.held(first.public_id), world.founder, GivenBack(gpu_hours=amount, reason="Done."))
    elif act == "end":
        Allocation.objects.filter(pk=second.pk).update(ended_at=now(), ends=now().date() - timedelta(days=90))
        holding.return_what_is_left(now())


def _sums(first: Allocation) -> dict[str, tuple[int, ...]]:
    rows = Allocation.objects.with_balance().filter(award=first.award)
    told = {one.public_id: hours_of(one) for one in rows}
    return {name: (one.granted, one.used, one.returned, one.left, one.reserved) for name, one in told.items()}


def _holds(first: Allocation, total: int) -> None:
    for one in Allocation.objects.with_balance().filter(award=first.award):
        told = hours_of(one)
        assert told.granted == told.used + told.returned + told.left
        assert told.returned == one.returned_accelerator_seconds
        assert told.granted - told.returned == one.granted_accelerator_seconds, "the column is its movements' sum"
        assert told.left == one.free_accelerator_seconds + one.reserved
    assert sum(granted for granted, *_ in _sums(first).values()) == total
