"""An amount in a machine's own unit as GPU-hours, by the machine's facts.

A GPU-hour of ours is an hour of one accelerator as the scheduler counts it. Where the site's own unit is called
GPU-hour too and is another (LUMI's has two devices), a row that says GPU-hour means the site's: whoever decided counted
in that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from hanse.contracts.machine import Machine
from hanse.contracts.units import hours_of

OURS = frozenset({"gpu hour", "accelerator hour", "device hour"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """Whole GPU-hours, rounded down, and how they were reckoned."""

    gpu_hours: int
    said: str


def to_gpu_hours(amount: Decimal, unit: str, machine: Machine) -> Converted:
    """Raises ValueError where the machine's facts do not tell what that unit is."""
    asked, billing = _bare(unit), machine.billing
    own = _bare(billing.unit) if billing else ""
    if billing and asked == own:
        factor = Fraction(machine.accelerators_per_node) / Fraction(Decimal(str(billing.units_per_node_hour)))
        name = billing.unit
    elif asked in OURS:
        factor, name = Fraction(1), "GPU-hour"
    elif asked == "node hour":
        factor, name = Fraction(machine.accelerators_per_node), "node-hour"
    else:
        known = dict.fromkeys([*([billing.unit] if billing else []), "node-hour", "accelerator-hour"])
        raise ValueError(f"{machine.name} does not count in {unit}: write one of {', '.join(known)}")
    exact = Fraction(amount) * factor
    hours = int(exact)
    if hours < 1:
        raise ValueError(f"{plain(amount)} {hours_of(name)} are less than one GPU-hour")
    said = "" if factor == 1 and exact == hours else f"{plain(amount)} {hours_of(name)} are {hours:,} GPU-hours"
    if exact != hours:
        said += f" ({_rounded(exact)} rounded down)"
    return Converted(gpu_hours=hours, said=f"{said}." if said else "")


def plain(amount: Decimal) -> str:
    """With separators for thousands and no noughts behind the point."""
    text = f"{amount:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _rounded(exact: Fraction) -> str:
    value = (Decimal(exact.numerator) / Decimal(exact.denominator)).quantize(Decimal("0.01"), ROUND_HALF_UP)
    return plain(value)


def _bare(unit: str) -> str:
    """ "Core-hours", "core hour" and "core-h" are one; what stands in brackets explains it."""
    words = re.sub(r"\(.*\)", "", unit.lower().replace("_", " "))
    words = re.sub(r"[\s-]+", " ", words).strip()
    return re.sub(r"(?<=\w) ?(hours|hour|hrs|hr|h)$", " hour", words).replace("  ", " ")
