"""Work that may take long, done in a thread of its own: big transfers must not hold up a cycle.

One piece of work at a time; what came of the last one is taken whenever the agent next tells.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from hanse.contracts.parcel import Parcel, ParcelOrder, ParcelReport

logger = logging.getLogger("hanse.agent")


class Courier(Protocol):
    """`agent/courier.py`: sends what was ordered and fetches what is to come, as far as it gets in a while."""

    def pursue(self, orders: tuple[ParcelOrder, ...], fetches: tuple[Parcel, ...]) -> tuple[ParcelReport, ...]: ...

    def arrived(self, parcel: Parcel) -> bool: ...


class CourierThread:
    """The courier's thread. `reports` are kept until they were told."""

    def __init__(self, courier: Courier) -> None:
        self.courier = courier
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._reports: dict[tuple[str, str], ParcelReport] = {}

    def pursue(self, orders: tuple[ParcelOrder, ...], fetches: tuple[Parcel, ...]) -> None:
        """Begin the work unless some is under way, or there is none."""
        if (orders or fetches) and not self.busy:
            work: Callable[[], None] = lambda: self._work(orders, fetches)  # noqa: E731
            self._thread = threading.Thread(target=work, name="courier", daemon=True)
            self._thread.start()

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def reports(self) -> tuple[ParcelReport, ...]:
        with self._lock:
            return tuple(self._reports.values())

    def told(self, reports: tuple[ParcelReport, ...]) -> None:
        with self._lock:
            for report in reports:
                if self._reports.get((report.id, report.side)) == report:
                    del self._reports[report.id, report.side]

    def _work(self, orders: tuple[ParcelOrder, ...], fetches: tuple[Parcel, ...]) -> None:
        try:
            reports = self.courier.pursue(orders, fetches)
        except Exception:  # its thread is all that ends; the next cycle begins anew
            logger.exception("the courier stopped; it will try again")
            return
        with self._lock:
            self._reports |= {(report.id, report.side): report for report in reports}
