"""Axes: round ticks over any finite range, how an axis writes its numbers, and values turned into places.

Round steps are 1, 2, 2.5 or 5 times a power of ten, as people draw axes by hand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

_LARGEST, _LEAST = 1e150, 1e-150
_WORDS = ((1e12, 1e12, "trillion"), (1e9, 1e9, "billion"), (1e6, 1e6, "million"), (1e4, 1e3, "thousand"))
"""From which size on, what to divide by, and the word for it: 4,000 is read as it stands, 40,000 is not."""


class Axis(NamedTuple):
    """What an axis counts: 'Throughput' in 'tokens per second'."""

    name: str
    unit: str = ""

    def title(self, word: str) -> str:
        measure = " ".join(part for part in (word, self.unit) if part)
        return f"{self.name}, {measure}" if measure else self.name


class Scale(NamedTuple):
    """Places `low` … `high` on `start` … `end`; what lies outside is put on the edge."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def extent(values: Sequence[float]) -> tuple[float, float]:
    """The range of `values`, widened where they are all (nearly) the same, so that it can be drawn."""
    low, high = (min(max(edge, -_LARGEST), _LARGEST) for edge in (min(values), max(values)))
    size = max(abs(low), abs(high))
    if size < _LEAST:
        return 0.0, 1.0
    if high - low <= 1e-9 * size:
        return low - 0.1 * size, high + 0.1 * size
    return low, high


def ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """Ascending round numbers from at or below `low` to at or above `high`, in about `count` steps."""
    low, high = extent((low, high))
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(multiple * power for multiple in (1, 2, 2.5, 5, 10) if multiple * power >= raw * 0.9999)
    first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
    return tuple(step * index for index in range(first, last + 1))


def written(values: Sequence[float]) -> tuple[tuple[str, ...], str]:
    """Ticks as an axis writes them, all with the same decimals, and the word to put into its title ('million')."""
    size = max(abs(value) for value in values)
    factor, word = next(((by, word) for start, by, word in _WORDS if start <= size < 1e16), (1.0, ""))
    scaled = [value / factor for value in values]
    for decimals in range(7):
        if all(abs(round(value, decimals) - value) <= 1e-6 * size / factor for value in scaled) and size < 1e16:
            return tuple(f"{value + 0.0:,.{decimals}f}".replace("-", "\N{MINUS SIGN}") for value in scaled), word
    return tuple(f"{value:.3g}".replace("-", "\N{MINUS SIGN}") for value in scaled), word
