"""A run that moved: begun on one machine, going on at another, with its checkpoint on the way between them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hanse.contracts.base import now
from hanse.contracts.placement import Placement, PlacementOption, Unusable
from hanse.contracts.plan import Interval
from hanse.machines import catalogue
from hanse.service.runs.models import Attempt, Event, Leg, Machine, Run, UsageEntry
from hanse.service.runs.parcels import Parcel
from tests.portal import seed
from tests.reporting import records


def run(owner: Any) -> Run:
    """On Leonardo, after this machine was drained."""
    made = seed.run(records.under_way(), owner)
    first = made.legs.get()
    facts = catalogue.load("leonardo-booster")
    second = Machine.objects.create(
        public_id=facts.id, site=first.machine.site, facts=facts, last_heard_at=now(), agent_epoch=1
    )
    one = Attempt.objects.get(leg=first)
    Attempt.objects.filter(pk=one.pk).update(state="stopped", ended_at=now(), accelerator_seconds=136)
    UsageEntry.objects.create(allocation=first.allocation, attempt=one, accelerator_seconds=136, recorded_at=now())
    Leg.objects.filter(pk=first.pk).update(left_because="local is drained")
    onward = Leg.objects.create(run=made, number=2, machine=second, allocation=first.allocation)
    two = Attempt.objects.create(
        leg=onward, number=1, job=one.job, ticket=one.ticket, reserved_accelerator_seconds=0, planned_at=now(),
        state="queued", reason="Priority", job_id="991", expected_start_at=now() + timedelta(hours=2),
    )  # fmt: skip
    Parcel.objects.create(
        run=made, kind="checkpoint", from_machine=first.machine, to_machine=second, state="moving", step=96,
        total_bytes=4_000_000_000, sent_bytes=1_000_000_000, ordered_at=now(),
    )  # fmt: skip
    Event.record("service:run:moved", made.public_id, by="tick", reason="local is drained", source="local",
                 target=facts.id, step=96)  # fmt: skip
    Event.record("service:attempt:planned", two.public_id, by="service", number=1)
    Run.objects.filter(pk=made.pk).update(state="queued", placement=placement(facts.id))
    return Run.objects.get(pk=made.pk)


def placement(other: str) -> Placement:
    def option(machine: str, hours: float, wait_s: float) -> PlacementOption:
        wait = Interval(low=wait_s, expected=wait_s, high=wait_s)
        end = Interval(low=hours * 3000, expected=hours * 3600, high=hours * 4000)
        return PlacementOption(
            machine=machine, allocation_id="alc-1", nodes=2, wait_s=wait, finish_s=end,
            step_time_s=Interval(low=0.5, expected=0.62, high=0.8), free_accelerator_seconds=36_000, data_there=True,
            accelerator_seconds=326, reasons=("its data lies there",),
        )  # fmt: skip

    return Placement(
        options=(option("local", 2, 0), option(other, 5, 7200)), why="It would end there 3 h sooner than on the next.",
        unusable=(Unusable(machine="lumi-g", reason="you have no hours there"),), decided_at=now(),
    )  # fmt: skip
