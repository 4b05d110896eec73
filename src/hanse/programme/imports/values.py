"""Cells as values. What can be read in two ways is refused: an amount a thousand times too large is no typing error.

Each function raises ValueError with a sentence that says what was wrong and what to write.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Final

YES: Final = frozenset({"yes", "y", "true", "1", "ja", "oui"})
NO: Final = frozenset({"", "no", "n", "false", "0", "nein", "non"})
_PLAIN = re.compile(r"[0-9]+")
_GROUPED = re.compile(r"[0-9]{1,3}(?:(?P<mark>[.,' \u00a0\u202f\u2019])[0-9]{3})(?:(?P=mark)[0-9]{3})*")
_DECIMAL = re.compile(r"(?P<whole>.+?)(?P<point>[.,])(?P<part>[0-9]+)")


def amount(text: str) -> Decimal:
    """A number as it is written in English, German, French or Swiss files; never below nought."""
    bare = text.strip()
    if _PLAIN.fullmatch(bare):
        return Decimal(bare)
    grouped = _GROUPED.fullmatch(bare)
    if grouped is not None and (grouped["mark"] not in ".," or bare.count(grouped["mark"]) > 1):
        return Decimal(bare.replace(grouped["mark"], ""))
    if grouped is not None:
        whole, part = bare.split(grouped["mark"])
        raise ValueError(f"{bare} can be read as {int(whole)}.{part} or as {whole}{part}: write it without a separator")
    split = _DECIMAL.fullmatch(bare)
    if split is None:
        raise ValueError(f"{bare or 'nothing'} is no amount: write it like 5000 or 1250.5")
    whole = split["whole"]
    inner = _GROUPED.fullmatch(whole)
    if inner is not None and inner["mark"] != split["point"]:
        whole = whole.replace(inner["mark"], "")
    if not _PLAIN.fullmatch(whole):
        raise ValueError(f"{bare} is no amount: write it like 5000 or 1250.5")
    return Decimal(f"{whole}.{split['part']}")


def day(text: str) -> date:
    """2027-01-31, or 31.01.2027 as German files have it. With slashes it can be two days, and is refused."""
    bare = text.strip()
    german = re.fullmatch(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})", bare)
    try:
        if german is not None:
            return date(int(german[3]), int(german[2]), int(german[1]))
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", bare):
            return date.fromisoformat(bare)
    except ValueError:
        raise ValueError(f"there is no day {bare}") from None
    raise ValueError(f"{bare or 'nothing'} is no day: write it like 2027-01-31")


def yes_or_no(text: str) -> bool:
    bare = text.strip().lower()
    if bare in YES or bare in NO:
        return bare in YES
    raise ValueError(f"{text.strip()} is neither yes nor no")


def several(text: str, marks: str = r"[\s,;|]+") -> tuple[str, ...]:
    """What stands in one cell, each once, in order."""
    return tuple(dict.fromkeys(part for one in re.split(marks, text) if (part := one.strip())))
