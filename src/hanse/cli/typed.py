"""Counts, durations and dates as people type them on a command line: 2T, 36h, 2027-03-01."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import Final

from hanse.contracts.errors import UsageError

_COUNTS: Final = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_MOST: Final = 1e18
_COUNT: Final = re.compile(r"([0-9][0-9_,]*(?:\.[0-9]+)?(?:[eE][0-9]{1,2})?)\s*([a-zA-Z]?)")
_PIECE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(w|d|h|min|m|s)", re.IGNORECASE)


def count(text: str, option: str) -> int:
    """'2T', '2e12', '1_024' as a whole number above 0. Raises UsageError that names the option."""
    match = _COUNT.fullmatch(text.strip())
    unit = _COUNTS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise UsageError(f'{option} "{text}" is no count above 0.', fix=f"For instance: {option} 1024, 2T or 15e12")
    value = float(match[1].replace("_", "").replace(",", "")) * unit
    if not 1 <= value <= _MOST or value != round(value):
        raise UsageError(
            f"{option} {text} is not a whole number above 0, or too large a one.", fix=f"For instance: {option} 1024"
        )
    return round(value)


def seconds_until(text: str, option: str, *, now: datetime) -> float:
    """Seconds from `now` for '10d', '1d12h', a date (to its end) or a date and time, in the zone of `now`.

    Raises UsageError that names the option.
    """
    said = text.strip()
    if _PIECE.sub("", said).strip() == "" and said:
        length_s = sum(float(number) * _SECONDS[unit.lower()] for number, unit in _PIECE.findall(said))
        if length_s <= 0:
            raise UsageError(f"{option} {text} is no time at all.", fix=f"For instance: {option} 10d")
        return length_s
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", said):
            moment = datetime.combine(date.fromisoformat(said), time(), now.tzinfo) + timedelta(days=1)
        else:
            moment = datetime.fromisoformat(said)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)
    except ValueError:
        raise UsageError(
            f'{option} "{text}" is neither a date nor a duration.',
            fix=f"For instance: {option} 2027-03-01, {option} 2027-03-01T18:00 or {option} 10d",
        ) from None
    left_s = (moment - now).total_seconds()
    if left_s <= 0:
        raise UsageError(f"{option} {text} has passed.", fix=f"It is {now:%Y-%m-%d %H:%M} here; give a later date.")
    return left_s
