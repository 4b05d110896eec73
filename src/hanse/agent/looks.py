"""What the agent tells of its machine beyond its own jobs: load, waits, and all jobs of the accounts it is asked after.

A scheduler that does not answer holds nothing up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

from hanse.agent.budget import Budget
from hanse.contracts.errors import SiteError
from hanse.contracts.site import MachineState, SiteBudget, SiteJob
from hanse.schedulers.base import Scheduler

logger = logging.getLogger("hanse.agent")

METER_EVERY = timedelta(seconds=60)
STATE_CALLS = 4
METER_CALLS = 2


class Meter(Protocol):
    """`agent/meter.py`: jobs of accounts that are new or have changed since they were last told."""

    def look(self, accounts: tuple[str, ...], at: datetime) -> tuple[SiteJob, ...]: ...

    def told(self, jobs: tuple[SiteJob, ...]) -> None: ...

    def budgets(self, accounts: tuple[str, ...], at: datetime) -> tuple[SiteBudget, ...]: ...


class Looks:
    def __init__(self, scheduler: Scheduler, budget: Budget, meter: Meter | None, *, state_every: timedelta) -> None:
        self._scheduler = scheduler
        self._budget = budget
        self._meter = meter
        self._state_every = state_every
        self._state_at: datetime | None = None
        self._meter_at: datetime | None = None
        self.accounts: tuple[str, ...] = ()
        """Those the service asked after last."""
        self.untold_state: MachineState | None = None
        self.untold_jobs: tuple[SiteJob, ...] = ()
        self.untold_budgets: tuple[SiteBudget, ...] = ()

    def look(self, at: datetime) -> None:
        if _due(self._state_at, self._state_every, at):
            self._state_at = at
            if self._budget.allows(STATE_CALLS):
                self.untold_state = self._safely("its state", self._scheduler.state) or self.untold_state
        if self._meter is not None and self.accounts and _due(self._meter_at, METER_EVERY, at):
            self._meter_at = at
            if self._budget.allows(METER_CALLS):
                meter, accounts = self._meter, self.accounts
                self.untold_jobs = self._safely("accounting", lambda: meter.look(accounts, at)) or ()
                fresh = self._safely("its counters", lambda: meter.budgets(accounts, at)) or ()
                self.untold_budgets = fresh or self.untold_budgets

    def soon(self) -> None:
        """Something has happened to the machine: its state is looked at now, however lately that was."""
        self._state_at = None

    def told(
        self, state: MachineState | None, jobs: tuple[SiteJob, ...], budgets: tuple[SiteBudget, ...]
    ) -> None:  # fmt: skip
        """These have reached the service."""
        if budgets is self.untold_budgets:
            self.untold_budgets = ()
        if state is self.untold_state:
            self.untold_state = None
        if jobs and self._meter is not None:
            self._meter.told(jobs)
            self.untold_jobs = ()

    def _safely(self, what: str, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except SiteError as error:
            logger.info("the scheduler does not tell %s: %s", what, error.what)
            return None


def _due(last: datetime | None, every: timedelta, at: datetime) -> bool:
    return last is None or at - last >= every
