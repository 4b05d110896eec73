"""Launching a run: what is asked must hang together, admission must not say no, and then it is stored whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from django.db import transaction

from hanse.client.answers import LaunchRequest
from hanse.contracts.base import now
from hanse.contracts.decision import Decision
from hanse.contracts.errors import PolicyError, UsageError
from hanse.contracts.plan import Plan
from hanse.contracts.spec import TrainSpec
from hanse.service.access.awards import Allocation
from hanse.service.access.people import Person
from hanse.service.records import new_id
from hanse.service.runs import across, admission, chains, exchanges
from hanse.service.runs.attempts import Attempt
from hanse.service.runs.code import CodeBundle
from hanse.service.runs.events import Event
from hanse.service.runs.legs import Leg
from hanse.service.runs.lifecycle import Run
from hanse.service.runs.machines import Machine


def launch(person: Person, asked: LaunchRequest, *, key: str | None = None) -> Run:
    """Start a run with its first attempt; the same `key` again gives the run it started.

    Raises:
        UsageError: spec, plan and code do not belong together.
        PolicyError: admission says no, with every check's finding; only an event is kept.
    """
    from hanse.service.compliance import watching  # it looks at runs

    code = _checked(asked)
    parts = _parts(asked)
    with transaction.atomic():
        mine = Allocation.objects.seen_by(person).filter(public_id__in=[one.allocation for one in parts])
        for public_id in mine.order_by("pk").values_list("public_id", flat=True):  # in one order, whoever launches
            Allocation.locked(public_id)
        # Looked up under the lock, so that a repeated launch waits for the first one and finds its run.
        if key and (before := Run.objects.filter(created_by=person, launch_key=key).first()):
            return before
        run_id = new_id("run")
        places = [_place(person, one) for one in parts]
        decision = admission.decide_all(
            [
                admission.Request(
                    run_id=run_id,
                    allocation_id=one.allocation,
                    allocation=place.allocation.contract() if place.allocation else None,
                    gate=place.gate,
                    machine_id=one.machine,
                    machine=place.machine.facts if place.machine else None,
                    spec=asked.spec,
                    plan=one.plan,
                    at=now(),
                    watched=watching.admission_findings(place.allocation, asked.spec, _whole(one.plan, asked.spec)),
                )
                for one, place in zip(parts, places, strict=True)
            ]
        )
        if decision.verdict in {"allow", "condition"}:
            return _store(person, asked, key, run_id, decision, parts, places, code)
    _refuse(person, asked, decision)
    raise AssertionError("a refusal always raises")


@dataclass(frozen=True, slots=True)
class Part:
    """What is asked of one machine: the whole of an ordinary run, or one leg of several."""

    machine: str
    allocation: str
    plan: Plan | None
    inner_steps: int = 1


class Place(NamedTuple):
    """Where a part would go; None where the person has no such allocation, or there is no such machine."""

    allocation: Allocation | None
    machine: Machine | None

    @property
    def gate(self) -> Decision | None:
        award = self.allocation.award if self.allocation else None
        return award.application.gate if award else None


def _parts(asked: LaunchRequest) -> list[Part]:
    if asked.spec.across is None:
        return [Part(asked.machine, asked.allocation, asked.plan)]
    return [Part(one.machine, one.allocation, one.plan, one.inner_steps) for one in asked.legs]


def _place(person: Person, part: Part) -> Place:
    """Holds the allocation, with its balance, until the transaction ends."""
    mine = Allocation.objects.seen_by(person).filter(public_id=part.allocation).exists()
    return Place(
        Allocation.locked(part.allocation) if mine else None, Machine.objects.filter(public_id=part.machine).first()
    )


def _whole(plan: Plan | None, spec: TrainSpec) -> Plan | None:
    """What is watched is the whole training: a leg's plan has its share of the tokens only."""
    if plan is None or spec.across is None or spec.tokens is None:
        return plan
    return plan.model_copy(
        update={"workload": plan.workload.model_copy(update={"total_tokens": spec.tokens})}
    )  # fmt: skip


def _checked(asked: LaunchRequest) -> CodeBundle | None:
    spec, plan = asked.spec, asked.plan
    if spec.command is None and plan is None:
        raise UsageError("a training is launched with its plan", where="plan", fix="hanse plan train.yaml, then launch")
    if spec.across is not None:
        across.check(asked)
    elif asked.legs:
        raise UsageError("legs belong to a training with across:", where="legs", fix="add across: to train.yaml")
    if plan is not None and plan.machine != asked.machine:
        raise UsageError(
            f"the plan is for {plan.machine}, the launch for {asked.machine}", where="plan.machine", fix="plan again"
        )
    if asked.placement is not None and asked.placement.options[0].machine != asked.machine:
        raise UsageError(
            f"the placement is for {asked.placement.options[0].machine}, the launch for {asked.machine}",
            where="placement", fix="place it again",
        )  # fmt: skip
    if plan is not None and spec.across is None and plan.layout.global_batch != spec.batch:
        raise UsageError(
            f"the plan's layout holds {plan.layout.global_batch} sequences a step, the spec says {spec.batch}",
            where="plan.layout",
            fix="plan again after changing train.yaml",
        )
    wants_code = spec.command is not None or (spec.model is not None and spec.model.entry is not None)
    if not wants_code:
        return None
    code = CodeBundle.objects.filter(sha256=asked.code_sha256 or "").first()
    if code is None:
        raise UsageError(
            "the folder of train.yaml has to be uploaded before a program of yours can run",
            where="code_sha256",
            fix="PUT /api/v1/code/<sha256> first; hanse launch does it",
        )
    return code


def _store(
    person: Person,
    asked: LaunchRequest,
    key: str | None,
    run_id: str,
    decision: Decision,
    parts: list[Part],
    places: list[Place],
    code: CodeBundle | None,
) -> Run:
    allocations, machines = zip(*places, strict=True)
    terms = across.terms_for(run_id, asked) if asked.spec.across else None
    run = Run.objects.create(
        public_id=run_id, name=asked.spec.name, project=allocations[0].project, spec=asked.spec,
        spec_hash=asked.spec.digest(), code=code, plan=asked.plan, admission=decision, placement=asked.placement,
        launch_key=key or None, across=terms,
        created_by=person,
    )  # fmt: skip
    Event.record(
        "user:run:launched", run_id, by=person.username, allocation=allocations[0].public_id, verdict=decision.verdict
    )
    legs = [
        Leg.objects.create(
            run=run, number=number, machine=place.machine, allocation=place.allocation,
            **({"plan": part.plan, "slot": part.machine} if terms else {}),
        )
        for number, (part, place) in enumerate(zip(parts, places, strict=True), start=1)
    ]  # fmt: skip
    for leg in legs:
        Attempt.plan(leg, 1, Allocation.locked(leg.allocation.public_id), by=person.username)
    for leg in legs:  # each has a job before any has a second
        chains.extend(leg, Allocation.locked(leg.allocation.public_id), by=person.username)
    if terms is not None:
        exchanges.begin(run, list(machines), by=person.username)
    return run


def _refuse(person: Person, asked: LaunchRequest, decision: Decision) -> None:
    against = tuple(f for f in decision.findings if f.verdict in {"review", "deny"})
    Event.record(
        "service:run:refused", asked.allocation, by=person.username, reason=" ".join(f.reason for f in against),
        name_of_run=asked.spec.name, machine=asked.machine,
    )  # fmt: skip
    raise PolicyError(
        "this run may not start",
        where=asked.spec.name,
        fix="; ".join(dict.fromkeys(f.what_would_change_it for f in against if f.what_would_change_it)),
        history=tuple(f.reason for f in against),
        findings=decision.findings,
    )
