"""Backup and restore of the whole service: its database, and the folder with its keys and code bundles.

The database goes first: files are only ever added, so all that it names is in the folder copied after it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from django.conf import settings
from django.db import connection

from hanse import __version__
from hanse.contracts.base import now
from hanse.contracts.errors import HanseError, UsageError

DATABASE, FILES, MANIFEST = "database", "service", "manifest.json"
_LEFT = ("hanse.sqlite3*", "endpoint.json", "ticked-at", "*.lock", "lock", "*.log", ".*")
"""Of this process and moment, or in the database's own copy."""


def backup(to: Path) -> Path:
    """Write a backup into `to`, a folder that is new; it holds keys, so only this user can read it.

    Raises:
        UsageError: the folder exists.
        HanseError: the database's own tool failed.
    """
    if to.exists():
        raise UsageError("there is something already", where=str(to), fix="name a folder that does not exist")
    draft = to.with_name(f".{to.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700, parents=True)
    _save_database(draft / DATABASE)
    shutil.copytree(settings.SERVICE_FOLDER, draft / FILES, ignore=shutil.ignore_patterns(*_LEFT))
    sums = {str(path.relative_to(draft)): _sha256(path) for path in sorted(draft.rglob("*")) if path.is_file()}
    told = {"hanse": __version__, "database": connection.vendor, "made_at": now().isoformat(), "sha256": sums}
    (draft / MANIFEST).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    draft.rename(to)
    return to


def restore(source: Path) -> None:
    """Put a backup into the database and the folder of these settings, both of which must be new.

    Raises:
        UsageError: no whole backup, of another kind of database, or there is a service here already.
    """
    if not (source / MANIFEST).is_file():
        raise UsageError("this is no backup", where=str(source), fix=f"name a folder that holds {MANIFEST}")
    told = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
    if told["database"] != connection.vendor:
        raise UsageError(
            f"it was made from {told['database']}, and DATABASE_URL names {connection.vendor}", where=str(source),
            fix="restore into the kind of database it came from",
        )  # fmt: skip
    for name, sha256 in told["sha256"].items():
        if not (source / name).is_file() or _sha256(source / name) != sha256:
            raise UsageError(f"{name} is damaged or missing", where=str(source), fix="take another backup")
    if connection.introspection.table_names():
        raise UsageError("the database is not empty", where="DATABASE_URL", fix="create a new one and name it")
    connection.close()
    shutil.copytree(source / FILES, settings.SERVICE_FOLDER, dirs_exist_ok=True)
    _load_database(source / DATABASE)


def _save_database(to: Path) -> None:
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        with closing(sqlite3.connect(to)) as copy:
            connection.connection.backup(copy)
    else:
        _postgres("pg_dump", "--format=custom", "--no-owner", f"--file={to}")
    to.chmod(0o600)


def _load_database(source: Path) -> None:
    if connection.vendor == "sqlite":
        path = Path(str(connection.settings_dict["NAME"]))
        shutil.copyfile(source, path)
        path.chmod(0o600)
    else:
        name = str(connection.settings_dict["NAME"])
        _postgres(
            "pg_restore", "--no-owner", "--exit-on-error", "--single-transaction", f"--dbname={name}", str(source)
        )


def _postgres(tool: str, *arguments: str) -> None:
    """PostgreSQL's own tool on the database of the settings, all of which goes by libpq's environment."""
    given = connection.get_connection_params()
    names = {"dbname": "PGDATABASE", "user": "PGUSER", "password": "PGPASSWORD", "host": "PGHOST", "port": "PGPORT",  # nosec
             "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT"}  # fmt: skip
    environment = os.environ | {name: str(given[key]) for key, name in names.items() if given.get(key)}
    done = subprocess.run([tool, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HanseError(f"{tool} failed: {done.stderr.strip()[-500:]}", where="DATABASE_URL")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
