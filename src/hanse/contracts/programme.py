"""Calls, applications, awards and allocations, thinly: what the main job needs of the access programme."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from hanse.contracts.base import Contract, Count, Identifier, Positive, Timestamp

OrganisationKind = Literal["start-up", "sme", "large", "university", "research", "public", "other"]
ApplicationState = Literal["draft", "sent", "in-review", "granted", "declined", "withdrawn"]


class Dated(Contract):
    """Where a value of a call comes from."""

    url: str
    confidence: Literal["official", "secondary", "single-report", "conflicting"]
    checked_on: date


class CallTerms(Contract):
    """One published version of a call. Frozen: an amendment is a new version."""

    id: Identifier
    version: Positive = 1
    mode: Identifier
    title: str
    summary: str
    opens: date
    closes: date | None = None
    min_gpu_hours: Count = 0
    max_gpu_hours: Positive
    durations_months: tuple[Positive, ...]
    who: tuple[OrganisationKind, ...]
    decision_working_days: Positive
    sources: dict[str, Dated] = Field(default_factory=dict)


class ApplicationForm(Contract):
    """What an applicant answers. `answers` are the gate's questions by id."""

    call: Identifier
    organisation: str
    organisation_kind: OrganisationKind
    country: str = Field(pattern=r"^[A-Z]{2}$")
    title: str
    purpose: str
    machine: Identifier
    gpu_hours: Positive
    duration_months: Positive
    contact_email: str
    answers: dict[Identifier, bool | str | int | float] = Field(default_factory=dict)


class Application(Contract):
    id: Identifier
    state: ApplicationState
    form: ApplicationForm
    sent_at: Timestamp | None = None
    decide_by: Timestamp | None = None
    decided_at: Timestamp | None = None
    reason: str = ""
    allocation_id: Identifier | None = None


class Allocation(Contract):
    """Compute granted on one machine. `used` and `reserved` are sums over entries and open attempts."""

    id: Identifier
    project: Identifier
    machine: Identifier
    partition: str | None = None
    account: str | None = None
    granted_accelerator_seconds: Count
    used_accelerator_seconds: int
    reserved_accelerator_seconds: Count
    starts: date
    ends: date
    conditions: tuple[str, ...] = ()

    @property
    def free_accelerator_seconds(self) -> int:
        return self.granted_accelerator_seconds - self.used_accelerator_seconds - self.reserved_accelerator_seconds
