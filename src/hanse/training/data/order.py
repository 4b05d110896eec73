"""Which sample comes when: sample i of a run is a fixed function of (seed, i), whatever the number of ranks.

Each epoch is a permutation of all samples, computed point by point with a small Feistel network over the smallest
even power of two that holds them, walking on until the value falls inside (cycle walking, Black and Rogaway 2002).
No table is kept, so a run of billions of samples can begin anywhere.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]
_ROUNDS: Final = 6


class Order:
    """Sample numbers in the order they are trained on."""

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


def _mix(words: _Words) -> _Words:
    """SplitMix64's finaliser: every input bit moves every output bit. Overflow wraps, as it is meant to."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: _Words = words ^ (words >> np.uint64(31))
    return mixed
