"""Its timed work, idempotent; called by the tick: events become notices and mails, mails leave, old rows go."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.utils import timezone

from hanse.service.notices import inbox, outbox, viewings


def run(at: datetime) -> int:
    """How much there was to do."""
    with timezone.override(settings.DISPLAY_TIME_ZONE):
        told = inbox.tell()
    return told + outbox.send_due(at) + outbox.purge(at) + inbox.purge(at) + viewings.purge(at)
