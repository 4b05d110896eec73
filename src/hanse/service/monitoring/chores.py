"""Its timed work, idempotent; called by the tick."""

from __future__ import annotations

from datetime import datetime

from hanse.service.monitoring.models import ApplicationFacts


def run(at: datetime) -> int:  # noqa: ARG001
    """How many applications had no facts yet: those from before there were any, or brought in as many at once."""
    return ApplicationFacts.catch_up()
