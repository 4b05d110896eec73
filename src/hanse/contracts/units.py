"""Figures as people read them: number, no-break space, unit, two or three significant digits.

Amounts are kept as integers (accelerator-seconds, bytes, joules, euro cents); hours are formatting.
"""

from __future__ import annotations

NBSP = "\N{NO-BREAK SPACE}"
SECONDS_PER_HOUR = 3600


def significant(value: float, digits: int = 3) -> str:
    """`value` rounded to `digits` significant digits, with thousands separators and no exponent."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = int(f"{rounded:e}".split("e")[1])
    return f"{rounded:,.{max(0, digits - 1 - exponent)}f}"


def gpu_hours(accelerator_seconds: float) -> float:
    return accelerator_seconds / SECONDS_PER_HOUR


def format_gpu_hours(accelerator_seconds: float) -> str:
    hours = gpu_hours(accelerator_seconds)
    text = f"{hours:,.0f}" if abs(hours) >= 100 else significant(hours)
    return f"{text}{NBSP}GPU-hours"


def hours_of(unit: str) -> str:
    """A site's billing unit, as it stands behind a number: 'core-hours', 'GPU-hours (two logical devices)'."""
    return unit.replace("hour", "hours", 1)


def format_bytes(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= size:
            return f"{significant(count / size)}{NBSP}{unit}"
    return f"{count:.0f}{NBSP}B"


def format_seconds(seconds: float) -> str:
    """Microseconds to days: 640 ms, 10.4 s, 3 min 20 s, 5.2 h, 9.6 days."""
    if seconds < 1e-3:
        return f"{significant(seconds * 1e6)}{NBSP}µs"
    if seconds < 1:
        return f"{significant(seconds * 1e3)}{NBSP}ms"
    if seconds < 60:
        return f"{significant(seconds)}{NBSP}s"
    if seconds < SECONDS_PER_HOUR:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes}{NBSP}min" + (f" {rest}{NBSP}s" if rest and minutes < 10 else "")
    if seconds < 48 * SECONDS_PER_HOUR:
        return f"{significant(seconds / SECONDS_PER_HOUR)}{NBSP}h"
    return f"{significant(seconds / 86400)}{NBSP}days"


def format_count(value: float) -> str:
    """12,300 · 4.1 million · 6.9 billion · 1.3 × 10²²."""
    superscript = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
    if abs(value) >= 1e15:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}{NBSP}×{NBSP}10{str(int(exponent)).translate(superscript)}"
    for word, size in (("trillion", 1e12), ("billion", 1e9), ("million", 1e6)):
        if abs(value) >= size:
            return f"{significant(value / size)}{NBSP}{word}"
    return significant(value) if abs(value) < 1000 else f"{value:,.0f}"


def format_percent(fraction: float) -> str:
    return f"{significant(fraction * 100, 2)}{NBSP}%"
