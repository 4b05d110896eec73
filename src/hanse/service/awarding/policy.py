"""What a service decides for itself about awards; from its settings, else from the environment.

HANSE_AWARDS_BY=1|2 (officers for an award or more hours; 2, on an embedded service 1) · HANSE_DECLINES_BY=1|2
(officers for declining; 1) · HANSE_OVERDUE_BLOCKS=0 (overdue duties do not keep an organisation from applying) ·
HANSE_RETURN_AFTER_DAYS (days after its end at which what an allocation still holds is returned; 30).
"""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings

from hanse.contracts.errors import PolicyError, UsageError


def _value(name: str, default: str) -> str:
    return str(getattr(settings, name, None) or os.environ.get(name) or default)


def _number(name: str, default: int, low: int, high: int) -> int:
    given = _value(name, str(default))
    if not given.isdecimal() or not low <= int(given) <= high:
        raise UsageError(f"{name} is {given!r}", where=name, fix=f"give a whole number from {low} to {high}")
    return int(given)


def awards_by() -> int:
    return 1 if settings.HANSE_EMBEDDED else _number("HANSE_AWARDS_BY", 2, 1, 2)


def declines_by() -> int:
    return 1 if settings.HANSE_EMBEDDED else _number("HANSE_DECLINES_BY", 1, 1, 2)


def overdue_blocks() -> bool:
    return _value("HANSE_OVERDUE_BLOCKS", "1").lower() not in {"0", "false", "no"}


def return_after_days() -> int:
    return _number("HANSE_RETURN_AFTER_DAYS", 30, 7, 3650)


def officers_for(decision: str) -> int:
    """How many of them it takes: "grant" or "decline"."""
    return awards_by() if decision == "grant" else declines_by()


def require_two(application: Any, decision: str, by: Any, proposal: Any) -> None:
    """Nothing where one officer is enough.

    Raises:
        PolicyError: no other officer proposed this.
    """
    if officers_for(decision) < 2:
        return
    if proposal is not None and (
        proposal.application.pk == application.pk
        and proposal.decision == decision
        and proposal.state == "confirmed"
        and proposal.proposed_by.pk != by.pk
    ):
        return
    raise PolicyError(
        f"two officers {decision} an application here: one proposes it, another confirms",
        where=application.public_id,
        fix="propose it; another officer confirms your proposal",
    )
