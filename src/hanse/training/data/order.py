"""Which sample comes when: sample i of a run is a fixed function of (seed, i), whatever the number of ranks.

Without weights each epoch is a shuffle of everything. With weights every period of the run holds the same number of
samples of each dataset, at shuffled places, and each dataset goes through epochs of its own.

Each epoch is a permutation of all samples, computed point by point with a small Feistel network over the smallest
even power of two that holds them, walking on until the value falls inside (cycle walking, Black and Rogaway 2002).
No table is kept, so a run of billions of samples can begin anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]
_ROUNDS: Final = 6
FINEST: Final = 10_000
"""Weights are told apart to one part in so many; a period of a mixture is hardly longer than that."""


class Ordering(Protocol):
    """Sample numbers in the order they are trained on."""

    @property
    def samples(self) -> int:
        """How many different ones there are."""
        ...

    def at(self, positions: Indices) -> Indices:
        """Which sample stands at each position of the run (0, 1, …); positions run on for ever."""
        ...


class Order:
    """All samples alike: each epoch is a permutation of them."""

    def __init__(self, samples: int, seed: int) -> None:
        if samples < 1:
            raise ValueError("an order needs at least one sample")
        self.samples = samples
        self._seed = np.uint64(seed % (1 << 64))
        self._half_bits = np.uint64(max(1, ((samples - 1).bit_length() + 1) // 2))

    def at(self, positions: Indices) -> Indices:
        """Which sample stands at each position of the run (0, 1, …); positions run on through the epochs."""
        epochs, places = np.divmod(positions.astype(np.int64), self.samples)
        keys = _mix(epochs.astype(np.uint64) + _mix(np.atleast_1d(self._seed)))
        values = self._shuffled(places.astype(np.uint64), keys)
        outside = values >= self.samples
        while outside.any():
            values[outside] = self._shuffled(values[outside], keys[outside])
            outside = values >= self.samples
        return values.astype(np.int64)

    def _shuffled(self, values: _Words, keys: _Words) -> _Words:
        half = self._half_bits
        mask = (np.uint64(1) << half) - np.uint64(1)
        left, right = values >> half, values & mask
        for turn in range(_ROUNDS):
            left, right = right, left ^ (_mix(right ^ keys ^ _mix(np.full_like(right, turn + 1))) & mask)
        mixed: _Words = (left << half) | right
        return mixed


class Mixture:
    """Datasets by weight. Samples are numbered through: those of the first dataset, then those of the second, …"""

    def __init__(self, counts: Sequence[int], weights: Sequence[float], seed: int) -> None:
        self.samples = sum(counts)
        self.slots = slots(weights)
        self._period = sum(self.slots)
        self._slot_ends = np.cumsum(self.slots)
        self._firsts = np.cumsum([0, *counts])[:-1]
        self._pattern = Order(self._period, seed)
        words = (np.atleast_1d(np.uint64(seed % (1 << 64))) ^ np.uint64(number) for number in range(1, len(counts) + 1))
        self._orders = [Order(count, int(_mix(word)[0])) for count, word in zip(counts, words, strict=True)]

    def at(self, positions: Indices) -> Indices:
        """As `Ordering.at`."""
        slot = self._pattern.at(positions)
        dataset = np.searchsorted(self._slot_ends, slot, side="right")
        sizes = np.asarray(self.slots)
        # A slot belongs to one dataset and comes once a period: so each turn of a dataset comes once, too.
        turns = positions // self._period * sizes[dataset] + slot - (self._slot_ends - sizes)[dataset]
        numbers = np.empty(len(positions), dtype=np.int64)
        for which, order in enumerate(self._orders):
            mine = dataset == which
            numbers[mine] = self._firsts[which] + order.at(turns[mine])
        return numbers


def slots(weights: Sequence[float]) -> tuple[int, ...]:
    """Samples of each dataset in one period: the smallest whole numbers in the weights' proportion.

    Weights of odd proportions are rounded to `FINEST` parts (largest remainder); none comes to nothing.
    """
    written = [Fraction(str(weight)) for weight in weights]
    scale = math.lcm(*(each.denominator for each in written))
    parts = [int(each * scale) for each in written]
    if sum(parts) // math.gcd(*parts) > FINEST:
        exact = [float(each / sum(written)) * FINEST for each in written]
        parts = [max(1, math.floor(each)) for each in exact]
        by_remainder = sorted(range(len(parts)), key=lambda n: (parts[n] - exact[n], n))
        for number in by_remainder[: max(0, FINEST - sum(parts))]:
            parts[number] += 1
    common = math.gcd(*parts)
    return tuple(each // common for each in parts)


def _mix(words: _Words) -> _Words:
    """SplitMix64's finaliser: every input bit moves every output bit. Overflow wraps, as it is meant to."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: _Words = words ^ (words >> np.uint64(31))
    return mixed
