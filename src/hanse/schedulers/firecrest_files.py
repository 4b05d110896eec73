"""A machine's files through FirecREST v2: logs and other small files, read and laid down in one request each.

It is no Host: FirecREST runs no commands, and it renames a file only by a batch job of its own, so that nothing can be
replaced whole. Files of a mebibyte and more are read from an offset on as text, which is what logs are.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hanse.contracts.errors import SchedulerUnknown
from hanse.schedulers.firecrest_call import Line, Refused
from hanse.schedulers.host import HostUnreachable

if TYPE_CHECKING:
    from firecrest.v2 import Firecrest

T = TypeVar("T")
DIRECTLY: Final = 2**20
"""Below this many bytes a file travels in the request itself; larger ones would be staged by a job."""
_WORDS: Final = {
    "no such file or directory": errno.ENOENT, "permission denied": errno.EACCES, "not permitted": errno.EPERM,
    "no space left": errno.ENOSPC, "quota exceeded": errno.EDQUOT, "not a directory": errno.ENOTDIR,
    "is a directory": errno.EISDIR, "file exists": errno.EEXIST, "read-only file system": errno.EROFS,
}  # fmt: skip
"""The system's own words, which FirecREST passes on, and what they mean."""


class FirecrestFiles:
    """Paths are absolute, on the machine. What its file system refuses raises OSError, all else HostUnreachable."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._system = line.system

    def read(self, path: PurePath, offset: int = 0, limit: int | None = None) -> bytes:
        size = self._size(path)
        if offset >= size:
            return b""
        if size >= DIRECTLY:
            return self._from(path, offset)[:limit]
        with tempfile.TemporaryDirectory() as folder:
            aside = Path(folder) / "file"
            self._ask(path, lambda c: c.download(self._system, str(path), aside))
            return aside.read_bytes()[offset : None if limit is None else offset + limit]

    def tails(self, wanted: Mapping[PurePath, int], limit: int) -> dict[PurePath, bytes | None]:
        """From each path at most `limit` bytes from its offset on; None for what cannot be read."""
        found: dict[PurePath, bytes | None] = {}
        for path, offset in wanted.items():
            try:
                found[path] = self.read(path, offset, limit)
            except OSError:
                found[path] = None
        return found

    def size(self, path: PurePath) -> int | None:
        """None: not there."""
        try:
            return self._size(path)
        except FileNotFoundError:
            return None

    def list(self, path: PurePath) -> tuple[str, ...]:
        """The names in a folder, sorted."""
        found: list[dict[str, Any]] = self._ask(path, lambda c: c.list_files(self._system, str(path), show_hidden=True))
        return tuple(sorted(str(one["name"]) for one in found or []))

    def make_dirs(self, path: PurePath) -> None:
        self._ask(path, lambda c: c.mkdir(self._system, str(path), create_parents=True))

    def put(self, local: Path, remote: PurePath) -> None:
        """Lay a small file down. A reader may see a part of it."""
        if local.stat().st_size >= DIRECTLY:
            raise OSError(errno.EFBIG, "FirecREST takes larger files only by a job; the courier carries them", local)
        self._ask(remote, lambda c: c.upload(self._system, local, str(remote.parent), remote.name))

    def _from(self, path: PurePath, offset: int) -> bytes:
        tail = self._ask(path, lambda c: c.tail(self._system, str(path), num_bytes=offset + 1, exclude_beginning=True))
        return str(tail["content"]).encode()

    def _size(self, path: PurePath) -> int:
        return int(self._ask(path, lambda c: c.stat(self._system, str(path), dereference=True)["size"]))

    def _ask(self, path: PurePath, ask: Callable[[Firecrest], T]) -> T:
        try:
            return self._line.call(ask, always=True)
        except Refused as error:
            said = error.message.lower()
            number = next((number for words, number in _WORDS.items() if words in said), None)
            if number is None:
                raise HostUnreachable(error.what, where=self._system) from error
            raise OSError(number, error.message, str(path)) from error
        except FileNotFoundError as error:  # pyfirecrest's own, for a download of what is not there
            raise FileNotFoundError(errno.ENOENT, str(error), str(path)) from error
        except SchedulerUnknown as error:
            raise HostUnreachable(error.what, where=self._system) from error
