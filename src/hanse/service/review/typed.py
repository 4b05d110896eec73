"""What is typed into its forms: taken whole or refused, never cut; and a refusal as a page says it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from hanse.contracts.base import now
from hanse.contracts.errors import HanseError, UsageError
from hanse.programme import clock

REASON = 2000
"""The most characters of a reason; ours."""


def text(posted: Mapping[str, Any], name: str = "reason", *, most: int = REASON) -> str:
    """Raises UsageError: it is longer than what is kept."""
    said = str(posted.get(name, "")).replace("\r\n", "\n").replace("\0", "").strip()
    if len(said) > most:
        raise UsageError(f"it has {len(said):,} characters, and {most:,} are taken", where=name, fix="Shorten it.")
    return said


def day(posted: Mapping[str, Any], name: str) -> date:
    """A day that is not over. Raises UsageError."""
    try:
        found = date.fromisoformat(str(posted.get(name, "")))
    except ValueError:
        raise UsageError("the day cannot be read", where=name, fix="Write it as 2027-01-29.") from None
    if found < now().astimezone(clock.ZONE).date():
        raise UsageError("the day is over", where=name, fix="Choose a later one.")
    return found


def number(posted: Mapping[str, Any], name: str) -> int | None:
    """None where nothing stands there. Raises UsageError: it is no whole number."""
    said = str(posted.get(name, "")).replace(",", "").strip()
    if said and not (said.isascii() and said.isdecimal() and len(said) < 10):
        raise UsageError(f"the {name} are no number", where=name, fix="Write a whole number.")
    return int(said) if said else None


def told(refused: HanseError) -> str:
    """In one or two sentences."""
    what, fix = refused.what.rstrip("."), refused.fix.strip()
    ending = "" if not fix or fix.endswith((".", "!", "?")) else "."
    return " ".join(part for part in (f"{what[:1].upper()}{what[1:]}.", f"{fix[:1].upper()}{fix[1:]}{ending}") if part)
