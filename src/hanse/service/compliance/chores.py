"""Its timed work, idempotent; called by the tick."""

from __future__ import annotations

from datetime import datetime

from hanse.service.compliance import permits, questions, watching


def run(at: datetime) -> int:
    """How much there was to tell: thresholds, data, permits and clocks."""
    questions.forget_senders(at)
    return watching.observe_all(at) + permits.look_after(at) + watching.clocks(at)
