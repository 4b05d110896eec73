"""A PostgreSQL of this process's own, on a socket in a temporary folder; it ends with the process."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def up() -> str:
    """Its DATABASE_URL. Without the package the tests are skipped, and with CI=true they fail."""
    if not BINARIES:
        if os.environ.get("CI"):
            raise RuntimeError("PostgreSQL is not installed; install postgresql (CI must run these tests)")
        pytest.exit("skipped: PostgreSQL is not installed (apt-get install postgresql)", returncode=0)
    folder = Path(tempfile.mkdtemp(prefix="hanse-pg-"))
    data, control = folder / "data", BINARIES[-1]
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
