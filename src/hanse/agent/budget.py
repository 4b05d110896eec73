"""How often the scheduler's controller may be called: a bucket of calls that fills steadily. Pure but for its clock."""

from __future__ import annotations

import time
from collections.abc import Callable

CANCELS_BESIDE = 5
"""Calls that end jobs come out of a reserve of their own: a full queue must not keep a job from being ended."""


class Budget:
    """`per_minute` None: every call is allowed. A bucket holds at most half a minute's calls."""

    def __init__(self, per_minute: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()
        self._per_minute: int | None = None
        self._calls = self._reserve = 0.0
        self.limit(per_minute)

    def limit(self, per_minute: int | None) -> None:
        """Another limit, from now on; the same again changes nothing."""
        if per_minute == self._per_minute:
            return
        self._per_minute = per_minute
        self._calls, self._reserve = self._most, float(CANCELS_BESIDE)

    @property
    def _most(self) -> float:
        return max(4.0, (self._per_minute or 0) / 2)

    def allows(self, calls: int = 1) -> bool:
        """Whether that many calls may be made now; if so, they count as made."""
        if self._per_minute is None:
            return True
        self._fill()
        if self._calls < calls:
            return False
        self._calls -= calls
        return True

    def allows_a_cancel(self) -> bool:
        if self.allows():
            return True
        if self._reserve < 1:
            return False
        self._reserve -= 1
        return True

    def _fill(self) -> None:
        at = self._clock()
        fresh = (at - self._at) * (self._per_minute or 0) / 60
        self._at = at
        self._calls = min(self._most, self._calls + fresh)
        self._reserve = min(float(CANCELS_BESIDE), self._reserve + fresh / 10)
