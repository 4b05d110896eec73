"""What the API says of an allocation's use: entries, sums, drift from the site's counter, forecast; and corrections."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from hanse.client.answers import Page
from hanse.client.http import parsed
from hanse.contracts.base import Contract, Count, Identifier, Positive, Timestamp
from hanse.contracts.machine import Billing
from hanse.contracts.programme import Allocation
from hanse.contracts.usage import UsageEntry

if TYPE_CHECKING:
    from hanse.client.http import Connection


class DayOfUse(Contract):
    day: date
    accelerator_seconds: int


class Drift(Contract):
    """The ledger held against what the site says: its accounting job by job, and its own counter of the account."""

    account: str
    ledger_accelerator_seconds: int
    """Of all allocations of the account, in the counter's period."""
    jobs_accelerator_seconds: int
    """Of all its jobs in that period, by the site's accounting."""
    counter_accelerator_seconds: int | None = None
    """By the site's counter, where it has one in accelerators, nodes or processors."""
    limit_accelerator_seconds: int | None = None
    counter: str = ""
    """The counter as the site tells it, in its unit."""
    at: Timestamp | None = None
    since: Timestamp | None = None
    attempts_accelerator_seconds: int = 0
    """What the site's accounting says more of our debited attempts than they were debited."""
    note: str = ""

    @property
    def ledger_over_counter(self) -> int | None:
        if self.counter_accelerator_seconds is None:
            return None
        return self.ledger_accelerator_seconds - self.counter_accelerator_seconds


class Forecast(Contract):
    """If use goes on as in the last two weeks."""

    pace_accelerator_seconds_a_day: Count
    over_days: Positive
    """How many days that pace is the mean of."""
    runs_out_on: date | None = None
    """None: not before the allocation ends."""
    unused_accelerator_seconds: Count = 0
    """Left over at the allocation's end."""
    sentences: tuple[str, ...] = ()


class UsageReport(Contract):
    allocation: Allocation
    billing: Billing | None = None
    accelerators_per_node: Positive = 1
    items: tuple[UsageEntry, ...]
    """Entries, newest first."""
    count: Count
    by_kind: dict[Literal["measured", "site", "correction"], int]
    by_day: tuple[DayOfUse, ...] = ()
    """Days on which jobs ended (or corrections were made), latest thirty, oldest first."""
    energy_joules_counted: Count = 0
    energy_joules_estimated: Count = 0
    drift: Drift | None = None
    forecast: Forecast | None = None


class MonthOfUse(Contract):
    """One month of one allocation, as a programme is told of it. `amount` is in the machine's own `unit`."""

    month: str
    project: Identifier
    reference: str = ""
    """Of the award where it was decided, if that was elsewhere."""
    organisation: str
    country: str
    mode: str
    machine: Identifier
    partition: str = ""
    account: str = ""
    accelerator_seconds: int
    gpu_hours: float
    amount: float | None = None
    unit: str = ""
    jobs: Count
    energy_kwh: float | None = None
    energy_estimated: bool = False


class CorrectionRequest(Contract):
    """Accelerator-seconds to debit (positive) or to give back (negative)."""

    accelerator_seconds: int
    reason: str = Field(min_length=1, max_length=1000)


class AccountRequest(Contract):
    """The scheduler account an allocation runs under."""

    account: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")


def usage(client: Connection, allocation: str, *, limit: int = 50, offset: int = 0) -> UsageReport:
    path = f"/api/v1/allocations/{allocation}/usage"
    return parsed(UsageReport, client.exchange("GET", path, params={"limit": limit, "offset": offset}))


def months(client: Connection, first: str, last: str) -> tuple[MonthOfUse, ...]:
    """Every allocation's use from one month to another ("2026-10"), as an officer."""
    found: list[MonthOfUse] = []
    while True:
        params: dict[str, int | str] = {"first": first, "last": last, "limit": 100, "offset": len(found)}
        page = parsed(Page[MonthOfUse], client.exchange("GET", "/api/v1/usage/months", params=params))
        found += page.items
        if len(found) >= page.count or not page.items:
            return tuple(found)


def correct(client: Connection, allocation: str, correction: CorrectionRequest, *, key: str) -> UsageEntry:
    """As an officer, or as an operator of the machine's site; the same key is one correction."""
    path = f"/api/v1/allocations/{allocation}/corrections"
    return parsed(UsageEntry, client.exchange("POST", path, body=correction, headers={"Idempotency-Key": key}))


def tie_account(client: Connection, allocation: str, account: str) -> Allocation:
    """As an operator of the machine's site, once."""
    path = f"/api/v1/allocations/{allocation}/account"
    return parsed(Allocation, client.exchange("POST", path, body=AccountRequest(account=account)))
