"""Calls with their dated terms, applications, awards and allocations."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from hanse.contracts.application import WholeForm
from hanse.contracts.applying import OrganisationKind as OrganisationKind
from hanse.contracts.applying import Purpose, SectionName
from hanse.contracts.base import Contract, Count, Fraction, Identifier, Positive, Timestamp
from hanse.contracts.review import ReviewRules

ApplicationState = Literal["draft", "sent", "in-review", "granted", "declined", "withdrawn"]


class Dated(Contract):
    """Where a value of a call comes from."""

    url: str
    confidence: Literal["official", "secondary", "single-report", "conflicting"]
    checked_on: date


class CutOffRule(Contract):
    """Cut-offs that come back: each of these days of each of these months."""

    days: tuple[Annotated[int, Field(ge=1, le=28)], ...] = Field(min_length=1)
    months: tuple[Annotated[int, Field(ge=1, le=12)], ...] = tuple(range(1, 13))


class ReviewStep(Contract):
    """One step from sending to the decision, in order."""

    kind: Literal["administrative", "technical", "scientific", "panel"]
    by: str = ""
    """Who does it; empty: not known."""


class Room(Contract):
    """A machine's partition and whether the call has room there."""

    machine: Identifier
    partition: str | None = None
    offered: bool
    as_of: date


class Quota(Contract):
    """A share that this call, alone or with others, may take."""

    share: Fraction
    of: str
    """Of what, in words."""
    beside: tuple[Identifier, ...] = ()
    """Modes that count into the same quota."""


class CallObligation(Contract):
    """What an award binds its holder to."""

    id: Identifier
    text: str
    months_after_start: Count | None = None
    months_after_end: Count | None = None
    """When it is due; both None: at no known time."""


class Extension(Contract):
    """How much longer or larger an award may be made on request."""

    times: Positive
    months: Count
    share: Fraction
    """Of the hours granted."""


class Elsewhere(Contract):
    """Who decided under a call that is not run here, and what it is called there."""

    source: Identifier
    reference: str = ""
    url: str = ""


class CallTerms(Contract):
    """One published version of a call. Frozen: an amendment is a new version.

    None, or nothing in a list, means that the value is not known, or that the call has none; what was looked for and
    not found stands in `not_found`.
    """

    id: Identifier
    version: Positive = 1
    mode: Identifier
    title: str
    summary: str
    opens: date
    closes: date | None = None
    min_gpu_hours: Count = 0
    max_gpu_hours: Positive | None
    durations_months: tuple[Positive, ...]
    who: tuple[OrganisationKind, ...]
    decision_working_days: Positive | None
    """Working days to the decision, counted from `counted_from`."""
    sources: dict[str, Dated] = Field(default_factory=dict)
    offered: bool = True
    """False: kept as a pattern for a call of one's own; nobody can apply to it."""
    counted_from: Literal["sent", "cut-off"] = "sent"
    decision_months: Positive | None = None
    """Where the promise is in months."""
    calendar: str = Field(default="LU", pattern=r"^[A-Z]{2}$")
    """Whose public holidays are no working days."""
    cut_offs: tuple[date, ...] = ()
    """Days on which a round closes; beside `cut_off_rule`."""
    cut_off_rule: CutOffRule | None = None
    cut_off_time: str = Field(default="10:00", pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    """The time of day in Brussels; what comes at that moment is in time, what comes later is in the next round."""
    unit: Literal["GPU-hour", "node-hour"] = "GPU-hour"
    """What the call itself counts in."""
    amounts: tuple[Positive, Positive] | None = None
    """The smallest and largest amount in `unit`, where that is not GPU-hours."""
    purposes: tuple[Purpose, ...] = ()
    experience: Literal["new", "some"] | None = None
    """Whom it is made for: those new to supercomputers, or those who have used some."""
    pays: tuple[OrganisationKind, ...] = ()
    """Who is admitted and may have to pay per use."""
    only_in_eu_project: tuple[OrganisationKind, ...] = ()
    """Who is admitted only inside a Horizon Europe or Digital Europe project."""
    one_machine: bool | None = None
    rooms: tuple[Room, ...] = ()
    sections: tuple[SectionName, ...] = ()
    """Sections of the form that have to be complete."""
    review: tuple[ReviewStep, ...] = ()
    scoring: ReviewRules | None = None
    """How reviewers score, and what follows; None: by the rules of Hanse (programme/review/rules.yaml)."""
    order: Literal["arrival", "ranking", "arrival-among-passing"] | None = None
    quotas: tuple[Quota, ...] = ()
    max_entries: Positive | None = None
    winners: Positive | None = None
    prize_eur: Positive | None = None
    """Shared among the winners."""
    reserve: bool | None = None
    """Whether a ranked reserve list follows the winners."""
    extension: Extension | None = None
    obligations: tuple[CallObligation, ...] = ()
    conditions: tuple[str, ...] = ()
    not_found: tuple[str, ...] = ()
    decided_elsewhere: Elsewhere | None = None
    """Nobody applies to it here: its awards were brought in; None: it is run here."""


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
    whole: WholeForm | None = None
    """All sections, where the call wants more than the above."""
    call_version: Positive | None = None
    """The version of the call it was written for; None: the one that holds when it is sent."""


class Application(Contract):
    id: Identifier
    state: ApplicationState
    form: ApplicationForm
    sent_at: Timestamp | None = None
    decide_by: Timestamp | None = None
    decided_at: Timestamp | None = None
    reason: str = ""
    allocation_id: Identifier | None = None
    call_version: Positive | None = None
    """The version it is bound to."""
    cut_off: Timestamp | None = None
    """The round it is in; None where the call takes applications as they come."""
    award_proposed_by: str = ""
    """In the answer to an officer's decision that another has to confirm: who proposed it. Empty everywhere else."""


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
    suspended: str = ""
    """Why nothing may start on it now; empty: it is not suspended."""

    @property
    def free_accelerator_seconds(self) -> int:
        return self.granted_accelerator_seconds - self.used_accelerator_seconds - self.reserved_accelerator_seconds
