"""Attempts: one scheduler job each, following what its agent observes.

Observations of an attempt count in the order of (epoch, sequence): what is repeated or comes late changes nothing,
and a final state is final. A final observation debits the attempt and lets its run go on, in one transaction.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from django.db import models, transaction

from hanse.contracts import run as contract
from hanse.contracts.agentapi import Assignment, Observation
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, UsageError
from hanse.contracts.run import ATTEMPT_TRANSITIONS, FINAL_ATTEMPT_STATES, AttemptState, RunState
from hanse.planning import jobs
from hanse.service.records import ContractField, PublicIdField, new_id, transition
from hanse.service.runs import fewer, held_up, issue, trouble
from hanse.service.runs.events import Event
from hanse.service.runs.operators import require_operator
from hanse.service.runs.revisions import Revision
from hanse.service.runs.usage import UsageEntry


class Offered(NamedTuple):
    """What a machine's agent is told: all that is open for cursor 0, else what changed since the cursor."""

    assignments: tuple[Assignment, ...]
    closed: tuple[str, ...]
    cursor: int


class AttemptQuerySet(models.QuerySet):
    def seen_by(self, person: Any) -> Any:
        """Of the person's own runs, and of the machines they operate; officers see all."""
        rows = self.select_related("leg__run", "leg__allocation", "machine__site__organisation")
        if person.is_officer:
            return rows
        stands = models.Q(leg__run__project__organisation__memberships__person=person)
        operates = models.Q(
            machine__site__organisation__memberships__person=person,
            machine__site__organisation__memberships__role="operator",
        )
        return rows.filter(stands | operates).distinct()


class Attempt(models.Model):
    STATES = [(state.value, state.value) for state in AttemptState]

    public_id = PublicIdField(prefix="att")
    leg = models.ForeignKey("runs.Leg", on_delete=models.PROTECT, related_name="attempts")
    machine = models.ForeignKey("runs.Machine", on_delete=models.PROTECT, related_name="attempts", editable=False)
    """Its leg's, kept here too so that one index finds what changed for a machine."""
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=12, choices=STATES, default=AttemptState.PLANNED)
    job = ContractField(contract="hanse.contracts.job.JobSpec")
    ticket = ContractField(contract="hanse.contracts.ticket.SignedTicket")
    reserved_accelerator_seconds = models.PositiveBigIntegerField()
    """Nodes times accelerators times wall time: what it may come to cost, set aside while it is open."""
    planned_at = models.DateTimeField()
    offered_at = models.DateTimeField(null=True, blank=True)
    """When an agent was first told of it. Before that it can be cancelled without asking one."""
    job_id = models.CharField(max_length=100, null=True, blank=True)
    raw_state = models.CharField(max_length=100, blank=True)
    reason = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    exit_code = models.IntegerField(null=True, blank=True)
    nodes = models.JSONField(default=list)
    last_step = models.PositiveBigIntegerField(null=True, blank=True)
    accelerator_seconds = models.PositiveBigIntegerField(default=0)
    """Held so far, as last observed."""
    error = models.TextField(blank=True)
    epoch = models.PositiveBigIntegerField(default=0)
    sequence = models.PositiveBigIntegerField(default=0)
    last_heard_at = models.DateTimeField(null=True, blank=True)
    after = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="ahead")
    """The attempt whose end this one, queued ahead, waits for."""
    revision = models.PositiveBigIntegerField(default=0)
    """Its machine's revision when the service's wish for it last changed."""
    expected_start_at = models.DateTimeField(null=True, blank=True)
    own_plan = ContractField(contract="hanse.contracts.plan.Plan", null=True, blank=True)
    """Of this attempt alone, where it goes on with fewer nodes than were planned (`fewer`)."""
    recalled = models.TextField(blank=True)
    """Why it is to end here so that its run can go on elsewhere; empty: it is not."""

    objects = AttemptQuerySet.as_manager()

    class Meta:
        app_label = "runs"
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["leg", "number"], name="attempt_number_once_a_leg")]
        indexes = [
            models.Index(fields=["state"], name="attempt_state"),
            models.Index(fields=["machine", "revision"], name="attempt_revision"),
            models.Index(
                fields=["machine"], name="attempt_open", condition=~models.Q(state__in=sorted(FINAL_ATTEMPT_STATES))
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    def save(self, *args: Any, **options: Any) -> None:
        if self.machine_id is None:
            self.machine_id = self.leg.machine_id
        super().save(*args, **options)

    @classmethod
    def plan(cls, leg: Any, number: int, allocation: Any, *, by: str, after: Attempt | None = None) -> Attempt:
        """The next attempt of a leg, cut to the hours that are left, with its ticket. Needs the allocation locked.

        `after`: one that has not ended; this one is queued ahead and starts when that has.
        """
        from hanse.service.compliance.permits import for_ticket  # it looks at runs

        run = leg.run
        own_plan = fewer.plan_for(run, leg)
        shape = run.shape(leg, own_plan)
        wall_time_s = run.affordable_wall_time_s(shape, allocation)
        attempt_id = new_id("att")
        job = jobs.job_of(
            run.spec, leg.machine.facts, shape, run_id=run.public_id, attempt_id=attempt_id, number=number,
            wall_time_s=wall_time_s, account=allocation.account,
        )  # fmt: skip
        if excluded := trouble.excluded(run, leg.machine, needed=shape.nodes):
            job = job.model_copy(update={"exclude": excluded})
        reserved = shape.held * wall_time_s
        ticket = issue.ticket_for(
            job, run.spec, code_sha256=run.code.sha256 if run.code else None, max_accelerator_seconds=reserved,
            conditions=run.conditions(allocation), permits=for_ticket(run.spec, allocation),
            outer_sha256=run.across.digest() if run.across else None,
        )  # fmt: skip
        attempt = cls.objects.create(
            public_id=attempt_id, leg=leg, number=number, job=job, ticket=ticket,
            reserved_accelerator_seconds=reserved, planned_at=now(), after=after, own_plan=own_plan,
        )  # fmt: skip
        Event.record("service:attempt:planned", attempt_id, by=by, run=run.public_id, number=number, reserved=reserved,
                     nodes=shape.nodes)  # fmt: skip
        attempt.wish_changed()
        return attempt

    def wish_changed(self) -> None:
        """The service wants something else of it than before: its agent is told at its next sync.

        To be called last in a transaction where that is possible: until its end others' changes for the machine wait.
        """
        with transaction.atomic():
            self.revision = Revision.next(self.machine_id)
            Attempt.objects.filter(pk=self.pk).update(revision=self.revision)

    def observe(self, seen: Observation, *, by: str) -> bool:
        """Take in what an agent saw; False if it is repeated, late or of an attempt that has ended.

        Locks the run first, as everything does that may change both.
        """
        with transaction.atomic():
            run = self.leg.run.locked()
            self.refresh_from_db()
            self.leg.run = run
            if seen.state == AttemptState.PLANNED or self.state in FINAL_ATTEMPT_STATES:
                return False
            if (seen.epoch, seen.sequence) <= (self.epoch, self.sequence):
                return False
            self._take(seen)
            trouble.note(self, seen, by=by)
            if seen.state != self.state:
                transition(
                    self, AttemptState(seen.state), ATTEMPT_TRANSITIONS, event=f"agent:attempt:{seen.state}", by=by,
                    reason=seen.reason, data=_telling(seen),
                )  # fmt: skip
                if seen.state in FINAL_ATTEMPT_STATES:
                    UsageEntry.debit(self, seen, by=by)
                    self.wish_changed()
                run.follow(self, by=by)
        return True

    def _take(self, seen: Observation) -> None:
        given: dict[str, Any] = {
            "job_id": seen.job_id, "started_at": seen.started_at, "ended_at": seen.ended_at,
            "exit_code": seen.exit_code, "last_step": seen.step, "accelerator_seconds": seen.accelerator_seconds,
            "nodes": list(seen.nodes) or None, "error": seen.error or None, "expected_start_at": seen.expected_start_at,
        }  # fmt: skip
        fields = {name: value for name, value in given.items() if value is not None}
        if self.last_step is not None and "last_step" in fields:
            fields["last_step"] = max(self.last_step, fields["last_step"])
        fields |= {
            "raw_state": seen.raw_state[:100], "reason": seen.reason, "epoch": seen.epoch, "sequence": seen.sequence,
            "last_heard_at": seen.at,
        }  # fmt: skip
        Attempt.objects.filter(pk=self.pk).update(**fields)
        for name, value in fields.items():
            setattr(self, name, value)

    def declare_gone(self, by: Any, because: str) -> None:
        """Close an attempt nobody can say anything of any more, at its last known measure; its run goes on.

        Raises:
            PolicyError: the person neither operates the site nor is an officer.
            Conflict: it has ended, or its agent still answers for it.
        """
        require_operator(by, self.machine)
        if not because.strip():
            raise UsageError("say how it is known that the job is gone", where="because")
        with transaction.atomic():
            run = self.leg.run.locked()
            self.refresh_from_db()
            self.leg.run = run
            if self.state in FINAL_ATTEMPT_STATES:
                raise Conflict(f"the attempt is already {self.state}", where=self.public_id)
            away = self.machine.away_since is not None
            if self.state != AttemptState.UNKNOWN and not away:
                raise Conflict(
                    f"the attempt is {self.state} and its machine's agent answers for it", where=self.public_id,
                    fix="cancel its run instead",
                )  # fmt: skip
            at, reason = now(), f"Declared gone by {by.username}: {because.strip()}"
            transition(
                self, AttemptState.FAILED, ATTEMPT_TRANSITIONS, event="user:attempt:gone", by=by.username,
                reason=reason, keep_reason=True, ended_at=at,
            )  # fmt: skip
            told = Observation(
                attempt_id=self.public_id, epoch=max(1, self.epoch), sequence=max(1, self.sequence), at=at,
                state=AttemptState.FAILED, job_id=self.job_id,
            )  # fmt: skip
            UsageEntry.debit(self, told, by=by.username)
            self.wish_changed()
            run.follow(self, by=by.username)

    def recall(self, why: str, *, by: str) -> None:
        """Have it end, with a checkpoint if it runs, so that its run can go on elsewhere. Needs the run locked."""
        if self.recalled or self.state in FINAL_ATTEMPT_STATES:
            return
        if self.withdraw(by=by, reason=why):
            return
        Attempt.objects.filter(pk=self.pk).update(recalled=why)
        self.recalled = why
        Event.record("service:attempt:recalled", self.public_id, by=by, reason=why)
        self.wish_changed()

    def advance_to(self, step: int) -> None:
        """Telemetry says a step was done."""
        further = Attempt.objects.filter(pk=self.pk).exclude(last_step__gte=step)
        if further.update(last_step=step):
            self.last_step = step

    def withdraw(self, *, by: str, reason: str) -> bool:
        """Cancel an attempt that no agent was told of yet; False if one was."""
        with transaction.atomic():
            unoffered = Attempt.objects.filter(pk=self.pk, state=AttemptState.PLANNED, offered_at=None)
            if not unoffered.update(state=AttemptState.CANCELLED, reason=reason, ended_at=now()):
                return False
            Event.record("service:attempt:cancelled", self.public_id, by=by, reason=reason)
            self.wish_changed()
        self.refresh_from_db(fields=["state", "reason", "ended_at"])
        return True

    @classmethod
    def offer(cls, machine: Any, cursor: int = 0) -> Offered:
        """What the service wants of a machine: all of it, or what changed after `cursor`. Notes what is told first.

        What nothing more is wanted of is named too (for cursor 0 it is whatever is not among the assignments). A
        cursor never given out, as after a restored backup, asks for everything.
        """
        upto = Revision.of(machine.pk)
        since = cursor if cursor <= upto else 0
        if since and since == upto:
            return Offered((), (), upto)
        changed = cls.objects.filter(machine=machine, revision__lte=upto)
        if since:
            changed = changed.filter(revision__gt=since)
            for last in changed.order_by("revision").values_list("revision", flat=True)[MOST_TOLD - 1 : MOST_TOLD]:
                changed, upto = changed.filter(revision__lte=last), last
        is_open = changed.exclude(state__in=FINAL_ATTEMPT_STATES)
        if not since and not is_open.exists():  # a machine without work: most of all machines, most of the time
            return Offered((), (), upto)
        # One launched after this is left for the next sync: whatever is told must have been noted.
        rows = list(is_open.select_related(*_TOLD).defer(*_UNTOLD).order_by("pk"))
        for each in rows:
            each.leg.machine = machine  # read once, and not with each of them
        wanted = [each for each in rows if each.may_be_told()]
        unnoted = [each.pk for each in wanted if each.offered_at is None]
        for start in range(0, len(unnoted), 500):
            told = cls.objects.filter(pk__in=unnoted[start : start + 500], offered_at=None)
            told.exclude(state__in=FINAL_ATTEMPT_STATES).update(offered_at=now())
        if unnoted:
            still = set(is_open.exclude(offered_at=None).values_list("pk", flat=True))
            wanted = [each for each in wanted if each.pk in still]
        gone = changed.filter(state__in=FINAL_ATTEMPT_STATES).order_by("pk") if since else cls.objects.none()
        return Offered(
            assignments=tuple(attempt.assignment() for attempt in wanted),
            closed=tuple(gone.values_list("public_id", flat=True)),
            cursor=upto,
        )

    def may_be_told(self) -> bool:
        """Not while the checkpoint it starts from is on its way; its arrival changes the wish."""
        if self.leg.number == 1 or self.number > 1 or self.offered_at is not None:
            return True
        from hanse.service.runs.parcels import Parcel

        if not Parcel.ready(self):
            return False
        lost = any(parcel.kind == "checkpoint" and parcel.state == "failed" for parcel in Parcel.of_attempt(self))
        return not lost or self.leg.run.spec.where.restart_elsewhere

    @property
    def desired(self) -> Literal["run", "cancel", "stop"]:
        if self.leg.run.state not in {RunState.QUEUED, RunState.RUNNING}:
            return "cancel"
        if self.recalled:
            return "stop" if self.state == AttemptState.RUNNING else "cancel"
        return "run"

    def assignment(self) -> Assignment:
        from hanse.service.runs.forecast import StopAsked
        from hanse.service.runs.parcels import Parcel

        run = self.leg.run
        return Assignment(
            attempt_id=self.public_id,
            run_id=run.public_id,
            number=self.number,
            desired=self.desired,
            stop=StopAsked.because_of(self) if self.state == AttemptState.RUNNING else "",
            job=self.job,
            ticket=self.ticket,
            spec=run.spec,
            plan=self.own_plan or self.leg.plan or run.plan,
            machine=self.leg.machine.facts,
            code_sha256=run.code.sha256 if run.code else None,
            after=self.after.public_id if self.after else None,
            fetch=Parcel.for_attempt(self) if self.leg.number > 1 and self.number == 1 else (),
            user=run.created_by.username,
            project=run.project.public_id,
        )

    def contract(self) -> contract.Attempt:
        return contract.Attempt(
            id=self.public_id,
            leg_id=self.leg.public_id,
            number=self.number,
            state=AttemptState(self.state),
            job_id=self.job_id,
            reason=self.reason,
            planned_at=self.planned_at,
            started_at=self.started_at,
            ended_at=self.ended_at,
            exit_code=self.exit_code,
            last_step=self.last_step,
            accelerator_seconds=self.accelerator_seconds,
            last_heard_at=self.last_heard_at,
            raw_state=self.raw_state,
            expected_start_at=self.expected_start_at,
            after=self.after.public_id if self.after else None,
            nodes=tuple(self.nodes),
            held=held_up.told(self),
        )


_TOLD = ("leg__run__code", "leg__run__created_by", "leg__run__project", "after")
_UNTOLD = tuple(f"leg__run__{name}" for name in ("admission", "placement", "result"))
MOST_TOLD = 500
"""Changed wishes in one answer; what is beyond is told at the next sync. An answer to cursor 0 holds all there is."""
"""What an assignment is made of."""


def _telling(seen: Observation) -> dict[str, str | int | float | bool | None]:
    """What an event of an observation keeps."""
    data: dict[str, str | int | float | bool | None] = {
        "job": seen.job_id,
        "raw_state": seen.raw_state,
        "step": seen.step,
    }
    return {key: value for key, value in data.items() if value not in (None, "")}
