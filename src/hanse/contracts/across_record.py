"""What is known of the legs of a run across machines, each beside its plan: a part of the run's record."""

from __future__ import annotations

from typing import Literal

from hanse.contracts.base import Bytes, Contract, Count, Identifier, Seconds, Timestamp
from hanse.contracts.plan import Plan
from hanse.contracts.telemetry import StepSummary


class LegTally(Contract):
    """A leg's audit trail, added up. An exchange is one outer step of one fragment; repeated ones count once."""

    sent: Count = 0
    applied: Count = 0
    took_part: Count = 0
    """Of the run's exchanges, those whose sum holds this leg's part."""
    committed: Count = 0
    late: Count = 0
    """Its part, or the leg itself, came after the commit."""
    returned: Count = 0
    """It had been away for longer, and went on from the newest weights."""
    refused: Count = 0
    """Files that it did not take."""
    sent_bytes: Bytes = 0
    received_bytes: Bytes = 0
    waited_s: Seconds = 0.0
    """Its training stood still so long for the others."""


class LegRecord(Contract):
    name: Identifier
    """In the terms; its machine's."""
    plan: Plan | None = None
    telemetry: tuple[StepSummary, ...] = ()
    """In order of step, thinned evenly where there are many; tokens are the leg's own."""
    tally: LegTally = LegTally()


class OuterSpan(Contract):
    """Outer steps in a row in which the same legs took part, in at least one fragment each."""

    first: Count
    last: Count
    legs: tuple[Identifier, ...]


class OuterHappening(Contract):
    """A line of an audit trail that is not of every day."""

    at: Timestamp
    leg: Identifier
    what: Literal["late", "returned", "refused", "follows"]
    outer_step: Count | None = None
    reason: str = ""


class AcrossRecord(Contract):
    legs: tuple[LegRecord, ...]
    """In the order of the terms."""
    exchanges: Count = 0
    """That any leg has applied."""
    differing: Count = 0
    """Exchanges after which two legs told of different weights: it must be none."""
    spans: tuple[OuterSpan, ...] = ()
    """In order; the latest, where there are many."""
    happenings: tuple[OuterHappening, ...] = ()
    """In order; the latest, where there are many."""
