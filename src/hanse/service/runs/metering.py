"""The ledger's other half: every job of the scheduler accounts behind our allocations, and the site's own counters.

A job of ours is known by its name and tied to its attempt: that was debited as measured, and the site's figure is only
compared. Any other job is charged as `site`. A row keeps the furthest report of a job, whatever order they come in;
what it should cost by that report, less what was entered for it, is one new entry. So nothing is counted twice, and
reports repeated or out of order come to the same sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import models, transaction
from django.db.models import Sum

from hanse.contracts.base import now
from hanse.contracts.errors import Conflict
from hanse.contracts.job import FINAL_JOB_STATES
from hanse.contracts.run import FINAL_ATTEMPT_STATES
from hanse.contracts.site import SiteBudget, SiteJob
from hanse.planning import energy
from hanse.service.access.awards import Allocation
from hanse.service.records import ContractField
from hanse.service.runs.attempts import Attempt
from hanse.service.runs.events import Event
from hanse.service.runs.machines import Machine
from hanse.service.runs.usage import UsageEntry

JOB_PREFIX: Final = "hanse-"
LATE: Final = timedelta(days=7)
"""Jobs that began on an allocation's last day end within it, and accounting has heard of them."""
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


class SiteJobRow(models.Model):
    """One job of a scheduler account (one run of it, where the site requeued it), as its accounting has it."""

    machine = models.ForeignKey("runs.Machine", on_delete=models.PROTECT, related_name="site_jobs")
    job_id = models.CharField(max_length=100)
    submitted_at = models.DateTimeField()
    account = models.CharField(max_length=63)
    allocation = models.ForeignKey(
        "access.Allocation", on_delete=models.PROTECT, null=True, blank=True, related_name="site_jobs"
    )
    """None: no allocation covers it, and nothing is charged."""
    attempt = models.ForeignKey(
        "runs.Attempt", on_delete=models.PROTECT, null=True, blank=True, related_name="site_jobs"
    )
    """Whose job it is, if it is one of ours."""
    job = ContractField(contract="hanse.contracts.site.SiteJob")
    started_at = models.DateTimeField(null=True, blank=True)
    elapsed_s = models.PositiveBigIntegerField(default=0)
    accelerators = models.PositiveIntegerField(default=0)
    accelerator_seconds = models.PositiveBigIntegerField(default=0)
    final = models.BooleanField(default=False)
    note = models.TextField(blank=True)

    class Meta:
        app_label = "runs"
        ordering = ["pk"]
        verbose_name = "site job"
        constraints = [
            models.UniqueConstraint(fields=["machine", "job_id", "submitted_at"], name="site_job_once_a_submission")
        ]
        indexes = [models.Index(fields=["machine", "account"], name="site_job_account")]

    def __str__(self) -> str:
        return f"{self.job_id} on {self.machine.public_id}"

    @classmethod
    def take(cls, machine: Machine, seen: SiteJob) -> None:
        """Keep what is further than what is known, and enter what it comes to. Needs the machine locked."""
        submitted = seen.report.submitted_at or _NO_TIME
        row = cls.objects.filter(machine=machine, job_id=seen.report.job_id, submitted_at=submitted).first()
        if row is None:
            row = cls(machine=machine, job_id=seen.report.job_id, submitted_at=submitted)
            row.attempt = _attempt_of(machine, seen)
        elif _rank(seen) <= _rank(row.job):
            return
        report = seen.report
        row.job, row.account = seen, seen.account
        row.started_at, row.final = report.started_at, report.state in FINAL_JOB_STATES
        row.elapsed_s, row.accelerators = -int(-report.elapsed_s // 1), report.accelerators
        row.accelerator_seconds = report.accelerator_seconds
        if row.allocation is None:
            row.allocation, row.note = _allocation_of(row)
        row.save()
        row.settle()

    def due(self) -> int:
        """What the ledger should hold for it beside what its attempt was debited, in accelerator-seconds."""
        if self.attempt is not None:
            ended = self.attempt.state in FINAL_ATTEMPT_STATES
            if not ended or self.attempt.usage.filter(kind="measured").exists():
                return 0
        return int(self.accelerator_seconds)

    def settle(self) -> None:
        """Enter the difference between what is due and what was entered; the energy once, at the end."""
        if self.allocation is None:
            return
        due = self.due()
        missing = due - _sum(self.entries.all())
        joules, estimated = None, False
        if self.final and due and not self.entries.filter(energy_joules__isnull=False).exists():
            joules, estimated = energy.of(self.job.report.energy_joules, self.machine.facts, due)
        if not missing and joules is None:
            return
        entry = UsageEntry.objects.create(
            allocation=self.allocation, attempt=self.attempt, kind="site", accelerator_seconds=missing,
            energy_joules=joules, energy_estimated=estimated, site_job=self, site_amount=self.job.site_amount,
            recorded_at=now(), note=self._told(),
        )  # fmt: skip
        Event.record(
            "agent:usage:site", self.allocation.public_id, by=self.machine.actor, accelerator_seconds=missing,
            entry=entry.public_id, job=self.job_id,
        )  # fmt: skip

    def _told(self) -> str:
        words = [f"job {self.job_id} of {self.job.user or 'somebody'} in account {self.account}"]
        if self.attempt is not None:
            words.append("an attempt that was never debited")
        if not self.final:
            words.append("still running")
        return "; ".join([*words, *([self.note] if self.note else [])])


class SiteCounter(models.Model):
    """What the site's own counter last said of one account."""

    machine = models.ForeignKey("runs.Machine", on_delete=models.CASCADE, related_name="site_counters")
    account = models.CharField(max_length=63)
    at = models.DateTimeField()
    budget = ContractField(contract="hanse.contracts.site.SiteBudget")

    class Meta:
        app_label = "runs"
        constraints = [models.UniqueConstraint(fields=["machine", "account"], name="site_counter_once_an_account")]

    def __str__(self) -> str:
        return f"{self.account} on {self.machine.public_id}"


def accounts_of(machine: Machine) -> tuple[str, ...]:
    """Scheduler accounts whose jobs we want to hear of: those behind its allocations, till a while after their end."""
    wanted = Allocation.objects.filter(machine=machine, ends__gte=now().date() - LATE).exclude(account="")
    return tuple(sorted(set(wanted.values_list("account", flat=True))))


def take_jobs(machine: Machine, jobs: Iterable[SiteJob]) -> None:
    """Take in what the site's accounting says. Repeating it, in whatever order, changes nothing."""
    wanted = set(machine.allocations.exclude(account="").values_list("account", flat=True))
    with transaction.atomic():
        Machine.objects.select_for_update(no_key=True).get(pk=machine.pk)
        for seen in jobs:
            if seen.account in wanted:
                SiteJobRow.take(machine, seen)


def take_budgets(machine: Machine, budgets: Iterable[SiteBudget]) -> None:
    """Keep the newest word of each counter."""
    with transaction.atomic():
        Machine.objects.select_for_update(no_key=True).get(pk=machine.pk)
        for budget in budgets:
            row, made = SiteCounter.objects.get_or_create(
                machine=machine, account=budget.account, defaults={"at": budget.at, "budget": budget}
            )
            if not made and row.at < budget.at:
                row.at, row.budget = budget.at, budget
                row.save()


def tie_account(allocation: Allocation, account: str, *, by: str) -> None:
    """Say under which scheduler account an allocation runs; once, as jobs are charged by it from then on.

    Raises:
        Conflict: it has another one already.
    """
    with transaction.atomic():
        tied = Allocation.objects.filter(pk=allocation.pk, account="").update(account=account)
        if tied:
            Event.record("user:allocation:account", allocation.public_id, by=by, account=account)
        elif not Allocation.objects.filter(pk=allocation.pk, account=account).exists():
            raise Conflict(
                f"it runs under another scheduler account, {allocation.account}", where=allocation.public_id,
                fix="open a new allocation for another account",
            )  # fmt: skip


def settle_attempts() -> int:
    """Jobs of attempts that ended since, with a debit or without one; how many needed an entry."""
    ours = SiteJobRow.objects.filter(attempt__state__in=FINAL_ATTEMPT_STATES, allocation__isnull=False)
    debited = UsageEntry.objects.filter(attempt=models.OuterRef("attempt"), kind="measured")
    entered = models.functions.Coalesce(Sum("entries__accelerator_seconds"), 0)
    rows = ours.annotate(was_debited=models.Exists(debited), entered=entered)
    open_rows = rows.filter(
        models.Q(was_debited=True) & ~models.Q(entered=0)
        | models.Q(was_debited=False) & ~models.Q(entered=models.F("accelerator_seconds"))
    )
    settled = 0
    for pk, machine in open_rows.values_list("pk", "machine"):
        with transaction.atomic():
            Machine.objects.select_for_update(no_key=True).get(pk=machine)
            SiteJobRow.objects.select_related("machine", "allocation", "attempt").get(pk=pk).settle()
            settled += 1
    return settled


def unentered_accelerator_seconds(allocation: Allocation, at: datetime) -> tuple[int, int]:
    """What others' running jobs have held since they were last told, and how many accelerators they hold now."""
    return unentered_of([allocation.pk], at).get(allocation.pk, (0, 0))


def unentered_of(allocations: list[int], at: datetime) -> dict[int, tuple[int, int]]:
    """The same of many, by their keys; those of which nothing is held are left out."""
    running = SiteJobRow.objects.filter(
        allocation__in=allocations, final=False, attempt=None, started_at__isnull=False
    ).values_list("allocation_id", "started_at", "elapsed_s", "accelerators")  # fmt: skip
    found: dict[int, tuple[int, int]] = {}
    for allocation, started_at, elapsed_s, count in running:
        held, accelerators = found.get(allocation, (0, 0))
        since = max(0, int((at - started_at).total_seconds()) - elapsed_s) * count
        found[allocation] = held + since, accelerators + count
    return found


def _attempt_of(machine: Machine, seen: SiteJob) -> Attempt | None:
    name = seen.report.name
    if not name.startswith(JOB_PREFIX):
        return None
    return Attempt.objects.filter(public_id=name.removeprefix(JOB_PREFIX), leg__machine=machine).first()


def _allocation_of(row: SiteJobRow) -> tuple[Allocation | None, str]:
    """That of its attempt; else by account, partition and the day it began, the first to open if several fit."""
    if row.attempt is not None:
        return row.attempt.leg.allocation, ""
    day = (row.started_at or row.submitted_at).date()
    fitting = Allocation.objects.filter(
        models.Q(partition="") | models.Q(partition=row.job.partition),
        machine=row.machine, account=row.account, starts__lte=day, ends__gte=day,
    )  # fmt: skip
    found = list(fitting.order_by("starts", "pk")[:2])
    if not found:
        return None, "outside every allocation of its account"
    several = len(found) > 1
    return found[0], "several allocations fit; charged to the first that opened" if several else ""


def _rank(seen: SiteJob) -> tuple[Any, ...]:
    """Which of two reports of a job is the later one, in whatever order they came: an end outranks a run."""
    report = seen.report
    return (
        report.state in FINAL_JOB_STATES, report.ended_at or _NO_TIME, report.elapsed_s, report.accelerators,
        report.energy_joules or 0, report.raw_state,
    )  # fmt: skip


def _sum(entries: Any) -> int:
    return int(entries.aggregate(total=Sum("accelerator_seconds"))["total"] or 0)
