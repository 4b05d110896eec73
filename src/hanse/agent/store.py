"""What the agent must not forget: which attempts it is to run, that it was about to submit, what it saw, what it told.

SQLite with synchronous=FULL: an intent is on disk before a job is submitted. Observations need no outbox of their own:
the last one of every attempt is kept and told again until the service no longer asks for the attempt. The open records
are held in memory as well, parsed once; every change goes to both, the disk first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hanse.contracts.agentapi import Assignment, Observation
from hanse.contracts.base import now
from hanse.contracts.run import FINAL_ATTEMPT_STATES

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
  trail_offset INTEGER NOT NULL DEFAULT 0,
  result_sent INTEGER NOT NULL DEFAULT 0,
  closed_at TEXT
)
"""
_WATCHED = """
CREATE TABLE IF NOT EXISTS watched (name TEXT PRIMARY KEY, attempt_id TEXT NOT NULL, since TEXT NOT NULL)
"""


MOST_CLOSED = 5000
"""Closed attempts kept at most, however young: the service has them all."""


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
    trail_offset: int = 0
    """Of outer.jsonl, which all attempts of a leg write on."""
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
        if "trail_offset" not in {row["name"] for row in self._db.execute("PRAGMA table_info(attempts)")}:
            # It was written by an earlier release.
            self._db.execute("ALTER TABLE attempts ADD COLUMN trail_offset INTEGER NOT NULL DEFAULT 0")
        self._db.execute(_WATCHED)
        rows = self._db.execute("SELECT * FROM attempts WHERE closed_at IS NULL ORDER BY rowid")
        self._open = {row["attempt_id"]: _record(row) for row in rows}

    def close(self) -> None:
        self._db.close()

    def take(self, assignments: tuple[Assignment, ...], *, closed: Iterable[str] | None = None) -> None:
        """Know these attempts as wanted. `closed` are those of which nothing more is wanted; None: all others."""
        wanted = {assignment.attempt_id for assignment in assignments}
        ended = [id for id in (self._open if closed is None else closed) if id not in wanted and id in self._open]
        before = {id: self._open.get(id) for id in wanted}
        news = [a for a in assignments if (known := before[a.attempt_id]) is None or known.assignment != a]
        if not news and not ended:
            return
        with self.together():
            for assignment in news:
                self._db.execute(
                    "INSERT INTO attempts (attempt_id, assignment) VALUES (?, ?) "
                    "ON CONFLICT (attempt_id) DO UPDATE SET assignment = excluded.assignment, closed_at = NULL",
                    (assignment.attempt_id, assignment.model_dump_json()),
                )
            for id in ended:
                self._close(id)
        for assignment in news:
            known = before[assignment.attempt_id] or self.find(assignment.attempt_id)
            self._open[assignment.attempt_id] = replace(known, assignment=assignment) if known else _missing(assignment)
        for id in ended:
            del self._open[id]

    def _close(self, attempt_id: str) -> None:
        """Put a record away. A job that may yet appear of it goes on being looked for: the service gave it up."""
        record, at = self._open[attempt_id], now().isoformat()
        self._db.execute("UPDATE attempts SET closed_at = ? WHERE attempt_id = ?", (at, attempt_id))
        ended = record.seen is not None and record.seen.state in FINAL_ATTEMPT_STATES
        if not ended and record.intent_at is not None:
            self._db.execute(
                "INSERT OR REPLACE INTO watched (name, attempt_id, since) VALUES (?, ?, ?)",
                (record.assignment.job.name, attempt_id, at),
            )

    def open(self) -> tuple[Record, ...]:
        """The attempts the service wants something of, in the order they came in."""
        return tuple(self._open.values())

    def find(self, attempt_id: str) -> Record | None:
        """An attempt, open or closed."""
        if attempt_id in self._open:
            return self._open[attempt_id]
        row = self._db.execute("SELECT * FROM attempts WHERE attempt_id = ?", (attempt_id,)).fetchone()
        return _record(row) if row else None

    def trail_offset_of(self, run_id: str) -> int:
        """How much of a leg's audit trail has been told, by whichever of its attempts."""
        told = "SELECT MAX(trail_offset) FROM attempts WHERE json_extract(assignment, '$.run_id') = ?"
        return int(self._db.execute(told, (run_id,)).fetchone()[0] or 0)

    def is_open(self, attempt_id: str) -> bool:
        return attempt_id in self._open

    def watched(self) -> dict[str, str]:
        """Job names of attempts that were closed without an end, each with its attempt."""
        return {row["name"]: row["attempt_id"] for row in self._db.execute("SELECT name, attempt_id FROM watched")}

    def unwatch(self, *, before: datetime) -> None:
        self._db.execute("DELETE FROM watched WHERE since < ?", (before.isoformat(),))

    def prune(self, *, before: datetime, most: int = MOST_CLOSED) -> int:
        """Forget attempts that were closed before then, and all closed ones but the last `most`.

        Never one that is open, nor one whose job may yet appear and would have to be ended.
        """
        watched = "attempt_id NOT IN (SELECT attempt_id FROM watched)"
        latest = (
            "SELECT attempt_id FROM attempts WHERE closed_at IS NOT NULL ORDER BY closed_at DESC, rowid DESC LIMIT ?"
        )
        return self._db.execute(
            f"DELETE FROM attempts WHERE closed_at IS NOT NULL AND {watched} "  # noqa: S608 - text of this module  # nosec
            f"AND (closed_at < ? OR attempt_id NOT IN ({latest}))",
            (before.isoformat(), most),
        ).rowcount

    def intend(self, attempt_id: str, at: datetime) -> None:
        """Write down that the scheduler is about to be asked. On disk when this returns."""
        self._set(attempt_id, intent_at=at)

    def submitted(self, attempt_id: str, job_id: str, at: datetime) -> None:
        """The scheduler named the job, or it was found in the queue and adopted."""
        self._set(attempt_id, job_id=job_id, submitted_at=at)

    def cancelling(self, attempt_id: str, at: datetime) -> None:
        self._set(attempt_id, cancel_at=at)

    def saw(self, observation: Observation) -> None:
        self._set(observation.attempt_id, seen=observation)

    def told(self, attempt_id: str, **progress: Any) -> None:
        """How much of steps, log and result has reached the service."""
        record = self._open.get(attempt_id)
        if record is None or any(getattr(record, name) != value for name, value in progress.items()):
            self._set(attempt_id, **progress)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Changes that reach the disk at once, or not at all; within another they are part of that."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        before = dict(self._open)
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            self._open = before
            raise
        self._db.execute("COMMIT")

    def _set(self, attempt_id: str, **values: Any) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        self._db.execute(
            f"UPDATE attempts SET {columns} WHERE attempt_id = ?",  # noqa: S608 - column names of this module  # nosec
            (*(_column(value) for value in values.values()), attempt_id),
        )
        if attempt_id in self._open:
            self._open[attempt_id] = replace(self._open[attempt_id], **values)


def _column(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Observation):
        return value.model_dump_json()
    return int(value) if isinstance(value, bool) else value


def _missing(assignment: Assignment) -> Record:
    return Record(assignment=assignment)


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
        trail_offset=row["trail_offset"],
        result_sent=bool(row["result_sent"]),
    )
