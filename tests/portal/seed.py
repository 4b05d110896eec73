"""Stores a run record as the service's rows: the portal is then looked at with the data the report is made from."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from hanse.contracts.base import now
from hanse.contracts.decision import Decision
from hanse.contracts.job import JobSpec, Step
from hanse.contracts.programme import CallTerms
from hanse.contracts.record import RunRecord
from hanse.contracts.ticket import SignedTicket, Ticket
from hanse.rules import gate
from hanse.service.access.models import Allocation, Application, Award, Call, Membership, Organisation, Person, Project
from hanse.service.compliance.models import Screening
from hanse.service.runs.models import Attempt, CodeBundle, Event, Leg, LogChunk, Machine, Run, Site, StepRow, UsageEntry
from tests.reporting import records

PASSWORD = "a long sentence for tests"
LOG = (
    "\n".join(f"09:{12 + i // 60:02}:{i % 60:02} step {i}  loss {8 - i / 40:.3f}  0.66 s" for i in range(1, 120)) + "\n"
)


def person(name: str = "ida", *, organisation: Organisation | None = None, **more: Any) -> Person:
    made = Person.objects.create_user(name, f"{name}@norrlyd.example", PASSWORD, **more)
    if organisation:
        Membership.objects.create(person=made, organisation=organisation, role="owner")
    return made


def organisation(name: str = "Norrlyd") -> Organisation:
    return Organisation.objects.get_or_create(name=name, defaults={"kind": "start-up", "country": "DK"})[0]


def machine(facts: Any = None) -> Machine:
    host = Organisation.objects.get_or_create(name="The centre", defaults={"kind": "public"})[0]
    site = Site.objects.get_or_create(public_id="centre", defaults={"name": "The centre", "organisation": host})[0]
    given = facts or records.machine()
    return Machine.objects.get_or_create(
        public_id=given.id, defaults={"site": site, "facts": given, "last_heard_at": now(), "agent_epoch": 1}
    )[0]


def call() -> Call:
    terms = CallTerms(
        id="playground", mode="playground", title="Playground", summary="Small amounts, quick answers.",
        opens=date(2026, 1, 1), max_gpu_hours=5000, durations_months=(1, 2, 3), who=("start-up", "sme"),
        decision_working_days=5,
    )  # fmt: skip
    return Call.objects.get_or_create(call_id="playground", version=1, defaults={"terms": terms})[0]


def answers() -> dict[str, bool]:
    """No to every question of the gate."""
    return {question.id: False for question in gate.questions(now().date())}


def application(
    applicant: Person, *, state: str = "sent", decision: Decision | None = None, **changes: Any
) -> Application:
    form = records.application().form.model_copy(update={"answers": answers(), **changes})
    made = Application.objects.create(
        call=call(), organisation=organisation(), applicant=applicant, state=state, form=form, sent_at=now(),
        decide_by=now() + timedelta(days=7),
    )  # fmt: skip
    Event.record("user:application:sent", made.public_id, by=applicant.username, gate="condition")
    if decision:
        Screening.objects.create(application=made, decision=decision, answers=form.answers)
    return made


def allocation(project: Project, record: RunRecord, applicant: Person) -> Allocation:
    """Granted for the record's application, or elsewhere where there is none; its time has half passed."""
    given, award = record.allocations[0], None
    if record.application:
        granted = application(applicant, state="granted", decision=record.gate)
        award = Award.objects.create(
            application=granted, project=project, gpu_hours=10, conditions=list(given.conditions), granted_by=applicant
        )
    today = now().date()
    return Allocation.objects.create(
        award=award, project=project, machine=machine(record.machines[0]), partition=given.partition or "",
        granted_accelerator_seconds=given.granted_accelerator_seconds, starts=today - timedelta(days=45),
        ends=today + timedelta(days=46),
    )  # fmt: skip


def run(record: RunRecord, owner: Person) -> Run:
    """Everything of the record, under its own ids; times are moved so that it was made just now."""
    shift = now() - record.made_at
    project = Project.objects.create(organisation=organisation(), name="A small code model")
    held = allocation(project, record, owner)
    told = record.run
    code = (
        CodeBundle.objects.create(sha256=told.code_sha256, size_bytes=1, uploaded_by=owner)
        if told.code_sha256
        else None
    )
    admission = record.admission or Decision(
        subject=told.id, verdict="allow", findings=(), decided_at=now(), decided_by="admission"
    )
    made = Run.objects.create(
        name=told.name, project=project, state=told.state, reason=told.reason, spec=told.spec,
        spec_hash=told.spec_hash, code=code, plan=told.plan, admission=admission, result=record.result,
        created_by=owner, ended_at=told.ended_at and told.ended_at + shift,
    )  # fmt: skip
    Event.record("user:run:launched", made.public_id, by=owner.username)
    leg = Leg.objects.create(run=made, machine=held.machine, allocation=held)
    for one in told.legs[0].attempts:
        _attempt(made, leg, one, record, shift)
    return made


def _attempt(made: Run, leg: Leg, told: Any, record: RunRecord, shift: timedelta) -> None:
    def moved(at: Any) -> Any:
        return at and at + shift

    job = JobSpec(
        name="hanse-att", run_id=made.public_id, attempt_id="att", attempt_number=told.number, machine="local", nodes=2,
        accelerators_per_node=1, wall_time_s=600, steps=(Step(name="train", argv=("hanse", "train"), nodes=2),),
    )  # fmt: skip
    ticket = Ticket(
        run_id=made.public_id, attempt_id="att", machine="local", spec_hash=made.spec_hash, max_nodes=2,
        max_wall_time_s=600, max_accelerator_seconds=1200, issued_at=now(), expires_at=now(),
    )  # fmt: skip
    signed = SignedTicket(ticket=ticket, key_id="0" * 16, signature="")
    stored = Attempt.objects.create(
        leg=leg, number=told.number, state=told.state, job=job, ticket=signed, planned_at=moved(told.planned_at),
        reserved_accelerator_seconds=600, job_id=told.job_id, reason=told.reason, started_at=moved(told.started_at),
        ended_at=moved(told.ended_at), exit_code=told.exit_code, last_step=told.last_step, last_heard_at=now(),
        accelerator_seconds=told.accelerator_seconds, error="RuntimeError: out of memory" if told.exit_code else "",
    )  # fmt: skip
    Event.record("service:attempt:planned", stored.public_id, by="service", number=told.number)
    if told.started_at:
        Event.record(f"agent:attempt:{told.state}", stored.public_id, by="agent@local", reason=told.reason)
        LogChunk.store(stored, 0, LOG)
    if told.ended_at and told.started_at:
        UsageEntry.objects.create(
            allocation=leg.allocation, attempt=stored, accelerator_seconds=told.accelerator_seconds, recorded_at=now()
        )
    rows = [row for row in record.telemetry if row.attempt == told.number]
    StepRow.store(stored, [row.model_copy(update={"at": row.at + shift}) for row in rows])
