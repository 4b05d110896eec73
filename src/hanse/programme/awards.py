"""Arithmetic of awards: months and what they take of an award, room that is left, the law of hours, site units.

Nothing here is a fact of a programme: the patterns are our own, the rest is counting.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from hanse.contracts.awarding import Pattern
from hanse.contracts.machine import Machine
from hanse.contracts.units import SECONDS_PER_HOUR, format_gpu_hours, hours_of, significant

PATTERNS: Final[tuple[Pattern, ...]] = ("even", "falling", "rising")
PATTERN_WORDS: Final[Mapping[Pattern, str]] = {
    "even": "the same each day", "falling": "most at first", "rising": "most at the end",
}  # fmt: skip
_ADDS: Final = frozenset({"opened", "supplement", "moved-in", "moved-out", "stated"})


def months_later(day: date, months: int) -> date:
    """The same day of a later month, or that month's last day."""
    index = day.year * 12 + day.month - 1 + months
    year, month = index // 12, index % 12 + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def month_of(day: date) -> str:
    return f"{day:%Y-%m}"


def spread(accelerator_seconds: int, starts: date, ends: date, pattern: Pattern = "even") -> dict[str, int]:
    """Accelerator-seconds by month ("2026-11") from `starts` to `ends`, both within; their sum is the whole.

    Each day weighs the same (even), or in proportion to the days left (falling) or gone (rising), itself included.
    """
    weights = _weights(starts, ends, pattern)
    total, given, passed, shares = sum(weight for _, weight in weights), 0, 0, {}
    for month, weight in weights:
        passed += weight
        upto = accelerator_seconds * passed // total
        shares[month], given = upto - given, upto
    return shares


@lru_cache(maxsize=4096)
def _weights(starts: date, ends: date, pattern: Pattern) -> tuple[tuple[str, int], ...]:
    """Of each month; many awards begin and end alike."""
    days = (ends - starts).days + 1
    if days < 1:
        raise ValueError("it ends before it starts")
    weights: dict[str, int] = {}
    first = starts
    while first <= ends:
        last = min(ends, date(first.year, first.month, monthrange(first.year, first.month)[1]))
        before, until = (first - starts).days, (last - starts).days + 1
        weights[month_of(first)] = _weight(until, days, pattern) - _weight(before, days, pattern)
        first = last + timedelta(days=1)
    return tuple(weights.items())


def _weight(days: int, of: int, pattern: Pattern) -> int:
    """Of the first `days` days together."""
    rising = days * (days + 1) // 2
    return {"even": days, "rising": rising, "falling": days * (of + 1) - rising}[pattern]


class Shortfall(NamedTuple):
    """A month in which less is left than is wanted, in accelerator-seconds."""

    month: str
    wanted: int
    left: int

    def __str__(self) -> str:
        return f"{self.month}: {format_gpu_hours(max(0, self.left))} left, {format_gpu_hours(self.wanted)} wanted"


def short_of(wanted: Mapping[str, int], offered: Mapping[str, int], taken: Mapping[str, int]) -> tuple[Shortfall, ...]:
    """Months in which `wanted` does not fit beside what is taken; a month nobody offered has nothing."""
    left = {month: offered.get(month, 0) - taken.get(month, 0) for month in wanted}
    return tuple(Shortfall(month, need, left[month]) for month, need in sorted(wanted.items()) if need > left[month])


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """An allocation's hours from what moved them and what was used, in accelerator-seconds."""

    granted: int
    used: int
    returned: int
    reserved: int = 0

    @property
    def left(self) -> int:
        """Includes what is reserved; negative where the site let more be used."""
        return self.granted - self.used - self.returned

    @property
    def free(self) -> int:
        return self.left - self.reserved


def hours(movements: Iterable[tuple[str, int]], usage: Iterable[int], reserved: int = 0) -> Hours:
    """`movements` are (kind, accelerator-seconds): signed, what is returned is below nought."""
    moves = tuple(movements)
    return Hours(
        granted=sum(amount for kind, amount in moves if kind in _ADDS),
        returned=-sum(amount for kind, amount in moves if kind == "returned"),
        used=sum(usage),
        reserved=reserved,
    )


def site_amount(accelerator_seconds: float, machine: Machine | None) -> str:
    """In the machine's own unit ("40,000 core-hours"); empty where that is not known."""
    if machine is None or machine.billing is None:
        return ""
    node_hours = accelerator_seconds / SECONDS_PER_HOUR / machine.accelerators_per_node
    return f"{significant(node_hours * machine.billing.units_per_node_hour, 4)} {hours_of(machine.billing.unit)}"


def conversion(accelerator_seconds: int, before: Machine | None, after: Machine | None) -> str:
    """What moving these hours to another machine means: GPU-hours are kept, and each site counts in its own unit."""
    told = [f"{format_gpu_hours(accelerator_seconds)} stay {format_gpu_hours(accelerator_seconds)}"]
    for said, machine in (("there they were", before), ("here they are", after)):
        amount = site_amount(accelerator_seconds, machine)
        if machine is not None and amount:
            rule = f" ({machine.billing.rule.rstrip('.')})" if machine.billing and machine.billing.rule else ""
            told.append(f"{said} {amount} of {machine.name}{rule}")
    if before and after and before.accelerator.name != after.accelerator.name:
        told.append(f"an hour of {before.accelerator.name} is not as much work as one of {after.accelerator.name}")
    return "; ".join(told) + "."


def price_cents(accelerator_seconds: int, cents_per_gpu_hour: int) -> int:
    """Rounded to the nearest cent, halves away from nought; below nought where hours are given back."""
    amount = abs(accelerator_seconds) * cents_per_gpu_hour
    cents = (2 * amount + SECONDS_PER_HOUR) // (2 * SECONDS_PER_HOUR)
    return cents if accelerator_seconds >= 0 else -cents
