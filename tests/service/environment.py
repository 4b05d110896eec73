"""Django set up for tests, once a process: a private HANSE_HOME, and SQLite or a private PostgreSQL.

HANSE_TEST_DATABASE=postgres starts a PostgreSQL of this process's own, on a socket in a temporary folder.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

POSTGRES_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
_ready = False


def set_up() -> None:
    global _ready
    if _ready:
        return
    _ready = True
    home = Path(tempfile.mkdtemp(prefix="hanse-test-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    for name in [name for name in os.environ if name.startswith("HANSE_") and not name.startswith("HANSE_TEST_")]:
        del os.environ[name]
    os.environ |= {"DJANGO_SETTINGS_MODULE": "hanse.service.settings", "HANSE_HOME": str(home)}
    os.environ.pop("DATABASE_URL", None)
    if os.environ.get("HANSE_TEST_DATABASE") == "postgres":
        os.environ["DATABASE_URL"] = _postgres()
    import django

    django.setup()
    from django.conf import settings
    from django.db import connections

    settings.ALLOWED_HOSTS.append("testserver")
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # The live server's threads end with their test; connections kept for a next request would outlive the database.
    connections.databases["default"]["CONN_MAX_AGE"] = 0
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        # A file: threads of one test then wait for each other as processes do, which a database in memory cannot.
        connections.databases["default"]["TEST"]["NAME"] = str(home / "test.sqlite3")


def _postgres() -> str:
    if not POSTGRES_BINARIES:
        if os.environ.get("CI"):
            raise RuntimeError("PostgreSQL is not installed; install postgresql (CI must run these tests)")
        pytest.exit("skipped: PostgreSQL is not installed (apt-get install postgresql)", returncode=0)
    folder = Path(tempfile.mkdtemp(prefix="hanse-pg-"))
    data, control = folder / "data", POSTGRES_BINARIES[-1]
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    _as_postgres([control / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8"])
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c max_connections=60"
    _as_postgres([control / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", options, "start"])

    def stop() -> None:
        _as_postgres([control / "pg_ctl", "-D", data, "-m", "immediate", "stop"], check=False)
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    return f"postgres://postgres@/postgres?host={folder}"


def _as_postgres(command: list[object], *, check: bool = True) -> None:
    """PostgreSQL refuses to run as root."""
    words = [str(word) for word in command]
    if os.geteuid() == 0:
        words = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *words]
    done = subprocess.run(words, cwd="/", capture_output=not check or "start" not in words, text=True, timeout=120)
    if check and done.returncode:
        raise RuntimeError(f"{words} failed: {done.stderr}")
