"""Attempts: one scheduler job each, following what its agent observes.

Observations of an attempt count in the order of (epoch, sequence): what is repeated or comes late changes nothing,
and a final state is final. A final observation debits the attempt and lets its run go on, in one transaction.
"""

from __future__ import annotations

from typing import Any

from django.db import models, transaction

from hanse.contracts import run as contract
from hanse.contracts.agentapi import Assignment, Observation
from hanse.contracts.base import now
from hanse.contracts.run import ATTEMPT_TRANSITIONS, FINAL_ATTEMPT_STATES, AttemptState, RunState
from hanse.planning import jobs
from hanse.service.records import ContractField, PublicIdField, new_id, transition
from hanse.service.runs import issue
from hanse.service.runs.events import Event
from hanse.service.runs.machines import Machine
from hanse.service.runs.usage import UsageEntry


class Attempt(models.Model):
    STATES = [(state.value, state.value) for state in AttemptState]

    public_id = PublicIdField(prefix="att")
    leg = models.ForeignKey("runs.Leg", on_delete=models.PROTECT, related_name="attempts")
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

    class Meta:
        app_label = "runs"
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["leg", "number"], name="attempt_number_once_a_leg")]
        indexes = [
            models.Index(fields=["state"], name="attempt_state"),
            models.Index(fields=["revision"], name="attempt_revision"),
        ]

    def __str__(self) -> str:
        return self.public_id

    @classmethod
    def plan(cls, leg: Any, number: int, allocation: Any, *, by: str) -> Attempt:
        """The next attempt of a leg, cut to the hours that are left, with its ticket. Needs the allocation locked."""
        run = leg.run
        shape = run.shape(leg)
        wall_time_s = run.affordable_wall_time_s(shape, allocation)
        attempt_id = new_id("att")
        job = jobs.job_of(
            run.spec, leg.machine.facts, shape, run_id=run.public_id, attempt_id=attempt_id, number=number,
            wall_time_s=wall_time_s, account=allocation.account,
        )  # fmt: skip
        reserved = shape.held * wall_time_s
        ticket = issue.ticket_for(
            job, run.spec, code_sha256=run.code.sha256 if run.code else None, max_accelerator_seconds=reserved,
            conditions=run.conditions(allocation),
        )  # fmt: skip
        attempt = cls.objects.create(
            public_id=attempt_id, leg=leg, number=number, job=job, ticket=ticket,
            reserved_accelerator_seconds=reserved, planned_at=now(),
        )  # fmt: skip
        attempt.wish_changed()
        Event.record("service:attempt:planned", attempt_id, by=by, run=run.public_id, number=number, reserved=reserved)
        return attempt

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
            if seen.state != self.state:
                transition(
                    self, AttemptState(seen.state), ATTEMPT_TRANSITIONS, event=f"agent:attempt:{seen.state}", by=by,
                    reason=seen.reason, data=_telling(seen),
                )  # fmt: skip
                if seen.state in FINAL_ATTEMPT_STATES:
                    self.wish_changed()
                    UsageEntry.debit(self, seen, by=by)
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
        self.refresh_from_db(fields=["state", "reason", "ended_at"])
        return True

    def wish_changed(self) -> None:
        """What the service wants of this attempt is another thing now: its machine's agent is to hear of it."""
        machines = Machine.objects.filter(pk=self.leg.machine_id)
        with transaction.atomic():
            machines.update(revision=models.F("revision") + 1)
            self.revision = machines.values_list("revision", flat=True).get()
            Attempt.objects.filter(pk=self.pk).update(revision=self.revision)

    @classmethod
    def offer(cls, machine: Any, cursor: int) -> tuple[tuple[Assignment, ...], tuple[str, ...], int]:
        """What the service wants of a machine since `cursor`, what it wants no more, and the new cursor.

        Cursor 0 is answered with everything open. Notes what is told for the first time.
        """
        revision = Machine.objects.values_list("revision", flat=True).get(pk=machine.pk)
        cls.objects.filter(leg__machine=machine, state=AttemptState.PLANNED, offered_at=None).update(offered_at=now())
        # One launched since that update is left for the next sync: whatever is told must have been noted.
        told = machine.open_attempts().exclude(state=AttemptState.PLANNED, offered_at=None)
        closed: tuple[str, ...] = ()
        if cursor:
            told = told.filter(models.Q(revision__gt=cursor) | models.Q(leg__run__state=RunState.CANCELLING))
            over = cls.objects.filter(leg__machine=machine, revision__gt=cursor, state__in=FINAL_ATTEMPT_STATES)
            closed = tuple(over.values_list("public_id", flat=True))
        wanted = told.select_related("leg__run__code", "leg__machine").order_by("pk")
        return tuple(attempt.assignment() for attempt in wanted), closed, revision

    def assignment(self) -> Assignment:
        run = self.leg.run
        return Assignment(
            attempt_id=self.public_id,
            run_id=run.public_id,
            number=self.number,
            desired="run" if run.state in {RunState.QUEUED, RunState.RUNNING} else "cancel",
            job=self.job,
            ticket=self.ticket,
            spec=run.spec,
            plan=run.plan,
            machine=self.leg.machine.facts,
            code_sha256=run.code.sha256 if run.code else None,
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
        )


def _telling(seen: Observation) -> dict[str, str | int | float | bool | None]:
    """What an event of an observation keeps."""
    data: dict[str, str | int | float | bool | None] = {
        "job": seen.job_id,
        "raw_state": seen.raw_state,
        "step": seen.step,
    }
    return {key: value for key, value in data.items() if value not in (None, "")}
