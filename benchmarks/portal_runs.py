"""What the awards were used for: runs over three years with legs, attempts, the ledger, events and telemetry."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F

from benchmarks.portal_bulk import AT_ONCE, Dice, Sizes, store
from benchmarks.portal_people import People
from benchmarks.portal_programme import Programme
from hanse.contracts.decision import Decision
from hanse.contracts.job import JobSpec, Step
from hanse.contracts.ticket import SignedTicket, Ticket
from hanse.machines import catalogue
from hanse.planning.plan import make
from hanse.service.access.models import Allocation
from hanse.service.awarding.models import Movement
from hanse.service.compliance.computed import RunCompute
from hanse.service.notices.models import Cursor, Notice, Preference, Viewing
from hanse.service.runs.models import Attempt, Event, Leg, LogChunk, Run, StepRow, UsageEntry
from hanse.workloads.shapes import workload_of
from tests.reporting import parts

ENDS = {"finished": 78, "failed": 12, "cancelled": 10}
ATTEMPTS = {"1": 80, "2": 14, "3": 6}
CORRECTED_EVERY = 50
GOING_DAYS = 3
"""What was launched so lately may still run or wait."""
STEPS, LOG_LINES = 60, 200
NODES = (1, 1, 2, 2, 4, 8, 16)


def fill(sizes: Sizes, people: People, programme: Programme, dice: Dice) -> None:
    """Runs come in the order of their launch, as their keys do in a service that grew."""
    begun = [one for one in programme.allocations if one.starts <= dice.at.date()]
    dice.shuffle(begun)
    planned = sorted(
        ((_launched(held, dice), held) for held in (dice.few_have_most(begun) for _ in range(sizes.runs))),
        key=lambda pair: pair[0],
    )
    patterns = {machine.public_id: _Pattern(machine.public_id) for machine in people.machines}
    _events_of(programme, dice)
    for first in range(0, len(planned), AT_ONCE):
        part = planned[first : first + AT_ONCE]
        runs = _stored(part, patterns, dice)
        told = runs[max(0, sizes.runs - sizes.told_runs - first) :]
        _telemetry(told)
        _notices(told, dice)
    _returned(dice)
    _readers(programme, people, dice)
    # All of it was told long ago: the first tick begins after it.
    newest = Event.objects.order_by("-pk").values_list("pk", flat=True).first()
    Cursor.objects.create(name="notices", read_to=newest or 0)


def _launched(held: Any, dice: Dice) -> datetime:
    begin = datetime(held.starts.year, held.starts.month, held.starts.day, tzinfo=dice.at.tzinfo)
    end = min(dice.at, begin + (held.ends - held.starts))
    return begin + (end - begin) * dice.random()


class _Pattern:
    """What the runs on one machine have alike, once as JSON."""

    def __init__(self, machine: str) -> None:
        spec = parts.spec()
        facts = catalogue.load(machine)
        self.spec = spec.model_dump(mode="json")
        self.spec["where"]["machines"] = [machine]
        self.plan = make(workload_of(spec), facts, executable_only=False).model_dump(mode="json")
        self.result = parts.result().model_dump(mode="json")
        self.rank_seconds = facts.accelerators_per_node * 3600
        at = parts.START
        allowed = Decision(subject="run", verdict="allow", findings=(), decided_at=at, decided_by="admission")
        self.admission = allowed.model_dump(mode="json")
        job = JobSpec(
            name="hanse-att", run_id="run", attempt_id="att", attempt_number=1, machine=machine, nodes=2,
            accelerators_per_node=facts.accelerators_per_node, wall_time_s=36_000,
            steps=(Step(name="train", argv=("hanse", "train"), nodes=2),),
        )  # fmt: skip
        ticket = Ticket(
            run_id="run", attempt_id="att", machine=machine, spec_hash="0" * 64, max_nodes=2, max_wall_time_s=36_000,
            max_accelerator_seconds=10**6, issued_at=at, expires_at=at,
        )  # fmt: skip
        self.job = job.model_dump(mode="json")
        self.ticket = SignedTicket(ticket=ticket, key_id="0" * 16, signature="").model_dump(mode="json")


def _stored(part: list[tuple[datetime, Any]], patterns: dict[str, _Pattern], dice: Dice) -> list[Any]:
    runs, legs, attempts, at_of = [], [], [], {}
    for at, held in part:
        pattern = patterns[held.machine.public_id]
        run = _run(at, held, pattern, dice)
        leg = Leg(public_id=dice.id("leg"), run=run, machine=held.machine, allocation=held)
        runs.append(run)
        legs.append(leg)
        attempts += _attempts(at, run, leg, pattern, dice)
        at_of[run.public_id] = at
    store(Run, runs)
    store(Leg, legs)
    store(Attempt, attempts)
    store(UsageEntry, _ledger(attempts, dice))
    store(Event, sorted(_events(runs, attempts), key=lambda event: event.at))
    store(RunCompute, (
        RunCompute(
            run=run, award=held.award, flops=1e15, at=run.ended_at or dice.at, final=run.ended_at is not None,
            seen={"run_id": run.public_id, "tokens": 10**6, "at": at.isoformat(), "architecture_flops": 1e15},
        )
        for run, (at, held) in zip(runs, part, strict=True)
    ))  # fmt: skip
    for run, leg in zip(runs, legs, strict=True):
        run.tries = [one for one in attempts if one.leg is leg] if run.ended_at is None else []
    return runs


def _run(at: datetime, held: Any, pattern: _Pattern, dice: Dice) -> Any:
    lately = at > dice.at - timedelta(days=GOING_DAYS)
    state = dice.choice(("running", "queued")) if lately and dice.random() < 0.7 else dice.one_of(ENDS)
    final = state in ENDS
    number = dice.randrange(10**6)
    return Run(
        public_id=dice.id("run"), name=f"training-{number}", project=held.project, state=state,
        reason="two attempts in a row ended without a step" if state == "failed" else "",
        spec={**pattern.spec, "name": f"training-{number}"}, spec_hash="7c" * 32, plan=pattern.plan,
        admission=pattern.admission, result=pattern.result if state == "finished" else None, created_at=at,
        created_by=held.award.application.applicant,
        ended_at=min(dice.at, at + timedelta(hours=dice.uniform(1, 60))) if final else None,
    )  # fmt: skip


def _attempts(at: datetime, run: Any, leg: Any, pattern: _Pattern, dice: Dice) -> Iterator[Any]:
    count = int(dice.one_of(ATTEMPTS))
    for number in range(1, count + 1):
        last = number == count
        state = {"queued": "queued", "running": "running"}.get(run.state, run.state) if last else "stopped"
        begun = state != "queued"
        hours = dice.uniform(0.2, 12)
        began = at + timedelta(hours=1 + 14 * (number - 1)) if begun else None
        yield Attempt(
            public_id=dice.id("att"), leg=leg, machine=leg.machine, number=number, state=state, job=pattern.job,
            ticket=pattern.ticket, reserved_accelerator_seconds=12 * pattern.rank_seconds, planned_at=at,
            offered_at=at, job_id=str(dice.randrange(10**7)), started_at=began,
            ended_at=None if state in ("queued", "running") else began + timedelta(hours=hours) if began else None,
            last_step=dice.randrange(240) if begun else None, epoch=3, sequence=1, last_heard_at=at,
            accelerator_seconds=round(hours * dice.choice(NODES) * pattern.rank_seconds / 8) if begun else 0,
        )  # fmt: skip


def _ledger(attempts: list[Any], dice: Dice) -> Iterator[Any]:
    for number, one in enumerate(attempts):
        if one.ended_at is None:
            continue
        yield UsageEntry(
            public_id=dice.id("use"), allocation=one.leg.allocation, attempt=one, kind="measured",
            accelerator_seconds=one.accelerator_seconds, energy_joules=300 * one.accelerator_seconds,
            energy_estimated=True, recorded_at=min(dice.at, one.ended_at),
        )  # fmt: skip
        if number % CORRECTED_EVERY == 0:
            yield UsageEntry(
                public_id=dice.id("use"), allocation=one.leg.allocation, kind="correction", accelerator_seconds=-600,
                recorded_at=min(dice.at, one.ended_at + timedelta(days=1)), note="the site gave it back (operator)",
            )  # fmt: skip


def _events(runs: list[Any], attempts: list[Any]) -> Iterator[Any]:
    for run in runs:
        yield Event(name="user:run:launched", subject_id=run.public_id, actor="founder", at=run.created_at)
        if run.ended_at:
            yield Event(name=f"service:run:{run.state}", subject_id=run.public_id, actor="service", at=run.ended_at)
    for one in attempts:
        told = (("service:attempt:planned", one.planned_at), ("agent:attempt:running", one.started_at),
                (f"agent:attempt:{one.state}", one.ended_at), ("agent:usage:measured", one.ended_at))  # fmt: skip
        for name, at in told:
            if at:
                yield Event(name=name, subject_id=one.public_id, actor=f"agent@{one.machine.public_id}", at=at)


def _events_of(programme: Programme, dice: Dice) -> None:
    def told() -> Iterator[Any]:
        for one in programme.applications:
            yield Event(name="user:application:sent", subject_id=one.public_id, actor="founder", at=one.sent_at)
            if one.decided_at:
                name = f"officer:application:{one.state}"
                yield Event(name=name, subject_id=one.public_id, actor="officer", at=one.decided_at)
        for held in programme.allocations:
            at = held.award.granted_at
            yield Event(name="service:allocation:opened", subject_id=held.public_id, actor="officer", at=at)
            # What the tick warns of once it has warned of.
            for what in ("used-four-fifths", "used-nineteen-twentieths", "overshot", "ending"):
                yield Event(name=f"tick:allocation:{what}", subject_id=held.public_id, actor="tick", at=dice.at)

    store(Event, told())


def _telemetry(runs: list[Any]) -> None:
    """Of what is under way, the last steps and the log."""
    tries = [one for run in runs for one in run.tries if one.state == "running"]
    rows = [row.model_dump(mode="json") for row in parts.rows(1, STEPS)]
    store(StepRow, (StepRow(attempt=one, step=row["step"], row=row) for one in tries for row in rows))
    text = "".join(f"09:12:04 step {number}  loss 2.910  0.66 s\n" for number in range(LOG_LINES))
    store(LogChunk, (LogChunk(attempt=one, offset=0, size_bytes=len(text), text=text) for one in tries))


def _notices(runs: list[Any], dice: Dice) -> None:
    store(Notice, (
        Notice(
            person=run.created_by, event_id=run.pk, kind="run-ended", title=f"{run.name} has ended",
            path=f"/runs/{run.public_id}/", at=run.ended_at, read_at=dice.choice((None, run.ended_at)),
        )
        for run in runs
        if run.ended_at
    ))  # fmt: skip


def _returned(dice: Dice) -> None:
    """What was left of awards at their end, as the tick returns it; what was overdrawn stays as it is."""
    over = Allocation.objects.with_balance().filter(ended_at__isnull=False, granted_accelerator_seconds__gt=F("used"))
    left = [
        Movement(public_id=dice.id("mov"), allocation_id=pk, kind="returned", accelerator_seconds=used - granted,
                 actor="tick", at=dice.at)
        for pk, granted, used in over.values_list("pk", "granted_accelerator_seconds", "used")
    ]  # fmt: skip
    store(Movement, left)
    for one in left:
        Allocation.objects.filter(pk=one.allocation_id).update(
            granted_accelerator_seconds=F("granted_accelerator_seconds") + one.accelerator_seconds,
            returned_accelerator_seconds=-one.accelerator_seconds,
        )


def _readers(programme: Programme, people: People, dice: Dice) -> None:
    store(Preference, (Preference(person=one, mail=False) for one in (*people.founders, *people.officers)))
    store(Viewing, (
        Viewing(
            viewer=dice.choice(people.officers).username, what="application", subject_id=one.public_id,
            organisation=one.organisation, how="page", at=one.sent_at,
        )
        for one in programme.applications
        for _ in range(2)
    ))  # fmt: skip
