"""Awards decided elsewhere: the rows they come in, what each row would do here, and the batch that brings them in.

One row is one allocation: an award on two machines has two rows with the same source and reference. Amounts are in the
unit the row names; what they come to in GPU-hours is reckoned by the service, from the machine's own facts.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hanse.contracts.applying import OrganisationKind
from hanse.contracts.awarding import Partition
from hanse.contracts.base import Contract, Count, Identifier, Positive, Sha256, Timestamp

MOST_ROWS = 1000
"""Of one import: as many as a person can look through, and as one request holds."""
MOST_BYTES = 2 * 2**20
"""Of a file."""
Line = Annotated[int, Field(ge=1, le=10**7)]
Short = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Named = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")]
Address = Annotated[str, Field(max_length=254, pattern=r"^[^@\s\x00-\x1f,;]+@[^@\s.,;]+(\.[^@\s.,;]+)+$")]
Link = Annotated[str, Field(max_length=500, pattern=r"^(https?://[^\s\x00-\x1f]+)?$")]
Effect = Literal["create", "change", "same", "waits", "refused"]
"""waits: an officer has to say which organisation it is."""


class AwardRow(Contract):
    """One allocation of an award, as whoever decided it states it. `schema_version` changes when a key's meaning does.

    `source` and `reference` name the award; `machine`, `partition` and `part` the allocation within it. These stay the
    same when the award is changed there.
    """

    schema_version: Literal[1] = 1
    line: Line
    """Where it stood: the line of the file, or the number of the resource."""
    source: Identifier
    reference: Named
    url: Link = ""
    call: Short = ""
    """The call's title there; empty: that of the mode."""
    call_reference: Short = ""
    mode: Identifier
    title: Named
    purpose: Annotated[str, Field(max_length=2000)] = ""
    organisation: Named
    organisation_id: Identifier | None = None
    """Which one it is here, where its name or numbers do not say: its id, or "new"."""
    pic: Annotated[str, Field(pattern=r"^([0-9]{9})?$")] = ""
    vat_number: Annotated[str, Field(max_length=20)] = ""
    organisation_kind: OrganisationKind
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    contact_email: Address
    """Is invited to own the organisation here, unless it has an owner."""
    members: tuple[Address, ...] = Field(default=(), max_length=30)
    """Are invited as members."""
    machine: Identifier
    partition: Partition = ""
    part: Short = ""
    """The allocation's own reference there, where an award has several on one partition."""
    account: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,62})?$")] = ""
    amount: Annotated[Decimal, Field(gt=0, lt=10**12, max_digits=18, decimal_places=6)]
    unit: Named = "GPU-hour"
    starts: date
    ends: date
    storage_bytes: Annotated[int, Field(ge=0, le=10**18)] = 0
    decided_on: date | None = None
    conditions: tuple[Annotated[str, Field(min_length=1, max_length=500)], ...] = Field(default=(), max_length=20)
    names_may_be_published: bool = False
    """Whether the organisation agreed to stand in the public register by name."""
    pays_per_use: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> AwardRow:
        if self.ends < self.starts:
            raise ValueError(f"ends: {self.ends} is before it starts, {self.starts}")
        return self

    @property
    def award(self) -> tuple[str, str]:
        return self.source, self.reference

    @property
    def place(self) -> tuple[str, str, str, str, str]:
        """What the row is known by again."""
        return self.source, self.reference, self.machine, self.partition, self.part


class RowError(Contract):
    """What could not be read, where, and what to do."""

    line: Line
    column: Short = ""
    what: str
    fix: str = ""


class ImportAsked(Contract):
    """The rows of one file, or of one look at a Waldur, for officers to bring in."""

    schema_version: Literal[1] = 1
    kind: Literal["csv", "waldur"]
    name: Named
    """Of the file, or the address they were read from."""
    sha256: Sha256
    """Of the file, or of what was read."""
    rows: tuple[AwardRow, ...] = Field(max_length=MOST_ROWS)
    unread: tuple[RowError, ...] = Field(default=(), max_length=MOST_ROWS)
    whole: bool = False
    """Bring in all rows or none; else row by row, those that can be."""
    complete: bool = False
    """These are all awards of their sources: what is known from them and not among the rows is named."""


class Candidate(Contract):
    """An organisation that the row may mean."""

    id: Identifier
    name: str
    why: str


class RowEffect(Contract):
    """What one row does here, in words, before it is done."""

    line: Line
    source: Identifier
    reference: str
    organisation: str
    machine: Identifier
    partition: str = ""
    effect: Effect
    gpu_hours: Count = 0
    """What the row's amount comes to."""
    says: tuple[str, ...] = ()
    """What would be made or changed, and what to know about it."""
    reason: str = ""
    """Why it waits or is refused, and what to do."""
    candidates: tuple[Candidate, ...] = ()
    allocation: Identifier | None = None
    """The allocation it is, or has become."""


class ImportReport(Contract):
    """Every row's effect. `digest` names them: who confirms says what they saw."""

    rows: tuple[RowEffect, ...]
    unread: tuple[RowError, ...] = ()
    missing: tuple[str, ...] = ()
    """References known from these sources that a complete look no longer brought."""
    counts: dict[Effect, Count] = Field(default_factory=dict)
    changes_something: bool = False
    blocked: str = ""
    """Why nothing at all can be brought in; empty: something can, or there is nothing to do."""
    seen: Sha256


class ImportBatch(Contract):
    """An import from its preparation by one officer to its confirmation by another."""

    id: Identifier | None = None
    """None: nothing is to be done, so that nothing was kept."""
    kind: Literal["csv", "waldur"]
    name: str
    sha256: Sha256
    whole: bool = False
    state: Literal["nothing-to-do", "waiting", "confirmed", "refused", "taken-back"]
    report: ImportReport | None = None
    """None in lists."""
    prepared_by: str = ""
    prepared_at: Timestamp | None = None
    decided_by: str = ""
    decided_at: Timestamp | None = None
    reason: str = ""


class ImportWord(Contract):
    """An officer's word on a batch that waits."""

    decision: Literal["confirm", "refuse", "take-back"]
    reason: str = Field(default="", max_length=2000)
    seen: Sha256 | None = None
    """Of the report that was looked at; None: whatever it comes to now."""


class OrganisationChosen(Contract):
    """Which organisation the row of that line is: its id, or "new"."""

    line: Positive
    organisation: Identifier
