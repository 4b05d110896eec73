"""Its timed work, idempotent; called by the tick."""

from __future__ import annotations

from datetime import datetime


def run(at: datetime) -> int:  # noqa: ARG001
    """How much there was to do."""
    return 0
