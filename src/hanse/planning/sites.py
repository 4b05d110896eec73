"""Which machine a run should go to: waits, plans, hours and deadlines weighed, and said in words. Pure.

What ends soonest comes first; among those that end within a tenth of one another, what takes fewer accelerator-hours;
then the order in which the user named them. A machine that would be too late for the user's day comes last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final

from hanse.contracts.machine import Machine
from hanse.contracts.placement import Placement, PlacementOption, Unusable
from hanse.contracts.plan import Interval, Plan
from hanse.contracts.programme import Allocation
from hanse.contracts.site import MachineState, QueueWait
from hanse.contracts.spec import DatasetSpec, TrainSpec
from hanse.contracts.units import SECONDS_PER_HOUR, format_gpu_hours, format_seconds
from hanse.planning import jobs

GUESSED_WAIT_S: Final = Interval(low=0.0, expected=3600.0, high=86400.0)
"""Where nobody tells: an hour, perhaps a day."""
ALIKE: Final = 1.1
NOT_ASKED: Final = "not-asked"
"""Stands for the allocation where nobody was asked what is granted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A machine as a project finds it."""

    machine: Machine
    allocation: Allocation | None
    plan: Plan | None = None
    no_plan: str = ""
    """Why there is none, for a training."""
    state: MachineState | None = None
    past_waits: tuple[QueueWait, ...] = ()
    """Medians of what the service's own jobs waited there."""
    data_there: bool | None = None
    """All data of the spec was trained on there before; None: nobody knows."""
    hours_known: bool = True
    """False: nobody was asked what is granted, so that it rules nothing out."""
    away: bool = False
    draining: bool = False
    stopped: bool = False

    @property
    def partition(self) -> str:
        """The one that is granted; '' where the grant names none."""
        return (self.allocation.partition if self.allocation else None) or ""


def place(
    spec: TrainSpec,
    offers: Sequence[Offer],
    *,
    at: datetime,
    pinned: bool = False,
    beside: Sequence[Unusable] = (),
) -> Placement | None:
    """The machines in order, or None with nothing usable (`unusable_of` tells why). `beside`: ruled out already."""
    usable = [option(spec, offer, at=at) for offer in offers if not refusal(spec, offer, at=at)]
    if not usable:
        return None
    ordered = _ordered(usable)
    first = ordered[0]
    rest = [other.finish_s.expected for other in ordered[1:] if other.finish_s]
    margin = max(0.0, min(rest) - first.finish_s.expected) if rest and first.finish_s else 0.0
    return Placement(
        options=tuple(ordered), unusable=(*unusable_of(spec, offers, at=at), *beside), why=_why(ordered, pinned=pinned),
        decided_at=at, pinned=pinned, margin_s=margin,
    )  # fmt: skip


def unusable_of(spec: TrainSpec, offers: Iterable[Offer], *, at: datetime) -> tuple[Unusable, ...]:
    found = ((offer.machine.id, refusal(spec, offer, at=at)) for offer in offers)
    return tuple(Unusable(machine=id, reason=reason) for id, reason in found if reason)


def refusal(spec: TrainSpec, offer: Offer, *, at: datetime) -> str:
    """Why the machine cannot be used; '' if it can."""
    machine, granted = offer.machine, offer.allocation
    if offer.hours_known and (closed := _without_hours(granted, at)):
        return closed
    if offer.stopped:
        return "Its operator has stopped all jobs of Hanse's there."
    if offer.draining:
        return "It is drained: it takes nothing new."
    if spec.command is None and offer.plan is None:
        return offer.no_plan or "There is no plan for it."
    shape = jobs.shape_of(spec, offer.plan, machine, granted_partition=offer.partition)
    most = machine.nodes
    if most is not None and shape.nodes > most:
        return f"It takes {shape.nodes} nodes; the machine has {most}."
    needed = max(offer.plan.accelerator_seconds if offer.plan else 0, shape.held * jobs.MIN_WALL_TIME_S)
    if granted is not None and needed > granted.free_accelerator_seconds:
        free = format_gpu_hours(max(0, granted.free_accelerator_seconds))
        return f"It takes about {format_gpu_hours(needed)} there; {free} are free."
    if offer.plan and offer.plan.accelerator_seconds > spec.where.max_gpu_hours * SECONDS_PER_HOUR:
        return f"It takes about {format_gpu_hours(needed)} there, more than where.max_gpu_hours."
    return _closed(offer, shape)


def _without_hours(granted: Allocation | None, at: datetime) -> str:
    if granted is None:
        return "You have no hours there."
    if at.date() > granted.ends:
        return f"Your hours there ended on {granted.ends:%-d %B %Y}."
    if at.date() < granted.starts:
        return f"Your hours there begin on {granted.starts:%-d %B %Y}."
    return ""


def _closed(offer: Offer, shape: jobs.Shape) -> str:
    for partition in offer.state.partitions if offer.state else ():
        if shape.partition is not None and partition.name != shape.partition:
            continue
        if not partition.up:
            return f"Its partition {partition.name} is down{f': {partition.reason}' if partition.reason else ''}."
        if partition.nodes and shape.nodes > partition.nodes - partition.nodes_down:
            return f"Only {partition.nodes - partition.nodes_down} nodes of partition {partition.name} work now."
    return ""


def option(spec: TrainSpec, offer: Offer, *, at: datetime) -> PlacementOption:
    """What to expect of a usable machine."""
    granted = offer.allocation
    shape = jobs.shape_of(spec, offer.plan, offer.machine, granted_partition=offer.partition)
    wait, because, known = wait_of(offer, shape, at=at)
    count, finish, reasons = 1, None, [because]
    if offer.plan is not None:
        wall = offer.plan.wall_time_s
        count = max(1, math.ceil(wall.expected / shape.wall_time_s))
        finish = Interval(
            low=wait.low + wall.low, expected=wait.expected * count + wall.expected,
            high=max(wait.high * count + wall.high, wait.expected * count + wall.expected),
        )  # fmt: skip
        if count > 1:
            reasons.append(f"{count} jobs one after another, each of at most {span(shape.wall_time_s)}.")
    if offer.away:
        reasons.append("Its agent is away: nothing starts before it is back.")
    in_time = True
    if spec.where.finish_by is not None and finish is not None:
        end = datetime.combine(spec.where.finish_by + timedelta(days=1), time(), tzinfo=UTC)
        in_time = at + timedelta(seconds=finish.expected) <= end
        if not in_time:
            reasons.append(f"It would not be finished by {spec.where.finish_by:%-d %B %Y}.")
    expense = offer.plan.expense if offer.plan else None
    return PlacementOption(
        machine=offer.machine.id, allocation_id=granted.id if granted else NOT_ASKED, nodes=shape.nodes, jobs=count,
        wait_s=wait, wait_known=known, finish_s=finish,
        step_time_s=offer.plan.step_time.total_s if offer.plan else None,
        free_accelerator_seconds=granted.free_accelerator_seconds if granted else None, data_there=offer.data_there,
        accelerator_seconds=offer.plan.accelerator_seconds if offer.plan else None,
        site_unit=expense.unit if expense else None,
        site_amount=expense.amount.expected if expense and expense.amount else None,
        in_time=in_time and not offer.away, reasons=tuple(reasons),
    )  # fmt: skip


def wait_of(offer: Offer, shape: jobs.Shape, *, at: datetime) -> tuple[Interval, str, bool]:
    """How long a job of that shape waits: the scheduler's estimate, else the past's, else a guess; and which it is."""
    told = _nearest(offer.state.waits if offer.state else (), shape)
    past = _nearest(offer.past_waits, shape)
    known = [each.wait_s for each in (told, past) if each is not None]
    if known:
        expected = told.wait_s if told else known[0]
        wait = Interval(low=min(*known, expected), expected=expected, high=max(2 * expected, *known, 60.0))
        source = "by its scheduler's estimate" if told else "as your jobs waited there before"
        because = f"A job of {shape.nodes} nodes starts in about {span(expected)}, {source}."
    else:
        wait, because = GUESSED_WAIT_S, "Nobody tells how long a job waits there; an hour is guessed."
        idle = [p for p in (offer.state.partitions if offer.state else ()) if shape.partition in (None, p.name)]
        if any(p.nodes_idle >= shape.nodes and not p.pending_jobs for p in idle):
            wait, because = Interval(low=0.0, expected=0.0, high=600.0), f"{shape.nodes} nodes are idle there now."
            known = [0.0]
        elif offer.machine.scheduler.kind == "local":
            wait, because, known = Interval(low=0.0, expected=0.0, high=0.0), "It starts at once.", [0.0]
    for closed in offer.state.maintenance if offer.state else ():
        starts = at + timedelta(seconds=wait.expected)
        if (
            closed.nodes is None
            and closed.starts <= starts + timedelta(seconds=shape.wall_time_s)
            and starts < closed.ends
        ):
            until = max(0.0, (closed.ends - at).total_seconds())
            wait = Interval(low=wait.low, expected=max(wait.expected, until), high=max(wait.high, until))
            because += f" Maintenance until {closed.ends:%-d %B %H:%M} UTC comes first."
    return wait, because, bool(known)


def _nearest(waits: Iterable[QueueWait], shape: jobs.Shape) -> QueueWait | None:
    here = [each for each in waits if each.partition in (None, shape.partition) or shape.partition is None]
    near = sorted(here, key=lambda each: (each.nodes < shape.nodes, abs(math.log(each.nodes / shape.nodes))))
    return near[0] if near else None


def _ordered(options: list[PlacementOption]) -> list[PlacementOption]:
    def end(each: PlacementOption) -> float:
        return each.finish_s.expected if each.finish_s else each.wait_s.expected

    ordered: list[PlacementOption] = []
    for in_time in (True, False):
        left = [each for each in options if each.in_time is in_time]
        while left:
            soonest = min(end(each) for each in left)
            alike = [each for each in left if end(each) <= soonest * ALIKE]
            best = min(alike, key=lambda each: each.accelerator_seconds or 0)
            ordered.append(best)
            left.remove(best)
    return ordered


def _why(ordered: Sequence[PlacementOption], *, pinned: bool) -> str:
    first = ordered[0]
    if pinned:
        return f"You chose {first.machine}."
    if len(ordered) == 1:
        return f"{first.machine} is the only one that can take it."
    if not first.in_time:
        return f"None is expected to be in time; {first.machine} is the soonest."
    if first.finish_s is None:
        return f"{first.machine} is expected to start it first."
    sooner = [each for each in ordered[1:] if each.finish_s and each.finish_s.expected < first.finish_s.expected]
    if any(each.in_time for each in sooner):
        return f"{first.machine} takes fewer GPU-hours than others that would end at about the same time."
    return f"{first.machine} is expected to finish it first."


def in_words(placement: Placement) -> tuple[str, ...]:
    """The choice and its alternatives, a line each."""
    lines = [placement.why]
    for number, each in enumerate(placement.options):
        parts = [] if each.step_time_s is None else [f"{format_seconds(each.step_time_s.expected)} a step"]
        parts += [f"starts in {'' if each.wait_known else 'perhaps '}{span(each.wait_s.expected)}"]
        if each.finish_s is not None:
            low, high = span(each.finish_s.low), span(each.finish_s.high)
            parts.append(f"ends in {span(each.finish_s.expected)} ({low} to {high})")
        if each.accelerator_seconds is not None:
            parts.append(_hours(each))
        if each.site_amount is not None and each.site_unit and each.site_unit not in {"GPU-hour", "GPU-hours"}:
            parts.append(f"{each.site_amount:,.0f} {each.site_unit}")
        if each.data_there:
            parts.append("its data was trained on there before")
        mark = "→" if number == 0 else " "
        lines.append(f"{mark} {each.machine}, {each.nodes} nodes: {', '.join(parts)}. {' '.join(each.reasons)}")
    lines += [f"  not {each.machine}: {each.reason}" for each in placement.unusable]
    return tuple(lines)


def chosen_instead(placement: Placement, machine: str, passed_over: Sequence[Unusable], why: str = "") -> Placement:
    """The same placement with another of its options taken, as those before it turned out not to be usable."""
    out = {each.machine for each in passed_over}
    options = sorted(
        (each for each in placement.options if each.machine not in out), key=lambda o: o.machine != machine
    )
    ruled_out = (*placement.unusable, *passed_over)
    why = why or (_why(options, pinned=placement.pinned) if passed_over else placement.why)
    return placement.model_copy(update={"options": tuple(options), "unusable": ruled_out, "why": why})


def has_data(spec: TrainSpec, known: Iterable[DatasetSpec]) -> bool | None:
    """Whether all that the spec trains on is among `known`; None of a spec that names no data."""
    there = {(each.name, each.source) for each in known}
    return all((each.name, each.source) in there for each in spec.data) if spec.data else None


def _hours(option: PlacementOption) -> str:
    taken = format_gpu_hours(option.accelerator_seconds or 0)
    if option.free_accelerator_seconds is None:
        return taken
    return f"{taken} of {format_gpu_hours(option.free_accelerator_seconds)} that are free"


def span(seconds: float) -> str:
    """'2.5 days', '40 min', 'no time': as short as a table wants it."""
    if seconds < 1:
        return "no time"
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} s"
