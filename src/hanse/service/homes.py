"""Where the service keeps its state on disk, with what permissions, and where it must not."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

from hanse.contracts import jobenv
from hanse.contracts.errors import UsageError
from hanse.files.places import on_network


def home() -> Path:
    """HANSE_HOME, else the user's data folder (XDG Base Directory)."""
    if given := os.environ.get(jobenv.HOME):
        return Path(given)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "hanse"


def service_folder(home: Path) -> Path:
    """HANSE_HOME/service, made if need be, for this user alone."""
    folder = home / "service"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def refuse_network_file_system(path: Path, mounts: str | None = None) -> None:
    """Raises UsageError where a database file of SQLite would not be safe."""
    kind = on_network(path, mounts)
    if kind:
        raise UsageError(
            f"it is on a network file system ({kind}), where SQLite can lose data",
            where=str(path),
            fix="set HANSE_HOME to a folder on a local disk, or DATABASE_URL to a PostgreSQL database",
        )


def kept_secret(path: Path, make: Callable[[], bytes]) -> bytes:
    """The content of a file only this user can read; made once, even if two processes ask at the same time."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, make(), keep_existing=True)
    return path.read_bytes()


def write_private(path: Path, content: bytes, *, keep_existing: bool = False) -> None:
    """Write a file (0600) so that a reader sees all of it or the one before; with `keep_existing`, the first stays."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft = Path(file.name)
    try:
        if keep_existing:
            os.link(draft, path)
        else:
            draft.replace(path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def secret_key(folder: Path) -> str:
    """Django's key for signing sessions, from the environment or kept in the folder."""
    given = os.environ.get("HANSE_SECRET_KEY")
    return given or kept_secret(folder / "secret.key", lambda: secrets.token_urlsafe(48).encode()).decode()
