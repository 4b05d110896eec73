"""What a courier remembers across its own end: hashes of files, parcels under way, and what was carried already."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import NamedTuple

from hanse.client.parcels import ParcelManifest
from hanse.files.pieces import Hashes

_TABLES = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS hashes (
    path TEXT PRIMARY KEY, stamp TEXT NOT NULL, sha256 TEXT NOT NULL, pieces TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS parcels (
    id TEXT NOT NULL, side TEXT NOT NULL, state TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
    manifest TEXT, sources TEXT, PRIMARY KEY (id, side)
);
CREATE TABLE IF NOT EXISTS carried (
    run_id TEXT NOT NULL, to_machine TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL,
    PRIMARY KEY (run_id, to_machine, path)
);
"""


class Kept(NamedTuple):
    """A parcel under way. `sources` are the sender's own paths of its files, in order."""

    state: str
    reason: str
    manifest: ParcelManifest | None
    sources: tuple[str, ...]


class CourierState:
    """One SQLite file. Each change is one statement, written before what rests on it is done."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=20)
        self._db.executescript(_TABLES)

    def close(self) -> None:
        self._db.close()

    def _run(self, statement: str, *values: object) -> list[tuple[str, ...]]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()

    def known(self, path: Path, stamp: str) -> Hashes | None:
        rows = self._run("SELECT sha256, pieces FROM hashes WHERE path = ? AND stamp = ?", str(path), stamp)
        return Hashes(rows[0][0], tuple(json.loads(rows[0][1]))) if rows else None

    def learn(self, path: Path, stamp: str, hashes: Hashes) -> None:
        self._run(
            "INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?)",
            str(path), stamp, hashes.sha256, json.dumps(hashes.pieces),
        )  # fmt: skip

    def parcel(self, id: str, side: str) -> Kept:
        rows = self._run("SELECT state, reason, manifest, sources FROM parcels WHERE id = ? AND side = ?", id, side)
        if not rows:
            return Kept("", "", None, ())
        state, reason, manifest, sources = rows[0]
        known = ParcelManifest.from_json(manifest) if manifest else None
        return Kept(state, reason, known, tuple(json.loads(sources)) if sources else ())

    def state(self, id: str, side: str) -> str:
        rows = self._run("SELECT state FROM parcels WHERE id = ? AND side = ?", id, side)
        return rows[0][0] if rows else ""

    def keep(self, id: str, side: str, manifest: ParcelManifest, sources: tuple[str, ...] = ()) -> None:
        self._run(
            "INSERT OR REPLACE INTO parcels (id, side, manifest, sources) VALUES (?, ?, ?, ?)",
            id, side, manifest.model_dump_json(), json.dumps(sources),
        )  # fmt: skip

    def note(self, id: str, side: str, state: str, reason: str = "") -> None:
        self._run(
            "INSERT INTO parcels (id, side, state, reason) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id, side) DO UPDATE SET state = excluded.state, reason = excluded.reason",
            id, side, state, reason,
        )  # fmt: skip

    def forget(self, id: str, side: str) -> None:
        self._run("DELETE FROM parcels WHERE id = ? AND side = ?", id, side)

    def carried(self, run_id: str, to_machine: str) -> dict[str, str]:
        rows = self._run("SELECT path, sha256 FROM carried WHERE run_id = ? AND to_machine = ?", run_id, to_machine)
        return {row[0]: row[1] for row in rows}

    def carry(self, manifest: ParcelManifest) -> None:
        parcel = manifest.parcel
        for file in parcel.files:
            self._run(
                "INSERT OR REPLACE INTO carried VALUES (?, ?, ?, ?)",
                parcel.run_id, parcel.to_machine, file.path, file.sha256,
            )  # fmt: skip
