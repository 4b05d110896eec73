"""What a run will cost before it is submitted: in GPU-hours and in the site's own unit, with how far it may be off.

And what that does to the hours that are free, and to the priority of the jobs where the site gives a quota a month.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from hanse.contracts.machine import Machine
from hanse.contracts.plan import Interval, Plan
from hanse.contracts.programme import Allocation
from hanse.contracts.units import SECONDS_PER_HOUR, format_gpu_hours, format_percent, hours_of, significant
from hanse.machines import quotas
from hanse.machines.quotas import MonthlyQuota


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthlyShare:
    """The quota of a month at a site that gives one, and what this run makes of it; in accelerator-seconds."""

    rule: MonthlyQuota
    quota: int
    used: int
    run: int

    @property
    def full_priority_up_to(self) -> int:
        return self.quota * (1 + self.rule.borrow_months)

    @property
    def above(self) -> bool:
        """Whether jobs of this run will wait behind others before it ends, if all of it ran this month."""
        return self.used + self.run > self.full_priority_up_to

    @property
    def above_already(self) -> bool:
        return self.used >= self.full_priority_up_to


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    machine: str
    accelerator_seconds: Interval
    unit: str | None = None
    """The site's billing unit; None where it is not known."""
    amount: Interval | None = None
    allocation: str | None = None
    free_accelerator_seconds: int | None = None
    month: MonthlyShare | None = None

    def sentences(self) -> tuple[str, ...]:
        held = self.accelerator_seconds
        hours = _between(held, 1 / SECONDS_PER_HOUR)
        billed = ""
        if self.amount is not None and self.unit is not None and self.unit != "GPU-hour":
            billed = f", which {self.machine} bills as {_between(self.amount)} {hours_of(self.unit)}"
        said = [f"It takes about {hours} GPU-hours{billed}."]
        if self.free_accelerator_seconds is not None:
            said.append(self._of_what_is_free(self.free_accelerator_seconds))
        if self.month is not None:
            said.append(_priority(self.month))
        return tuple(said)

    def _of_what_is_free(self, free: int) -> str:
        left = f"the {format_gpu_hours(free)} that are free in {self.allocation}"
        if free <= 0:
            return f"Nothing is free in {self.allocation}."
        if self.accelerator_seconds.expected > free:
            return f"That is more than {left}."
        share = format_percent(self.accelerator_seconds.expected / free)
        if self.accelerator_seconds.high > free:
            return f"That is {share} of {left}; at the upper end it would be more than all of them."
        return f"That is {share} of {left}."


def before(
    plan: Plan,
    machine: Machine,
    allocation: Allocation | None = None,
    used_this_month: int = 0,
) -> Cost:
    """Of the whole run. `used_this_month` in accelerator-seconds, by all jobs of the allocation's account."""
    expected, wall = plan.accelerator_seconds, plan.wall_time_s
    held = Interval(
        low=expected * wall.low / wall.expected if wall.expected else expected, expected=expected,
        high=expected * wall.high / wall.expected if wall.expected else expected,
    )  # fmt: skip
    billing = machine.billing
    amount = None
    if billing is not None:
        per_second = billing.units_per_node_hour / SECONDS_PER_HOUR / machine.accelerators_per_node
        amount = Interval(low=held.low * per_second, expected=held.expected * per_second, high=held.high * per_second)
    return Cost(
        machine=machine.name,
        accelerator_seconds=held,
        unit=billing.unit if billing else None,
        amount=amount,
        allocation=allocation.id if allocation else None,
        free_accelerator_seconds=allocation.free_accelerator_seconds if allocation else None,
        month=_month(machine, allocation, used_this_month, expected) if allocation else None,
    )


def _month(machine: Machine, allocation: Allocation, used: int, run: int) -> MonthlyShare | None:
    rule = quotas.of(machine.id)
    if rule is None:
        return None
    months = _months(allocation.starts, allocation.ends)
    return MonthlyShare(rule=rule, quota=allocation.granted_accelerator_seconds // months, used=used, run=run)


def _months(starts: date, ends: date) -> int:
    """Whole months of an allocation, as sites divide a grant by them."""
    return max(1, round(((ends - starts).days + 1) / 30.44))


def _priority(month: MonthlyShare) -> str:
    quota, used = format_gpu_hours(month.quota), format_gpu_hours(month.used)
    borrowed = f", {month.rule.borrow_months} more may be borrowed" if month.rule.borrow_months else ""
    head = f"A month's share is {quota} there{borrowed}; {used} are used this month."
    if month.above_already:
        return f"{head} It is used up: jobs start after those of projects that have some left."
    if month.above:
        return (
            f"{head} This run goes above it: from then on its jobs start after those of projects that have some left."
        )
    if month.rule.gradual and month.quota and month.used + month.run > month.quota // 2:
        return f"{head} Priority falls as the share is used."
    return f"{head} This run stays within it, at full priority."


def _between(interval: Interval, factor: float = 1.0) -> str:
    low, expected, high = (significant(value * factor) for value in (interval.low, interval.expected, interval.high))
    return expected if low == high else f"{expected} ({low} to {high})"
