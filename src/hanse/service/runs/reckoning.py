"""An allocation's report: sums of its entries by kind and day, how far the ledger is from the site's own, forecast."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal

from django.db.models import Sum

from hanse.client.usage import DayOfUse, Drift, UsageReport
from hanse.contracts.base import now
from hanse.contracts.machine import Machine as MachineFacts
from hanse.contracts.run import FINAL_ATTEMPT_STATES
from hanse.contracts.units import significant
from hanse.service.access.awards import Allocation
from hanse.service.runs import forecast
from hanse.service.runs.metering import SiteCounter, SiteJobRow
from hanse.service.runs.usage import UsageEntry

_DAYS: Final = 30
Kind = Literal["measured", "site", "correction"]


def report(allocation: Allocation, *, offset: int = 0, limit: int = 50) -> UsageReport:
    """`allocation` carries its balance (`with_balance`)."""
    entries = UsageEntry.objects.filter(allocation=allocation)
    part = entries.select_related("allocation", "attempt").order_by("-pk")[offset : offset + limit]
    by_day = used_by_day(allocation)
    facts: MachineFacts | None = allocation.machine.facts
    joules = dict(
        entries.exclude(energy_joules=None).order_by().values_list("energy_estimated").annotate(Sum("energy_joules"))
    )
    balance = allocation.contract()
    return UsageReport(
        allocation=balance,
        billing=facts.billing if facts else None,
        accelerators_per_node=facts.accelerators_per_node if facts else 1,
        items=tuple(entry.contract() for entry in part),
        count=entries.count(),
        by_kind=_by_kind(entries),
        by_day=tuple(DayOfUse(day=day, accelerator_seconds=by_day[day]) for day in sorted(by_day)[-_DAYS:]),
        energy_joules_counted=joules.get(False, 0),
        energy_joules_estimated=joules.get(True, 0),
        drift=drift(allocation),
        forecast=forecast.forecast(
            granted=balance.granted_accelerator_seconds, used=balance.used_accelerator_seconds,
            reserved=balance.reserved_accelerator_seconds, by_day=by_day, starts=allocation.starts,
            ends=allocation.ends, today=now().date(),
        ),
    )  # fmt: skip


def used_by_day(allocation: Allocation) -> dict[date, int]:
    """By the day a job ended (a running one: was last seen), or a correction was made."""
    found: dict[date, int] = defaultdict(int)
    for _, end, amount in _spans(UsageEntry.objects.filter(allocation=allocation)):
        found[end.date()] += amount
    return {day: amount for day, amount in found.items() if amount}


def drift(allocation: Allocation) -> Drift | None:
    """Of its account; None where it has none or nothing is known of it from the site."""
    if not allocation.account:
        return None
    machine, account = allocation.machine, allocation.account
    rows = SiteJobRow.objects.filter(machine=machine, account=account)
    counter = SiteCounter.objects.filter(machine=machine, account=account).first()
    if counter is None and not rows.exists():
        return None
    budget = counter.budget if counter else None
    since = budget.since if budget else None
    entries = UsageEntry.objects.filter(allocation__machine=machine, allocation__account=account)
    ledger = sum(_part_after(start, end, amount, since) for start, end, amount in _spans(entries))
    jobs = 0
    for started_at, elapsed_s, amount in rows.exclude(started_at=None).values_list(
        "started_at", "elapsed_s", "accelerator_seconds"
    ):
        jobs += _part_after(started_at, started_at + timedelta(seconds=elapsed_s), amount, since)
    notes = [budget.note] if budget and budget.note else []
    if budget is not None and budget.used_accelerator_seconds is not None:
        notes.append("The site counts in whole minutes.")
    outside = rows.filter(allocation=None, accelerator_seconds__gt=0).count()
    if outside:
        notes.append(f"{outside} of the account's jobs lie outside every allocation and are charged to none.")
    return Drift(
        account=account,
        ledger_accelerator_seconds=ledger,
        jobs_accelerator_seconds=jobs,
        counter_accelerator_seconds=budget.used_accelerator_seconds if budget else None,
        limit_accelerator_seconds=budget.limit_accelerator_seconds if budget else None,
        counter=f"{significant(budget.used, 6)} {budget.unit}" if budget and budget.used is not None else "",
        at=counter.at if counter else None,
        since=since,
        attempts_accelerator_seconds=_attempts_drift(allocation),
        note=" ".join(notes),
    )


def _attempts_drift(allocation: Allocation) -> int:
    """Site's measure less our debit, over the debited attempts of which the site's final word is known."""
    rows = SiteJobRow.objects.filter(allocation=allocation, attempt__state__in=FINAL_ATTEMPT_STATES)
    known = rows.filter(attempt__usage__kind="measured")
    site = dict(known.values_list("attempt").order_by().annotate(Sum("accelerator_seconds")))
    running = set(known.filter(final=False).values_list("attempt", flat=True))
    debits = UsageEntry.objects.filter(kind="measured", attempt__in=set(site) - running)
    return sum(site[attempt] - amount for attempt, amount in debits.values_list("attempt", "accelerator_seconds"))


def _by_kind(entries: Any) -> dict[Kind, int]:
    return dict(entries.order_by().values_list("kind").annotate(Sum("accelerator_seconds")))


def _spans(entries: Any) -> list[tuple[datetime, datetime, int]]:
    """(from, to, amount) of each entry: its job's or attempt's time, or the moment it was made."""
    found = []
    for amount, recorded, started, elapsed_s, began, ended in entries.values_list(
        "accelerator_seconds", "recorded_at", "site_job__started_at", "site_job__elapsed_s", "attempt__started_at",
        "attempt__ended_at",
    ):  # fmt: skip
        if started is not None:
            found.append((started, started + timedelta(seconds=elapsed_s), amount))
        else:
            end = ended or recorded
            found.append((began or end, end, amount))
    return found


def _part_after(start: datetime, end: datetime, amount: int, since: datetime | None) -> int:
    if since is None or start >= since:
        return amount
    if end <= since:
        return 0
    return round(amount * (end - since) / (end - start))
