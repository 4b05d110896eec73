"""Its timed work, idempotent; called by the tick: reminders of duties, and what ended awards still hold."""

from __future__ import annotations

from datetime import datetime

from hanse.service.awarding import duties, holding


def run(at: datetime) -> int:
    """How much there was to do."""
    return duties.remind(at) + holding.return_what_is_left(at)
