"""The meter: all jobs of the accounts the service asks after, told when they are new or have changed.

What was seen and what was told stand in a SQLite file of its own, so that an agent that starts anew tells what it has
not told, and no more. The scheduler is asked at most once a minute, from a while before it was last asked: accounting
may learn of a job's end late. A running job is told every ten minutes, its end at once.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from hanse.contracts.errors import SchedulerUnknown
from hanse.contracts.job import FINAL_JOB_STATES
from hanse.contracts.site import SiteBudget, SiteJob

logger = logging.getLogger(__name__)

ASK_EVERY: Final = timedelta(seconds=60)
OVERLAP: Final = timedelta(hours=1)
"""How late accounting may learn of a job's end (a database daemon that was away for a while)."""
FIRST_WINDOW: Final = timedelta(days=366)
"""How far back an account is read when it is first asked after: allocations run for a year at most."""
RUNNING_EVERY: Final = timedelta(minutes=10)
MOST_AT_ONCE: Final = 500
"""Jobs in one answer to the service; the rest follow in the next."""

_LAYOUT = """
CREATE TABLE IF NOT EXISTS jobs (
  job_id TEXT NOT NULL,
  submitted TEXT NOT NULL,
  seen TEXT NOT NULL,
  told TEXT,
  told_at REAL,
  PRIMARY KEY (job_id, submitted)
);
CREATE TABLE IF NOT EXISTS accounts (account TEXT PRIMARY KEY, until REAL NOT NULL);
"""


class Accounting(Protocol):
    """What the meter needs of a scheduler."""

    def accounting(self, accounts: Sequence[str], since: datetime) -> tuple[SiteJob, ...]: ...


@runtime_checkable
class Budgeting(Protocol):
    """A scheduler that knows the site's own counter too."""

    def budgets(self, accounts: Sequence[str], at: datetime) -> tuple[SiteBudget, ...]: ...


class Meter:
    """One scheduler's; not for use from several threads at once."""

    def __init__(self, scheduler: Accounting, store_path: Path, *, ask_every: timedelta = ASK_EVERY) -> None:
        self._scheduler = scheduler
        self._ask_every = ask_every
        self._asked_at: datetime | None = None
        self._budgets_asked_at: datetime | None = None
        store_path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(store_path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.executescript(_LAYOUT)

    def close(self) -> None:
        self._db.close()

    def look(self, accounts: Sequence[str], at: datetime) -> tuple[SiteJob, ...]:
        """Jobs that are new or have changed since they were last told. A scheduler that does not answer is asked later.

        The same jobs come again until `told` is called with them.
        """
        due = self._asked_at is None or at - self._asked_at >= self._ask_every
        if accounts and due:
            self._asked_at = at
            try:
                self._note(self._scheduler.accounting(tuple(accounts), self._since(accounts, at)))
            except SchedulerUnknown as error:
                logger.warning("accounting does not answer: %s", error)
            else:
                self._db.executemany(
                    "INSERT OR REPLACE INTO accounts VALUES (?, ?)", [(each, at.timestamp()) for each in accounts]
                )
        return self._untold(at)

    def budgets(self, accounts: Sequence[str], at: datetime) -> tuple[SiteBudget, ...]:
        """The site's own counters, when they were read anew; () in between and where the site tells none."""
        due = self._budgets_asked_at is None or at - self._budgets_asked_at >= self._ask_every
        if not accounts or not due or not isinstance(self._scheduler, Budgeting):
            return ()
        self._budgets_asked_at = at
        try:
            return self._scheduler.budgets(tuple(accounts), at)
        except SchedulerUnknown as error:
            logger.warning("the site's counter does not answer: %s", error)
            return ()

    def told(self, jobs: Iterable[SiteJob], at: datetime | None = None) -> None:
        """The service has stored them."""
        moment = (at or self._asked_at or datetime.now(UTC)).timestamp()
        self._db.executemany(
            "UPDATE jobs SET told = ?, told_at = ? WHERE job_id = ? AND submitted = ?",
            [(_text(job), moment, *_key(job)) for job in jobs],
        )

    def _since(self, accounts: Sequence[str], at: datetime) -> datetime:
        """From before the account that was read longest ago."""
        known = dict(self._db.execute("SELECT account, until FROM accounts"))
        if any(account not in known for account in accounts):
            return at - FIRST_WINDOW
        return datetime.fromtimestamp(min(known[account] for account in accounts), UTC) - OVERLAP

    def _note(self, jobs: Iterable[SiteJob]) -> None:
        """Only what held something, or will, is worth telling: a job that never started costs nothing."""
        held = [(*_key(job), _text(job)) for job in jobs if job.report.started_at is not None]
        with self._db:
            self._db.execute("BEGIN")
            self._db.executemany(
                "INSERT INTO jobs (job_id, submitted, seen) VALUES (?, ?, ?) "
                "ON CONFLICT DO UPDATE SET seen = excluded.seen",
                held,
            )

    def _untold(self, at: datetime) -> tuple[SiteJob, ...]:
        rows = self._db.execute(
            "SELECT seen, told, told_at FROM jobs WHERE told IS NULL OR told <> seen ORDER BY submitted, job_id"
        )
        found = []
        for seen, told, told_at in rows:
            job = SiteJob.model_validate_json(seen)
            lately = told_at is not None and at.timestamp() - told_at < RUNNING_EVERY.total_seconds()
            if told is not None and lately and job.report.state not in FINAL_JOB_STATES:
                continue
            found.append(job)
            if len(found) == MOST_AT_ONCE:
                break
        return tuple(found)


def _key(job: SiteJob) -> tuple[str, str]:
    submitted = job.report.submitted_at
    return job.report.job_id, submitted.isoformat() if submitted else ""


def _text(job: SiteJob) -> str:
    return json.dumps(job.model_dump(mode="json"), sort_keys=True)
