"""What sites do with a job's priority when a month's share of the hours is used: `quotas.yaml`, with its sources."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from hanse.contracts.base import Contract, Count, Identifier
from hanse.contracts.machine import Source
from hanse.files import contract, document

_FILE: Final = Path(__file__).with_name("quotas.yaml")


class MonthlyQuota(Contract):
    machines: tuple[Identifier, ...] = Field(min_length=1)
    rule: Literal["lower-priority"]
    borrow_months: Count
    """Months before and after whose quotas may be used too."""
    gradual: bool
    command: str
    """What tells it there."""
    sources: tuple[Source, ...] = Field(min_length=1)


class _All(Contract):
    quotas: tuple[MonthlyQuota, ...]


@cache
def _known() -> dict[str, MonthlyQuota]:
    rows = contract.build(_All, document.read(_FILE)).quotas
    return {machine: row for row in rows for machine in row.machines}


def of(machine: str) -> MonthlyQuota | None:
    """The rule of that machine's site; None where none is published."""
    return _known().get(machine)
