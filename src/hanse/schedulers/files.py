"""Files made once, and locks the kernel lets go.

A lock is `flock` on an open file: it belongs to the open description, so it may be handed to a child process, and it
ends with the last process that holds it, however that one died.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hanse.files.durable import sync_folder


def write_new(path: Path, text: str) -> None:
    """Create `path` exclusively with `text` in it, durably. Raises FileExistsError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.write(fd, text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_folder(path.parent)


def try_lock(path: Path) -> int | None:
    """The descriptor that now holds `path` exclusively, or None if somebody holds it. Close it to let go."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError:
        os.close(fd)
        raise
    return fd


def is_locked(path: Path) -> bool:
    """Whether some process holds `path`. Looking takes no exclusive lock, so that lookers do not disturb each other."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Hold `path` exclusively; waits for its turn. For critical sections of milliseconds."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
