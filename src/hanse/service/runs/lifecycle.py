"""Runs and their legs: what a person launches, and how it goes on from attempt to attempt.

A run ends when its training is finished, when it is cancelled, or when another attempt cannot help: no attempts or no
hours left, or three in a row that failed without a step of progress. An unknown attempt is kept, never resubmitted.
"""

from __future__ import annotations

from typing import Any

from django.db import models, transaction

from hanse.contracts import run as contract
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.contracts.run import FINAL_ATTEMPT_STATES, FINAL_RUN_STATES, RUN_TRANSITIONS, AttemptState, RunState
from hanse.contracts.units import SECONDS_PER_HOUR, format_gpu_hours
from hanse.planning import jobs
from hanse.service.access.awards import Allocation
from hanse.service.access.people import Person, Project
from hanse.service.records import ContractField, PublicIdField, transition
from hanse.service.runs import abreast, chains, placing
from hanse.service.runs.attempts import Attempt
from hanse.service.runs.usage import UsageEntry

RAPID_FAILURES = 3


class RunQuerySet(models.QuerySet):
    def seen_by(self, person: Person) -> Any:
        return self.filter(project__organisation__memberships__person=person).distinct()

    def whole(self) -> Any:
        """With all that `contract()` reads, in a fixed number of queries."""
        return self.select_related("project", "created_by", "code").prefetch_related(
            "legs__machine", "legs__allocation", "legs__attempts__usage", "legs__attempts__after"
        )


class Run(models.Model):
    STATES = [(state.value, state.value) for state in RunState]

    public_id = PublicIdField(prefix="run")
    name = models.CharField(max_length=63)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="runs")
    state = models.CharField(max_length=12, choices=STATES, default=RunState.QUEUED)
    reason = models.TextField(blank=True)
    spec = ContractField(contract="hanse.contracts.spec.TrainSpec")
    spec_hash = models.CharField(max_length=64)
    code = models.ForeignKey("runs.CodeBundle", on_delete=models.PROTECT, null=True, blank=True, related_name="runs")
    plan = ContractField(contract="hanse.contracts.plan.Plan", null=True, blank=True)
    admission = ContractField(contract="hanse.contracts.decision.Decision")
    result = ContractField(contract="hanse.contracts.telemetry.TrainResult", null=True, blank=True)
    placement = ContractField(contract="hanse.contracts.placement.Placement", null=True, blank=True)
    """Where it could have gone when it was launched, and why it went where it did."""
    across = ContractField(contract="hanse.contracts.outer.OuterTerms", null=True, blank=True)
    """What its legs agree on, where it has one on each of several machines at once."""
    retry_key = models.CharField(max_length=100, null=True, blank=True, editable=False)
    launch_key = models.CharField(max_length=100, null=True, blank=True, editable=False)
    """The launcher's idempotency key: one key starts one run."""
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="runs")
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        app_label = "runs"
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["created_by", "launch_key"], name="launch_key_once")]

    def __str__(self) -> str:
        return f"{self.public_id} {self.name}"

    def locked(self) -> Run:
        """This run as it stands now, held against other changes until the transaction ends."""
        found: Run = type(self).objects.select_for_update().get(pk=self.pk)
        return found

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_RUN_STATES

    def cancel(self, *, by: str, reason: str = "") -> None:
        """Ask for its end. What no agent was told of ends at once; cancelling twice is once.

        Raises:
            Conflict: it has ended already.
        """
        with transaction.atomic():
            run = self.locked()
            if run.is_final:
                raise Conflict(f"the run is already {run.state}", where=run.public_id)
            if run.state != RunState.CANCELLING:
                why = reason or f"Cancelled by {by}."
                transition(
                    run, RunState.CANCELLING, RUN_TRANSITIONS, event="user:run:cancelling", by=by, reason=reason,
                    keep_reason=True,
                )  # fmt: skip
                left = run._end_attempts(by=by, reason=reason or "the run was cancelled")
                if not left:
                    run.end(RunState.CANCELLED, why, by=by)
        self.refresh_from_db()

    def _end_attempts(self, *, by: str, reason: str) -> int:
        """Withdraw what no agent was told of, and have the others ended; how many those are. Needs the run locked."""
        left = 0
        for attempt in Attempt.objects.filter(leg__run=self).exclude(state__in=FINAL_ATTEMPT_STATES):
            if not attempt.withdraw(by=by, reason=reason):
                attempt.wish_changed()
                left += 1
        return left

    def follow(self, attempt: Attempt, *, by: str) -> None:
        """Draw what follows for the run from a changed attempt. Needs the run locked."""
        if self.is_final:
            return
        if self.across is not None:
            abreast.follow(self, attempt, by=by)
            return
        state = AttemptState(attempt.state)
        others = [each for each in self.open_attempts() if each.pk != attempt.pk]
        if state is AttemptState.FINISHED:
            self.end(RunState.FINISHED, "", by=by)
        elif state in FINAL_ATTEMPT_STATES and self.state == RunState.CANCELLING:
            if not others:
                self.end(RunState.CANCELLED, self.reason, by=by)
        elif state in FINAL_ATTEMPT_STATES and attempt.recalled:
            if not others:
                self._leave(attempt, by=by)
        elif state in FINAL_ATTEMPT_STATES and any(_before(each, attempt) for each in others):
            chains.break_off(attempt, by=by)  # lost before its turn; the next is planned when that comes
        elif state is AttemptState.CANCELLED:
            self.end(RunState.CANCELLED, self.cancelled_elsewhere(attempt), by=by)
        elif state in FINAL_ATTEMPT_STATES:
            self._go_on(attempt, others, by=by)
        elif self.state != RunState.CANCELLING and state in {AttemptState.QUEUED, AttemptState.RUNNING}:
            self.note_begun(state, others, by=by)

    def note_begun(self, state: AttemptState, others: list[Attempt], *, by: str) -> None:
        """An attempt waits in a queue, or runs: so does the run, unless another runs already."""
        busy = any(each.state in {AttemptState.RUNNING, AttemptState.UNKNOWN} for each in others)
        if state is AttemptState.RUNNING or not busy:
            self.become(RunState(state.value), by=by)

    def open_attempts(self) -> list[Attempt]:
        return list(Attempt.objects.filter(leg__run=self).exclude(state__in=FINAL_ATTEMPT_STATES).select_related("leg"))

    def _leave(self, recalled: Attempt, *, by: str) -> None:
        """The last of those asked to end has: on to another machine, or on here where only a chain was broken."""
        leg = recalled.leg
        if because := chains.why_left(leg):
            self.go_elsewhere(leg, because, by=by)
        else:
            self._go_on(chains.last_of(leg) or recalled, [], by=by)

    def go_elsewhere(self, leg: Any, because: str, *, by: str) -> None:
        """Every attempt has ended so that the run leaves a machine. With nowhere to go it stays. Needs it locked."""
        if placing.move(self, leg, because, by=by):
            self.become(RunState.QUEUED, by=by, reason=because)
            self.tell(placing.history(self))
            return
        allocation = Allocation.locked(leg.allocation.public_id)
        ended = chains.last_of(leg) or leg.attempts.order_by("-number").first()
        ended.leg.run = self
        if why_not := self.why_no_further_attempt(ended, allocation):
            self.end(RunState.FAILED, _joined(placing.history(self), why_not), by=by)
            return
        self.plan_next(leg, allocation, by=by)
        self.become(RunState.QUEUED, by=by, reason=f"It stays, as no other machine can take it: {because}.")

    def give_up(self, reason: str, *, by: str) -> None:
        """A person has to decide how it goes on. Needs the run locked."""
        self.end(RunState.FAILED, reason, by=by)

    def retry(self, *, by: str, machine: str | None = None, key: str | None = None) -> None:
        """Begin a failed or cancelled run anew from its last checkpoint, on the same machine or another it allows.

        Raises:
            Conflict: it has not ended so, or a job of it has not ended.
            UsageError: the machine is none of where.machines.
            PolicyError: no machine can take it.
        """
        with transaction.atomic():
            run = self.locked()
            if key and run.retry_key == key:
                return
            if run.state not in _RETRIED:
                raise Conflict(f"the run is {run.state}; a failed or cancelled one can be retried", where=run.public_id)
            if left := run.open_attempts():
                raise Conflict(
                    f"attempt {left[0].public_id} has not ended yet", where=run.public_id,
                    fix="wait until its machine has ended it, or ask its operator to declare it gone",
                )  # fmt: skip
            allowed = run.spec.where.machines
            if machine is not None and machine not in allowed:
                raise UsageError(f"where.machines names {', '.join(allowed)}, not {machine}", where="machine")
            if run.across is not None and machine is not None:
                raise UsageError("a run across machines begins again on all of them", where="machine", fix="leave -m")
            transition(
                run, RunState.QUEUED, _RETRIED, event="user:run:retried", by=by, keep_reason=True, ended_at=None,
                retry_key=key or None,
            )  # fmt: skip
            if run.across is not None:
                abreast.begin_again(run, by=by)
            else:
                run._begin_again(machine, by=by)
        self.refresh_from_db()

    def _begin_again(self, machine: str | None, *, by: str) -> None:
        leg = self.legs.select_related("machine", "allocation").order_by("-number").first()
        leg.run = self
        again = "" if machine else f"It is begun again on {leg.machine.public_id}, where it was last."
        names = [machine or leg.machine.public_id]
        if placing.move(self, leg, "", by=by, names=names, asked=True, why=again) is None:
            raise PolicyError(
                f"{names[0]} cannot take this run now", where=self.public_id, history=placing.why_not(self, names),
                fix="free hours there, or name another of where.machines with -m",
            )  # fmt: skip

    def _go_on(self, ended: Attempt, ahead: list[Attempt], *, by: str) -> None:
        ended.leg.run = self
        if self._refused(ended) and placing.others(self, ended.leg):
            if not chains.still_open(ahead, ended.reason, by=by):
                self.go_elsewhere(ended.leg, ended.reason, by=by)
            return
        allocation = None if ahead else Allocation.locked(ended.leg.allocation.public_id)
        why_not = self.why_no_further_attempt(ended, allocation)
        if why_not and ended.state == AttemptState.FAILED and self._failed_without_progress(ended.leg):
            if ahead and placing.has_elsewhere(self, ended.leg) and chains.still_open(ahead, why_not, by=by):
                return
            onward = placing.move(self, ended.leg, why_not, by=by)
            if onward is not None:
                self.become(RunState.QUEUED, by=by, reason=why_not)
                self.tell(placing.history(self))
                return
        if why_not:
            self.end(RunState.FAILED, _joined(placing.history(self), why_not), by=by)
            return
        if ahead:
            allocation = Allocation.locked(ended.leg.allocation.public_id)
            chains.extend(ended.leg, allocation, by=by)
        else:
            self.plan_next(ended.leg, allocation, by=by)
        if not any(each.state == AttemptState.RUNNING for each in ahead):
            self.become(RunState.QUEUED, by=by, reason=ended.reason)

    def plan_next(self, leg: Any, allocation: Any, *, by: str) -> None:
        leg.run = self
        Attempt.plan(leg, leg.attempts.count() + 1, allocation, by=by)
        chains.extend(leg, allocation, by=by)

    def tell(self, reason: str) -> None:
        type(self).objects.filter(pk=self.pk).update(reason=reason)
        self.reason = reason

    def _refused(self, ended: Attempt) -> bool:
        """The machine did not take the job at all: another may."""
        return ended.state == AttemptState.FAILED and ended.job_id is None and ended.reason.startswith("Not submitted")

    @staticmethod
    def cancelled_elsewhere(attempt: Attempt) -> str:
        said = f" ({attempt.raw_state})" if attempt.raw_state else ""
        return f"The job was cancelled at the machine, not through Hanse{said}."

    def why_no_further_attempt(self, ended: Attempt, allocation: Any) -> str:
        from hanse.service.runs.forecast import StopAsked

        if because := StopAsked.because_of(ended):
            return f"{because} It was asked to stop; its last checkpoint is kept."
        where = self.spec.where
        last = ended.error.strip().splitlines()[-1] if ended.error.strip() else ended.reason
        told = f" It said: {last}" if last else ""
        if self.spec.command is not None and not self.spec.command.resumes and ended.exit_code:
            return f"The command ended with exit code {ended.exit_code}.{told}"
        if self._failed_without_progress(ended.leg):
            return f"{RAPID_FAILURES} attempts in a row failed without a step of progress.{told}"
        if chains.used_up(ended.leg) >= where.max_attempts and allocation is not None:
            return f"All {where.max_attempts} attempts that where.max_attempts allows are used.{told}"
        # With one queued already its hours are set aside.
        return "" if allocation is None else self.why_not_now(ended.leg, allocation)

    def why_not_now(self, leg: Any, allocation: Any) -> str:
        """Why days or hours do not allow another attempt of the leg; '' where they do."""
        if not allocation.open_on(now().date()):
            return f"The allocation ended on {allocation.ends:%d %B %Y}."
        if self.affordable_wall_time_s(self.shape(leg), allocation) < jobs.MIN_WALL_TIME_S:
            left = self.spendable_accelerator_seconds(allocation)
            return f"The hours are used up: {format_gpu_hours(max(left, 0))} are left, too few for another attempt."
        return ""

    def _failed_without_progress(self, leg: Any) -> bool:
        attempts = list(chains.ended_of(leg).order_by("number"))
        latest, before = attempts[-RAPID_FAILURES:], attempts[:-RAPID_FAILURES]
        reached = max((a.last_step or 0 for a in before), default=0)
        return (
            len(latest) == RAPID_FAILURES
            and all(a.state == AttemptState.FAILED for a in latest)
            and all((a.last_step or 0) <= reached for a in latest)
        )

    def shape(self, leg: Any, own_plan: Any = None) -> jobs.Shape:
        plan = own_plan or leg.plan or self.plan
        return jobs.shape_of(self.spec, plan, leg.machine.facts, granted_partition=leg.allocation.partition)

    def spendable_accelerator_seconds(self, allocation: Any) -> int:
        """What is left under the run's own cap and free in its allocation (which carries its balance)."""
        cap = int(self.spec.where.max_gpu_hours * SECONDS_PER_HOUR)
        set_aside = sum(each.reserved_accelerator_seconds for each in self.open_attempts())
        return min(cap - self._debited() - set_aside, allocation.free_accelerator_seconds)

    def affordable_wall_time_s(self, shape: jobs.Shape, allocation: Any) -> int:
        return min(shape.wall_time_s, self.spendable_accelerator_seconds(allocation) // shape.held)

    def conditions(self, allocation: Any) -> tuple[str, ...]:
        """Of the award and of admission, for the ticket."""
        from hanse.service.compliance.conditions import sentences

        of_award = sentences(allocation.award) if allocation.award else ()
        return tuple(dict.fromkeys((*of_award, *self.admission.conditions)))

    def _debited(self) -> int:
        total = UsageEntry.objects.filter(attempt__leg__run=self).aggregate(sum=models.Sum("accelerator_seconds"))
        return int(total["sum"] or 0)

    def become(self, to: RunState, *, by: str, reason: str = "") -> None:
        if self.state != to:
            transition(self, to, RUN_TRANSITIONS, event=f"service:run:{to}", by=by, reason=reason)

    def end(self, to: RunState, reason: str, *, by: str) -> None:
        transition(
            self,
            to,
            RUN_TRANSITIONS,
            event=f"service:run:{to}",
            by=by,
            reason=reason,
            keep_reason=True,
            ended_at=now(),
        )
        self._end_attempts(by=by, reason=f"the run is {to}")

    def contract(self) -> contract.Run:
        step, used_accelerator_seconds = self._so_far()
        return contract.Run(
            id=self.public_id,
            name=self.name,
            project=self.project.public_id,
            state=RunState(self.state),
            reason=self.reason,
            spec=self.spec,
            spec_hash=self.spec_hash,
            code_sha256=self.code.sha256 if self.code else None,
            plan=self.plan,
            legs=tuple(leg.contract() for leg in self.legs.all()),
            created_at=self.created_at,
            created_by=self.created_by.display_name,
            ended_at=self.ended_at,
            step=step,
            steps=self._planned_steps(),
            used_accelerator_seconds=used_accelerator_seconds,
            placement=self.placement,
            across=self.across,
        )

    def _planned_steps(self) -> int:
        plan = abreast.speaker(self).plan if self.across else self.plan
        return plan.steps if plan else 0

    def _so_far(self) -> tuple[int, int]:
        """The last step reached (across machines, by the leg that speaks), and accelerator-seconds debited or held."""
        attempts = [attempt for leg in self.legs.all() for attempt in leg.attempts.all()]
        debited = sum(entry.accelerator_seconds for attempt in attempts for entry in attempt.usage.all())
        held = sum(a.accelerator_seconds for a in attempts if a.state not in FINAL_ATTEMPT_STATES)
        if self.across:
            slot = abreast.speaker(self).slot
            attempts = [a for leg in self.legs.all() if leg.slot == slot for a in leg.attempts.all()]
        return max((a.last_step or 0 for a in attempts), default=0), max(0, debited + held)

    def brief(self) -> contract.Run:
        """For lists: without the layouts its plan weighed and did not take, and the machines it did not go to."""
        whole = self.contract().model_copy(update={"placement": None})
        if whole.plan is None:
            return whole
        return whole.model_copy(update={"plan": whole.plan.model_copy(update={"considered": ()})})


_RETRIED = {RunState.FAILED: frozenset({RunState.QUEUED}), RunState.CANCELLED: frozenset({RunState.QUEUED})}
"""Only a person takes a run out of its end."""


def _before(one: Attempt, other: Attempt) -> bool:
    return one.leg_id == other.leg_id and one.number < other.number


def _joined(*sentences: str) -> str:
    return " ".join(each for each in sentences if each)
