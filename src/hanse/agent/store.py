"""What an agent must not forget when it dies: intents, job ids, what it saw, how far it has told.

SQLite with synchronous=FULL: an intent is on disk before a job is submitted. Observations need no outbox of their own:
the last one of every attempt is kept and told again until the service no longer asks for the attempt.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hanse.contracts.agentapi import Assignment, Observation
from hanse.contracts.base import now

_LAYOUT = """
CREATE TABLE IF NOT EXISTS attempts (
  attempt_id TEXT PRIMARY KEY,
  assignment TEXT NOT NULL,
  intent_at TEXT,
  submitted_at TEXT,
  job_id TEXT,
  cancel_at TEXT,
  seen TEXT,
  steps_offset INTEGER NOT NULL DEFAULT 0,
  steps_sent_at REAL NOT NULL DEFAULT 0,
  log_offset INTEGER NOT NULL DEFAULT 0,
  result_sent INTEGER NOT NULL DEFAULT 0,
  closed_at TEXT
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One attempt as this machine knows it."""

    assignment: Assignment
    intent_at: datetime | None = None
    """When it was last decided to submit; written before the scheduler was asked."""
    submitted_at: datetime | None = None
    job_id: str | None = None
    cancel_at: datetime | None = None
    seen: Observation | None = None
    steps_offset: int = 0
    """Bytes of steps.jsonl that have been told."""
    steps_sent_at: float = 0.0
    """Unix time of the last step told."""
    log_offset: int = 0
    result_sent: bool = False

    @property
    def attempt_id(self) -> str:
        return self.assignment.attempt_id


class Store:
    """One file; one agent."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(_LAYOUT)

    def close(self) -> None:
        self._db.close()

    def take(self, assignments: tuple[Assignment, ...]) -> None:
        """Know these attempts as wanted; close those of which the service wants nothing any more."""
        with self._transaction():
            for assignment in assignments:
                self._db.execute(
                    "INSERT INTO attempts (attempt_id, assignment) VALUES (?, ?) "
                    "ON CONFLICT (attempt_id) DO UPDATE SET assignment = excluded.assignment, closed_at = NULL",
                    (assignment.attempt_id, assignment.model_dump_json()),
                )
            wanted = {assignment.attempt_id for assignment in assignments}
            for record in self.open():
                if record.attempt_id not in wanted:
                    self._set(record.attempt_id, closed_at=now().isoformat())

    def open(self) -> tuple[Record, ...]:
        rows = self._db.execute("SELECT * FROM attempts WHERE closed_at IS NULL ORDER BY rowid")
        return tuple(_record(row) for row in rows)

    def intend(self, attempt_id: str, at: datetime) -> None:
        """Write down that the scheduler is about to be asked. On disk when this returns."""
        self._set(attempt_id, intent_at=at.isoformat())

    def submitted(self, attempt_id: str, job_id: str, at: datetime) -> None:
        """The scheduler named the job, or it was found in the queue and adopted."""
        self._set(attempt_id, job_id=job_id, submitted_at=at.isoformat())

    def cancelling(self, attempt_id: str, at: datetime) -> None:
        self._set(attempt_id, cancel_at=at.isoformat())

    def saw(self, observation: Observation) -> None:
        self._set(observation.attempt_id, seen=observation.model_dump_json())

    def told(self, attempt_id: str, **progress: float) -> None:
        """How much of steps, log and result has reached the service."""
        self._set(attempt_id, **progress)

    def _set(self, attempt_id: str, **values: object) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        self._db.execute(
            f"UPDATE attempts SET {columns} WHERE attempt_id = ?",  # noqa: S608 - column names of this module  # nosec
            (*values.values(), attempt_id),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _record(row: sqlite3.Row) -> Record:
    def moment(name: str) -> datetime | None:
        return datetime.fromisoformat(row[name]) if row[name] else None

    return Record(
        assignment=Assignment.from_json(row["assignment"]),
        intent_at=moment("intent_at"),
        submitted_at=moment("submitted_at"),
        job_id=row["job_id"],
        cancel_at=moment("cancel_at"),
        seen=Observation.from_json(row["seen"]) if row["seen"] else None,
        steps_offset=row["steps_offset"],
        steps_sent_at=row["steps_sent_at"],
        log_offset=row["log_offset"],
        result_sent=bool(row["result_sent"]),
    )
