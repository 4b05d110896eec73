"""Whether a run may start: an ordered list of checks, each answering with findings; the worst verdict wins.

The checks are pure. They read a `Request` that was put together, with the allocation's balance, under the lock that
keeps other launches out until this one is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from hanse.contracts.decision import Decision, Finding, Verdict, worst
from hanse.contracts.machine import Machine, Partition
from hanse.contracts.plan import Plan
from hanse.contracts.programme import Allocation
from hanse.contracts.spec import TrainSpec
from hanse.contracts.units import SECONDS_PER_HOUR, format_gpu_hours
from hanse.planning import jobs
from hanse.planning import supported as planning
from hanse.workloads import supported as workloads

POLICY = "admission 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A launch as the checks see it. `allocation` is None where the person has none of that name."""

    run_id: str
    allocation_id: str
    allocation: Allocation | None
    gate: Decision | None
    """Of the application the allocation came from; None where it was granted elsewhere."""
    machine_id: str
    machine: Machine | None
    spec: TrainSpec
    plan: Plan | None
    at: datetime
    watched: tuple[Finding, ...] = ()
    """What the watch says: permits, changes against what was granted, conditions in breach, thresholds."""

    @property
    def shape(self) -> jobs.Shape | None:
        if self.machine is None:
            return None
        granted = (self.allocation.partition if self.allocation else None) or ""
        return jobs.shape_of(self.spec, self.plan, self.machine, granted_partition=granted)


Check = Callable[[Request], Iterator[Finding]]


def decide(request: Request) -> Decision:
    """Every check's answer, and what follows from them."""
    findings = tuple(finding for check in CHECKS for finding in check(request))
    return Decision(
        subject=request.run_id, verdict=worst(findings), findings=findings, decided_at=request.at, decided_by=POLICY
    )


def decide_all(requests: Sequence[Request]) -> Decision:
    """Of the legs of a run across machines, each checked by itself, and together against the run's own cap."""
    if len(requests) == 1:
        return decide(requests[0])
    each = (finding for request in requests for finding in decide(request).findings)
    findings = tuple(dict.fromkeys((*each, *together(requests))))
    first = requests[0]
    return Decision(
        subject=first.run_id, verdict=worst(findings), findings=findings, decided_at=first.at, decided_by=POLICY
    )


def together(requests: Sequence[Request]) -> Iterator[Finding]:
    cap = int(requests[0].spec.where.max_gpu_hours * SECONDS_PER_HOUR)
    needed = sum(request.plan.accelerator_seconds for request in requests if request.plan)
    if needed > cap:
        yield _deny(
            "hours",
            f"All legs together take about {format_gpu_hours(needed)}; where.max_gpu_hours allows "
            f"{format_gpu_hours(cap)}.",
            "raise where.max_gpu_hours, or train on fewer tokens",
        )


def allocation(request: Request) -> Iterator[Finding]:
    granted, today = request.allocation, request.at.date()
    if granted is None:
        yield _deny("allocation", f"You have no allocation {request.allocation_id}.", "hanse apply, or hanse status")
    elif granted.machine != request.machine_id:
        yield _deny(
            "allocation",
            f"Allocation {granted.id} is for {granted.machine}, not for {request.machine_id}.",
            f"plan for {granted.machine}, or choose an allocation on {request.machine_id}",
        )
    elif not granted.starts <= today <= granted.ends:
        yield _deny(
            "allocation",
            f"Allocation {granted.id} runs from {granted.starts:%d %B %Y} to {granted.ends:%d %B %Y}.",
            "launch within these days, or apply again",
        )
    elif granted.suspended:
        yield _deny(
            "allocation",
            f"Allocation {granted.id} is suspended: {granted.suspended.rstrip('.')}.",
            "settle that with the officer who suspended it; what runs may run on",
        )
    else:
        yield _allow(
            "allocation", f"Allocation {granted.id} on {granted.machine} is open until {granted.ends:%d %B %Y}."
        )


def where(request: Request) -> Iterator[Finding]:
    """The user's own word on where it may run."""
    allowed = request.spec.where.machines
    if request.machine_id not in allowed:
        yield _deny(
            "where",
            f"where.machines names {', '.join(allowed)}, not {request.machine_id}.",
            f"add {request.machine_id} to where.machines, or launch on one of those",
        )


def hours(request: Request) -> Iterator[Finding]:
    """The expectation has to fit into what is free and under the user's own cap; the job is cut to both."""
    granted, shape = request.allocation, request.shape
    if granted is None or shape is None:
        return
    cap = int(request.spec.where.max_gpu_hours * SECONDS_PER_HOUR)
    free = granted.free_accelerator_seconds
    expected = request.plan.accelerator_seconds if request.plan else shape.held * jobs.MIN_WALL_TIME_S
    needed = max(expected, shape.held * jobs.MIN_WALL_TIME_S)
    if needed > cap:
        yield _deny(
            "hours",
            f"This takes about {format_gpu_hours(needed)}; where.max_gpu_hours allows {format_gpu_hours(cap)}.",
            "raise where.max_gpu_hours, or train on fewer tokens",
        )
    elif needed > free:
        yield _deny(
            "hours",
            f"This takes about {format_gpu_hours(needed)}; {format_gpu_hours(max(free, 0))} of "
            f"{format_gpu_hours(granted.granted_accelerator_seconds)} are free "
            f"({format_gpu_hours(granted.reserved_accelerator_seconds)} are set aside for open attempts).",
            "wait until open attempts end, lower where.wall_time_s of other runs, or train on fewer tokens",
        )
    elif request.plan and request.plan.wall_time_s.high * shape.held > min(cap, free):
        yield _condition(
            "hours",
            f"It may take up to {format_gpu_hours(request.plan.wall_time_s.high * shape.held)}, more than the "
            f"{format_gpu_hours(min(cap, free))} it can be given.",
            f"It stops at {format_gpu_hours(min(cap, free))}, finished or not; its last checkpoint is kept.",
        )
    else:
        yield _allow("hours", f"About {format_gpu_hours(needed)} of {format_gpu_hours(min(cap, free))}.")


def gate(request: Request) -> Iterator[Finding]:
    if request.allocation is None:
        return
    if request.gate is None:
        yield _allow("gate", "These hours were granted elsewhere; the programme that granted them screened them.")
    elif request.gate.verdict in {"review", "deny"}:
        yield _deny(
            "gate", f"The application behind this allocation stands at {request.gate.verdict}.", "ask your officer"
        )
    else:
        yield _allow("gate", "The application passed the gate.")
        for finding in request.gate.findings:
            if finding.verdict == "condition":
                yield finding


def site_policy(request: Request) -> Iterator[Finding]:
    """What the machine's own facts say it takes."""
    machine, shape = request.machine, request.shape
    if machine is None or shape is None:
        yield _deny(
            "site", f"No agent of machine {request.machine_id} has said hello yet.", "start it there: hanse agent"
        )
        return
    granted = request.allocation.partition if request.allocation else None
    partition = jobs.partition_of(request.spec, request.plan, machine, granted or "")
    known = partition if isinstance(partition, Partition) else None
    if isinstance(partition, str) and machine.partitions:
        names = ", ".join(p.name for p in machine.partitions)
        yield _deny("site", f"{machine.name} has no partition {partition}.", f"choose one of {names}")
    limits = [known.max_nodes, known.nodes] if known else [machine.nodes]
    most = min((limit for limit in limits if limit), default=None)
    if most is not None and shape.nodes > most:
        yield _deny(
            "site", f"{shape.nodes} nodes are asked; {machine.name} gives at most {most}.", "plan for fewer nodes"
        )
    if shape.accelerators_per_node > machine.accelerators_per_node:
        yield _deny(
            "site",
            f"{shape.accelerators_per_node} accelerators a node are asked; a node has {machine.accelerators_per_node}.",
            f"plan for {machine.id}",
        )
    if known and known.max_wall_time_s and request.spec.where.wall_time_s > known.max_wall_time_s:
        yield _allow("site", f"Wall time is cut to {known.max_wall_time_s} s, the longest {known.name} gives.")
    account = (request.allocation.account if request.allocation else None) or request.spec.where.account
    if machine.scheduler.account_required and not account:
        yield _deny(
            "site", f"{machine.name} wants a scheduler account.", "set where.account, or ask for it in the award"
        )


def watch(request: Request) -> Iterator[Finding]:
    yield from request.watched


def trainer(request: Request) -> Iterator[Finding]:
    """What Hanse's trainer cannot build or lay out must not hold nodes to find that out."""
    laid_out = planning.refusal(request.plan.layout, request.plan.workload) if request.plan else None
    for refused in filter(None, (workloads.refusal(request.spec), laid_out)):
        yield _deny(
            "trainer", refused, "bring a program of yours (command:), which 'hanse plan --export' helps to start"
        )


CHECKS: tuple[Check, ...] = (allocation, where, trainer, hours, gate, site_policy, watch)


def _allow(rule: str, reason: str) -> Finding:
    return _finding("allow", rule, reason)


def _deny(rule: str, reason: str, change: str) -> Finding:
    return _finding("deny", rule, reason, change=change)


def _condition(rule: str, reason: str, condition: str) -> Finding:
    return _finding("condition", rule, reason, condition=condition)


def _finding(verdict: Verdict, rule: str, reason: str, *, change: str = "", condition: str = "") -> Finding:
    return Finding(
        rule=f"admission.{rule}", verdict=verdict, reason=reason, condition=condition, what_would_change_it=change
    )
