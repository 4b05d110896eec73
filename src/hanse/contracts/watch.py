"""What is watched on an award: its conditions, permits, the computation that was seen, and what a run changed."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from hanse.contracts.base import Contract, Count, Identifier, Timestamp

ConditionKind = Literal["rule", "officer", "compute", "data", "permit"]
"""rule: of the gate, a person says when it is met. officer: of who granted. The watch looks after the others."""
ConditionState = Literal["open", "met", "breached", "waived"]
PermitKind = Literal["health-data", "personal-data"]
"""health-data: of a health data access body. personal-data: an agreement on processing with the hosting site."""
PermitState = Literal["stated", "confirmed", "withdrawn"]
ChangeState = Literal["noted", "asked", "accepted", "refused"]
"""noted: a run may go on while an officer looks at it. asked: it may not, until one accepts it."""
Level = Literal["near", "crossed"]


class WatchedCondition(Contract):
    """One thing that must hold on an award. `parameters` is what the watch compares with."""

    id: Identifier
    award: Identifier
    kind: ConditionKind
    rule: str = ""
    text: str
    citation: str = ""
    parameters: dict[str, str | float] = Field(default_factory=dict)
    state: ConditionState = "open"
    due: date | None = None
    evidence: str = ""
    by: str = ""
    """Who said so last: a person, or the watch."""
    reason: str = ""
    changed_at: Timestamp


class ConditionChange(Contract):
    """An officer's word on a condition: `met` needs evidence, `waived` and `breached` a reason."""

    to: ConditionState
    evidence: str = Field("", max_length=2000)
    reason: str = Field("", max_length=2000)


class PermitForm(Contract):
    """What allows datasets with data of persons to be used: by whom, for what, where and until when."""

    kind: PermitKind
    number: str = Field(min_length=1, max_length=100)
    issuer: str = Field(min_length=1, max_length=200)
    purpose: str = Field(min_length=1, max_length=1000)
    datasets: tuple[Identifier, ...] = Field(min_length=1)
    machines: tuple[Identifier, ...] = Field(min_length=1)
    """The processing environment."""
    valid_until: date


class Permit(Contract):
    id: Identifier
    award: Identifier
    form: PermitForm
    state: PermitState
    stated_by: str
    confirmed_by: str = ""


class Difference(Contract):
    """One thing that is otherwise than it was granted, or than the award's first run had it."""

    what: Literal["purpose", "model", "training", "computation"]
    was: str
    now: str


class RunChange(Contract):
    """What a launch changed, with what the gate said of it then."""

    id: Identifier
    award: Identifier
    differences: tuple[Difference, ...]
    verdict: Literal["allow", "condition", "review", "deny"]
    state: ChangeState
    decided_by: str = ""
    reason: str = ""


class ComputeSeen(Contract):
    """Computation of one run so far, both ways the guidelines name (C(2025) 7719, annex A.2.1); None: not known."""

    run_id: Identifier
    architecture_flops: float | None = None
    hardware_flops: float | None = None
    tokens: Count = 0
    accelerator_seconds: Count = 0
    at: Timestamp

    @property
    def flops(self) -> float:
        """The larger of the two: what is notified too early does no harm."""
        return max(self.architecture_flops or 0.0, self.hardware_flops or 0.0)


class Evidence(Contract):
    """What the holder of an award says shows that a condition is met."""

    evidence: str = Field(min_length=1, max_length=2000)


class Judgement(Contract):
    """An officer's yes or no, with the reason that is kept."""

    accept: bool
    reason: str = Field(min_length=1, max_length=2000)
