"""What was used, as entries to be summed; balances are never counters."""

from __future__ import annotations

from typing import Literal

from hanse.contracts.base import Contract, Count, Identifier, Timestamp


class UsageEntry(Contract):
    """A debit (or, negative, a correction) of one allocation. (attempt_id, kind) is unique for measured entries."""

    id: Identifier
    allocation_id: Identifier
    attempt_id: Identifier | None = None
    kind: Literal["measured", "site", "correction"] = "measured"
    accelerator_seconds: int
    energy_joules: Count | None = None
    energy_estimated: bool = False
    """From the nodes' power and time, not from a counter."""
    site_amount: str | None = None
    """The site's own record in its own unit, as it wrote it."""
    recorded_at: Timestamp
    note: str = ""
