"""Files that are either whole or not there, also after a power cut: write beside, fsync, rename, fsync the folder."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, content: str | bytes, *, private: bool = False) -> None:
    """Replace `path` by `content`; a reader sees the old or the new, never a part. `private`: for its owner alone."""
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if private else 0o666)
        with os.fdopen(handle, "wb") as file:
            if private:  # a draft that somebody left behind keeps the mode it was made with
                os.fchmod(handle, 0o600)
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:  # on a full disk a draft would only be in the way
        with suppress(OSError):
            beside.unlink()
        raise
    sync_folder(path.parent)


def move_folder(source: Path, target: Path) -> None:
    """Give a finished folder its name. Raises OSError if `target` exists and is not empty."""
    sync_folder(source)
    source.rename(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make new and renamed entries of `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
