"""Where a run was placed and why: the machines it could have gone to, in order, and those it could not."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hanse.contracts.base import Contract, Count, Identifier, Positive, Seconds, Timestamp
from hanse.contracts.plan import Interval


class PlacementOption(Contract):
    """A machine the run may go to. Times are counted from `decided_at`."""

    machine: Identifier
    allocation_id: Identifier
    nodes: Positive
    jobs: Positive = 1
    """How many, one after another, the machine's wall time makes of it."""
    wait_s: Interval
    """Until its first job starts."""
    wait_known: bool = True
    """False: neither the scheduler nor the past tells; it is guessed."""
    finish_s: Interval | None = None
    """None: a program of the user's, of which no time is known."""
    step_time_s: Interval | None = None
    """Of the plan made for this machine."""
    accelerator_seconds: Count | None = None
    free_accelerator_seconds: int | None = None
    """Of the allocation, before this run; None where nobody was asked."""
    data_there: bool | None = None
    """A run of the same organisation has trained there on all data that the spec names; None: not known."""
    site_unit: str | None = None
    site_amount: float | None = None
    in_time: bool = True
    """By where.finish_by, as expected."""
    reasons: tuple[str, ...] = ()


class Unusable(Contract):
    machine: Identifier
    reason: str


class Placement(Contract):
    schema_version: Literal[1] = 1
    options: tuple[PlacementOption, ...] = Field(min_length=1)
    """The chosen one first."""
    unusable: tuple[Unusable, ...] = ()
    why: str
    decided_at: Timestamp
    pinned: bool = False
    """The user named the machine."""
    margin_s: Seconds = 0.0
    """How much sooner the chosen one is expected to end than the next."""
