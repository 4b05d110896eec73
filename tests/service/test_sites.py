"""Which machine a run goes to, and how that is said."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hanse.contracts.plan import Interval
from hanse.contracts.programme import Allocation
from hanse.contracts.site import MachineState, PartitionState, QueueWait
from hanse.planning import sites
from tests.service.fixtures import HOUR, a_machine, a_plan, a_spec

AT = datetime(2026, 3, 1, tzinfo=UTC)


def an_offer(
    id: str, *, wait_s: float | None = None, wall_s: float = 1000.0, cost: int = 2000, **more: Any
) -> sites.Offer:
    granted = Allocation(
        id=f"alc-{id}", project="prj-a", machine=id, granted_accelerator_seconds=100 * HOUR,
        used_accelerator_seconds=0, reserved_accelerator_seconds=0, starts=date(2026, 1, 1), ends=date(2026, 12, 31),
    )  # fmt: skip
    plan = a_plan(machine=id, accelerator_seconds=cost)
    plan = plan.model_copy(
        update={
            "machine": id,
            "wall_time_s": Interval(low=wall_s, expected=wall_s, high=wall_s),
            "accelerator_seconds": cost,
        }
    )
    waits = () if wait_s is None else (QueueWait(nodes=2, wall_time_s=HOUR, wait_s=wait_s),)
    known = {"allocation": granted, "plan": plan, "state": MachineState(at=AT, waits=waits)} | more
    return sites.Offer(machine=a_machine(id), **known)


def chosen(*offers: sites.Offer, **where: Any) -> list[str]:
    placed = sites.place(a_spec(where=where), offers, at=AT)
    return [each.machine for each in placed.options] if placed else []


def test_the_one_that_ends_soonest_is_chosen_waits_counted() -> None:
    assert chosen(an_offer("fast", wait_s=5000.0, wall_s=500.0), an_offer("idle", wait_s=0.0)) == ["idle", "fast"]


def test_of_two_that_end_alike_the_cheaper_is_chosen() -> None:
    assert chosen(an_offer("dear", wait_s=0.0, cost=9000), an_offer("cheap", wait_s=50.0))[0] == "cheap"


def test_what_cannot_be_used_is_named_with_the_reason() -> None:
    down = MachineState(at=AT, partitions=(PartitionState(name="p", up=False, reason="maintenance"),))
    offers = [
        an_offer("a"), an_offer("b", allocation=None), an_offer("c", draining=True), an_offer("d", state=down),
        an_offer("e", plan=None, no_plan="the model does not fit into its memory"), an_offer("f", cost=200 * HOUR),
    ]  # fmt: skip
    placed = sites.place(a_spec(), offers, at=AT)
    assert placed and [each.machine for each in placed.options] == ["a"]
    told = {each.machine: each.reason for each in placed.unusable}
    assert "no hours" in told["b"] and "drained" in told["c"] and "p is down: maintenance" in told["d"]
    assert "fit" in told["e"] and "free" in told["f"]
    words = "\n".join(sites.in_words(placed))
    assert "→ a, 2 nodes" in words and "not d: Its partition p is down" in words


def test_a_machine_too_late_for_the_users_day_comes_last_and_says_so() -> None:
    late = an_offer("late", wait_s=0.0, wall_s=3.05 * 86400.0, cost=10)
    soon = an_offer("soon", wait_s=0.0, wall_s=2.9 * 86400.0)
    day = (AT + timedelta(days=2)).date()
    assert chosen(late, soon, finish_by=day) == ["soon", "late"]
    placed = sites.place(a_spec(where={"finish_by": day}), [late], at=AT)
    assert (placed and "None is expected to be in time" in placed.why) or "only one" in placed.why


def test_the_past_tells_a_wait_where_the_scheduler_does_not_and_a_guess_is_marked() -> None:
    past = (QueueWait(nodes=2, wall_time_s=HOUR, wait_s=600.0),)
    placed = sites.place(a_spec(), [an_offer("a", past_waits=past), an_offer("b", state=None)], at=AT)
    assert placed is not None
    found = {each.machine: each for each in placed.options}
    assert found["a"].wait_s.expected == 600.0 and "before" in found["a"].reasons[0]
