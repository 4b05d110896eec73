"""Conflicts of interest that records show: same organisation, member of the team, excluded by the applicant.

Names are compared without case, accents and punctuation. What a reviewer knows and no record shows they declare
themselves.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewer:
    id: str
    name: str
    email: str = ""
    organisations: tuple[str, ...] = ()
    keywords: frozenset[str] = frozenset()
    load: int = 0
    """Reviews they hold already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An application as far as assignment looks at it."""

    id: str
    organisations: tuple[str, ...]
    team: tuple[str, ...] = ()
    """Names and addresses of its members."""
    excluded: tuple[str, ...] = ()
    """Names of persons or organisations, as the applicant wrote them."""
    keywords: frozenset[str] = frozenset()


def plain(name: str) -> str:
    """`name` without case, accents and punctuation, its words apart by one blank."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    kept = "".join(c if c.isalnum() or c in "@" else " " for c in letters if not unicodedata.combining(c))
    return " ".join(kept.split())


def found(reviewer: Reviewer, entry: Entry) -> tuple[str, ...]:
    """Why this reviewer cannot judge this application; empty: no record speaks against it."""
    own = _plain(reviewer.organisations)
    self_ = _plain((reviewer.name, reviewer.email))
    reasons = []
    if own & _plain(entry.organisations):
        reasons.append("same organisation")
    if self_ & _plain(entry.team):
        reasons.append("member of the team")
    excluded = [f" {name} " for name in _plain(entry.excluded)]
    if any(f" {mine} " in name for mine in own | self_ for name in excluded):
        reasons.append("excluded by the applicant")
    return tuple(reasons)


def _plain(names: tuple[str, ...]) -> set[str]:
    return {plain(name) for name in names} - {""}
