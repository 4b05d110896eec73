"""Which reports and obligations an award brings, and when each is due, by its call.

A day the call does not name is not made up: such a duty has none until an officer sets one. A progress report without
a day is due at half the time: that is our own rule, as it is a report on the middle.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

from hanse.contracts.programme import CallObligation
from hanse.programme.awards import months_later

Kind = Literal["progress-report", "final-report", "obligation"]
REMIND_DAYS: Final = (30, 7)
"""Before the due day; a last reminder follows when it is past."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One duty of an award."""

    kind: Kind
    name: str
    text: str
    day: date | None
    after_end: bool
    """Whether an extension moves it."""


def duties(obligations: Iterable[CallObligation], starts: date, ends: date) -> tuple[Due, ...]:
    """In the call's order."""
    return tuple(_due(one, starts, ends) for one in obligations)


def _due(one: CallObligation, starts: date, ends: date) -> Due:
    kind: Kind = one.id if one.id in ("progress-report", "final-report") else "obligation"  # type: ignore[assignment]
    day, after_end = None, False
    if one.months_after_start is not None:
        day = months_later(starts, one.months_after_start)
    elif one.months_after_end is not None:
        day, after_end = months_later(ends, one.months_after_end), True
    elif kind == "progress-report":
        day = starts + timedelta(days=(ends - starts).days // 2)
    return Due(kind=kind, name=one.id, text=one.text, day=day, after_end=after_end)


def overdue(due: date | None, on: date) -> bool:
    """The due day itself is in time."""
    return due is not None and on > due


def stage(due: date | None, on: date) -> str:
    """Which reminder is to go out by now, the latest only: "30-days", "7-days", "overdue"; empty: none yet."""
    if due is None:
        return ""
    if overdue(due, on):
        return "overdue"
    left = (due - on).days
    return next((f"{days}-days" for days in sorted(REMIND_DAYS) if left <= days), "")
