"""Awards, what is asked of them later, duties that come with them, and what payers are billed.

Amounts are accelerator-seconds and euro cents; an officer types whole GPU-hours.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from hanse.contracts.base import Contract, Count, Identifier, Positive, Sha256, Timestamp

Pattern = Literal["even", "falling", "rising"]
"""How an award's use lies over its months: the same each day, most at first, or most at the end."""
Reason = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]
Partition = Annotated[str, Field(max_length=63)]
GpuHours = Annotated[int, Field(gt=0, le=10**9)]
Month = Annotated[str, Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]


class AwardPart(Contract):
    """One allocation of an award: hours and storage on one machine, or one partition of it."""

    machine: Identifier
    partition: Partition = ""
    account: Partition = ""
    gpu_hours: GpuHours
    storage_bytes: Annotated[int, Field(ge=0, le=10**18)] = 0


class AwardTerms(Contract):
    """What an officer grants. Nothing in `parts` is the machine that was asked for, with `gpu_hours` on it."""

    reason: Reason
    gpu_hours: GpuHours | None = None
    """Of all parts; None: their sum, or what was asked."""
    parts: tuple[AwardPart, ...] = Field(default=(), max_length=20)
    starts: date | None = None
    """None: the day it is granted."""
    duration_months: Annotated[int, Field(ge=1, le=60)] | None = None
    """None: as asked."""
    pattern: Pattern = "even"
    conditions: tuple[Annotated[str, Field(min_length=1, max_length=500)], ...] = Field(default=(), max_length=50)
    override_reason: str = Field(default="", max_length=2000)
    """Why the gate's findings do not stand, where it objected."""


class Proposal(Contract):
    """One officer's proposal, which another confirms."""

    id: Identifier
    application: Identifier
    decision: Literal["grant", "decline"]
    terms: AwardTerms
    state: Literal["waiting", "confirmed", "taken-back", "refused"]
    proposed_by: str
    proposed_at: Timestamp
    decided_by: str = ""
    reason: str = ""
    """Why it was taken back or refused."""


class CapacityOffer(Contract):
    """What can be awarded of one machine, or one partition of it, in one month."""

    machine: Identifier
    partition: Partition = ""
    month: Month
    gpu_hours: Annotated[int, Field(ge=0, le=10**9)]


class CapacityMonth(Contract):
    """A month's offer beside what awards take of it by their patterns."""

    machine: Identifier
    partition: str = ""
    month: Month
    offered_accelerator_seconds: Count
    taken_accelerator_seconds: Count

    @property
    def left_accelerator_seconds(self) -> int:
        return self.offered_accelerator_seconds - self.taken_accelerator_seconds


class Balance(Contract):
    """granted = used + returned + left; left includes what open attempts hold reserved."""

    allocation: Identifier
    granted_accelerator_seconds: int
    used_accelerator_seconds: int
    returned_accelerator_seconds: Count
    reserved_accelerator_seconds: Count
    left_accelerator_seconds: int
    site_amount: str = ""
    """What is left, in the machine's own unit."""
    storage_bytes: Count = 0
    suspended: str = ""
    """Why nothing may start on it; empty: it is not suspended."""


ChangeKind = Literal["extension", "supplement", "transfer", "machine"]


class ChangeAsked(Contract):
    """What a project asks of an allocation it has."""

    kind: ChangeKind
    reason: Reason
    months: Annotated[int, Field(ge=1, le=60)] | None = None
    """Of an extension."""
    gpu_hours: GpuHours | None = None
    """Of a supplement, a transfer or a change of machine."""
    to_allocation: Identifier | None = None
    """Of a transfer."""
    machine: Identifier | None = None
    partition: Partition = ""
    """Of a change of machine."""


class Change(Contract):
    """A request on an allocation, from asking to decision."""

    id: Identifier
    allocation: Identifier
    asked: ChangeAsked
    state: Literal["asked", "proposed", "granted", "declined", "withdrawn"]
    asked_by: str
    asked_at: Timestamp
    proposed_by: str = ""
    decided_by: str = ""
    decided_at: Timestamp | None = None
    answer: str = ""
    """The officer's reason."""
    explained: str = ""
    """What it comes to, in GPU-hours and the machines' own units."""
    result: Identifier | None = None
    """The allocation it opened or filled."""


class OfficersWord(Contract):
    """An officer's answer, with its reason."""

    decision: Literal["grant", "decline", "accept", "send-back", "waive", "take-back", "confirm", "refuse"]
    reason: str = Field(default="", max_length=2000)


class WithReason(Contract):
    reason: Reason


class GivenBack(Contract):
    """Hours returned before the end; None returns all that is free."""

    gpu_hours: GpuHours | None = None
    reason: Reason


class DutyFigures(Contract):
    """What the records say of an award at the moment it was asked."""

    made_at: Timestamp
    granted_accelerator_seconds: int
    used_accelerator_seconds: int
    returned_accelerator_seconds: Count
    runs: Count
    runs_finished: Count
    by_month: dict[str, int] = Field(default_factory=dict)
    """Accelerator-seconds by month ("2026-11")."""
    by_machine: dict[str, int] = Field(default_factory=dict)
    energy_joules: Count = 0


class DutyAnswers(Contract):
    """What a project hands in: a report's texts, or an obligation's evidence."""

    summary: str = Field(default="", max_length=20_000)
    results: str = Field(default="", max_length=20_000)
    differences: str = Field(default="", max_length=20_000)
    """Why the use differs from the plan."""
    publications: str = Field(default="", max_length=20_000)
    feedback: str = Field(default="", max_length=20_000)
    evidence_url: str = Field(default="", max_length=500, pattern=r"^(https?://\S+)?$")
    evidence_sha256: Sha256 | None = None
    evidence_text: str = Field(default="", max_length=20_000)


class Duty(Contract):
    """A report or an obligation of an award, from its due date to an officer's confirmation."""

    id: Identifier
    award: Identifier
    kind: Literal["progress-report", "final-report", "obligation"]
    name: Identifier
    text: str
    due: date | None = None
    """None: the call names no day, and no officer set one."""
    state: Literal["open", "sent", "sent-back", "accepted", "waived"]
    overdue: bool = False
    answers: DutyAnswers | None = None
    figures: DutyFigures | None = None
    answer: str = ""
    """The officer's reason."""


class DueDay(Contract):
    due: date
    reason: Reason


class Price(Contract):
    """What a GPU-hour of a machine costs who pays per use, from a day on."""

    machine: Identifier
    from_day: date
    cents_per_gpu_hour: Annotated[int, Field(ge=0, le=10**7)]


class Quote(Contract):
    """What an application would come to, by the prices of a day; no more than an estimate."""

    application: Identifier
    pays_per_use: bool
    gpu_hours: Positive
    cents_per_gpu_hour: Count
    total_cents: Count
    day: date


class StatementAsked(Contract):
    organisation: Identifier
    month: Month


class StatementLine(Contract):
    """The use of one allocation at one price."""

    allocation: Identifier
    machine: Identifier
    accelerator_seconds: int
    cents_per_gpu_hour: Count
    total_cents: int


class Statement(Contract):
    """A month's bill of an organisation. Frozen once issued: what is corrected later stands in the next."""

    id: Identifier
    organisation: str
    month: Month
    lines: tuple[StatementLine, ...]
    total_cents: int
    issued_at: Timestamp
    issued_by: str
