"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(
    condition: Callable[[], T], *, within_s: float = 30.0, what: str = "the condition", every_s: float = 0.05
) -> T:
    """Return the first truthy value of `condition`; fail with `what` and the last value after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {within_s:g} s; last value: {value!r}")
        time.sleep(every_s)
