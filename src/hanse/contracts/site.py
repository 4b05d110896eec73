"""What a machine says of itself and of its jobs, as its agent read it from the scheduler: load, waits, accounting."""

from __future__ import annotations

from pydantic import Field

from hanse.contracts.base import Contract, Count, Positive, Seconds, Timestamp
from hanse.contracts.job import JobReport


class PartitionState(Contract):
    """A queue now."""

    name: str
    up: bool
    nodes: Count = 0
    nodes_idle: Count = 0
    nodes_down: Count = 0
    """Down, drained, failing: not usable."""
    running_jobs: Count = 0
    pending_jobs: Count = 0
    reason: str = ""
    """Why it is not up, in the scheduler's word."""
    down_since: Timestamp | None = None
    """Since when the service has heard that it is not up."""


class QueueWait(Contract):
    """When a job of that size would start if it were submitted now, by the scheduler's own estimate."""

    partition: str | None = None
    nodes: Positive
    wall_time_s: Positive
    wait_s: Seconds


class Maintenance(Contract):
    """A time in which (some of) the machine takes no jobs."""

    name: str
    starts: Timestamp
    ends: Timestamp
    nodes: Count | None = None
    """None: all."""
    reason: str = ""


class BadNode(Contract):
    """A node that the site or Hanse holds to be broken."""

    name: str
    reason: str
    since: Timestamp | None = None


class MachineState(Contract):
    """One look at a machine. What the scheduler does not tell is left out."""

    at: Timestamp
    partitions: tuple[PartitionState, ...] = ()
    waits: tuple[QueueWait, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()
    bad_nodes: tuple[BadNode, ...] = ()


class SiteJob(Contract):
    """One job of a scheduler account as the site's accounting has it, whoever submitted it."""

    report: JobReport
    account: str
    user: str = ""
    partition: str = ""
    site_amount: str | None = None
    """What the site charged, in its own words and unit, where it says so."""


class SiteBudget(Contract):
    """What the site's own counter says of an account."""

    account: str
    at: Timestamp
    used: float | None = None
    limit: float | None = None
    unit: str = "GPU-minutes"
    used_accelerator_seconds: int | None = None
    limit_accelerator_seconds: int | None = None
    since: Timestamp | None = None
    """From when on the counter counts, where it says so."""
    note: str = Field(default="", max_length=500)
