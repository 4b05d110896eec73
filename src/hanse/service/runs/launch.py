"""Launching a run: what is asked must hang together, admission must not say no, and then it is stored whole."""

from __future__ import annotations

from django.db import transaction

from hanse.client.answers import LaunchRequest
from hanse.contracts.base import now
from hanse.contracts.decision import Decision
from hanse.contracts.errors import PolicyError, UsageError
from hanse.service.access.awards import Allocation
from hanse.service.access.people import Person
from hanse.service.records import new_id
from hanse.service.runs import admission, chains
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
    with transaction.atomic():
        mine = Allocation.objects.seen_by(person).filter(public_id=asked.allocation).first()
        locked = Allocation.locked(asked.allocation) if mine else None
        # Looked up under the lock, so that a repeated launch waits for the first one and finds its run.
        if key and (before := Run.objects.filter(created_by=person, launch_key=key).first()):
            return before
        machine = Machine.objects.filter(public_id=asked.machine).first()
        run_id = new_id("run")
        decision = admission.decide(
            admission.Request(
                run_id=run_id,
                allocation_id=asked.allocation,
                allocation=locked.contract() if locked else None,
                gate=locked.award.application.gate if locked and locked.award else None,
                machine_id=asked.machine,
                machine=machine.facts if machine else None,
                spec=asked.spec,
                plan=asked.plan,
                at=now(),
                watched=watching.admission_findings(locked, asked.spec, asked.plan),
            )
        )
        if decision.verdict in {"allow", "condition"}:
            assert locked is not None and machine is not None
            return _store(person, asked, key, run_id, decision, locked, machine, code)
    _refuse(person, asked, decision)
    raise AssertionError("a refusal always raises")


def _checked(asked: LaunchRequest) -> CodeBundle | None:
    spec, plan = asked.spec, asked.plan
    if spec.command is None and plan is None:
        raise UsageError("a training is launched with its plan", where="plan", fix="hanse plan train.yaml, then launch")
    if plan is not None and plan.machine != asked.machine:
        raise UsageError(
            f"the plan is for {plan.machine}, the launch for {asked.machine}", where="plan.machine", fix="plan again"
        )
    if asked.placement is not None and asked.placement.options[0].machine != asked.machine:
        raise UsageError(
            f"the placement is for {asked.placement.options[0].machine}, the launch for {asked.machine}",
            where="placement", fix="place it again",
        )  # fmt: skip
    if plan is not None and plan.layout.global_batch != spec.batch:
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
    allocation: Allocation,
    machine: Machine,
    code: CodeBundle | None,
) -> Run:
    run = Run.objects.create(
        public_id=run_id, name=asked.spec.name, project=allocation.project, spec=asked.spec,
        spec_hash=asked.spec.digest(), code=code, plan=asked.plan, admission=decision, placement=asked.placement,
        launch_key=key or None,
        created_by=person,
    )  # fmt: skip
    Event.record(
        "user:run:launched", run_id, by=person.username, allocation=allocation.public_id, verdict=decision.verdict
    )
    leg = Leg.objects.create(run=run, machine=machine, allocation=allocation)
    Attempt.plan(leg, 1, allocation, by=person.username)
    chains.extend(leg, allocation, by=person.username)
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
