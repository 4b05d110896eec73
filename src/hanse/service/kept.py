"""Figures that take a second to count: counted by one for all who ask, and counted anew behind those who read them."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from django.db import connection

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _One(Generic[T]):
    counting: threading.Lock = field(default_factory=threading.Lock)
    found: tuple[datetime, T] | None = None
    """When it was asked, and the answer; None before it was counted once."""

    def younger_than(self, age: timedelta, at: datetime) -> bool:
        return self.found is not None and at - self.found[0] < age


class Kept(Generic[T]):
    """The last `most` answers of this process, by what was asked."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._known: OrderedDict[Hashable, _One[T]] = OrderedDict()
        self._changing = threading.Lock()

    def get(self, asked: Hashable, count: Callable[[datetime], T], *, at: datetime, kept_for: timedelta) -> T:
        """At most so old, or up to twice that while it is counted anew behind the answer."""
        one = self._one(asked)
        found = one.found
        if found is not None and one.younger_than(2 * kept_for, at):
            if not one.younger_than(kept_for, at) and one.counting.acquire(blocking=False):
                threading.Thread(target=_behind, args=(one, count, at), name="figures", daemon=True).start()
            return found[1]
        with one.counting:
            if one.found is None or not one.younger_than(kept_for, at):
                one.found = at, count(at)
            return one.found[1]  # those who waited find it counted

    def _one(self, asked: Hashable) -> _One[T]:
        with self._changing:
            one = self._known.setdefault(asked, _One())
            self._known.move_to_end(asked)
            while len(self._known) > self.most:
                self._known.popitem(last=False)
            return one


def _behind(one: _One[T], count: Callable[[datetime], T], at: datetime) -> None:
    try:
        one.found = at, count(at)
    except Exception:
        logger.exception("figures could not be counted anew; whoever asks later counts them")
    finally:
        one.counting.release()
        connection.close()  # this thread's own
