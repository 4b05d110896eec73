"""A leg that waits for others: how long, what it says of it, and when it gives its nodes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from hanse.contracts.units import format_seconds
from hanse.training.say import say

SAY_EVERY_S: Final = 60.0


class Waiting:
    """`hold_s` None: as long as its job lasts."""

    def __init__(self, poll_s: float, hold_s: float | None) -> None:
        self.poll_s, self.hold_s = poll_s, hold_s
        self._since: float | None = None
        self._told = 0.0

    def moment(self, for_what: Callable[[], str]) -> bool:
        """Let a moment pass; False once it has been too long."""
        now = time.monotonic()
        if self._since is None:
            self._since = self._told = now
        if self.hold_s is not None and now - self._since >= self.hold_s:
            say(f"{for_what()}; after {format_seconds(self.hold_s)} it gives its nodes back: the next attempt goes on")
            return False
        if now - self._told >= SAY_EVERY_S:
            self._told = now
            say(for_what())
        time.sleep(self.poll_s)
        return True

    def taken_s(self) -> float:
        """Seconds since it began; it is over."""
        since, self._since = self._since, None
        return 0.0 if since is None else time.monotonic() - since
