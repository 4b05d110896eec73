"""The call behind an award decided elsewhere: its mode's reports and obligations, under the name it has there."""

from __future__ import annotations

import hashlib
import re

from hanse.contracts.imports import AwardRow
from hanse.contracts.programme import CallTerms, Elsewhere
from hanse.programme import calls


def call_of(row: AwardRow) -> CallTerms:
    """Terms that nobody can apply to. The same source, call and mode is always the same call."""
    pattern = calls.load(row.mode)
    named = row.call_reference or row.call or row.mode
    mark = hashlib.sha256("\0".join((row.source, named, row.mode)).encode()).hexdigest()[:8]
    slug = re.sub(r"[^a-z0-9]+", "-", f"{row.source}-{named}".lower()).strip("-")[:50].strip("-")
    return pattern.model_copy(
        update={
            "id": f"{slug or 'call'}-{mark}",
            "version": 1,
            "title": row.call or f"{pattern.title} ({row.source})",
            "summary": f"Decided by {row.source}; its awards are brought in here.",
            "offered": False,
            "cut_offs": (),
            "cut_off_rule": None,
            "review": (),
            "decided_elsewhere": Elsewhere(source=row.source, reference=row.call_reference, url=row.url),
        }
    )
