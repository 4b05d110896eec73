"""Where pieces of parcels lie between two machines: by SHA-256, each project's apart, in a folder or any fsspec URL.

Kept apart by project, so that nobody learns by asking whether another project has a file. A piece is whole or absent.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Final, Protocol

from django.conf import settings

from hanse.contracts.errors import ServiceError, UsageError
from hanse.contracts.parcel import MAX_PIECE_BYTES
from hanse.contracts.units import format_bytes
from hanse.files.durable import write_atomically

KEEP_FREE_BYTES: Final = 256 * 1024 * 1024
"""Of the disk of the store's folder: the service's own records must never find it full."""


def store() -> PieceStore:
    """The store the settings name: PARCEL_STORE, else a folder of the service's."""
    url = settings.PARCEL_STORE
    if url and "://" in url and not url.startswith("file://"):
        return UrlStore(url)
    return FolderStore(Path(url.removeprefix("file://")) if url else Path(settings.SERVICE_FOLDER) / "parcels")


def read_piece(stream: IO[bytes], sha256: str) -> bytes:
    """At most one piece from the stream, if it is what its name says.

    Raises:
        UsageError: it is longer than a piece may be, or other bytes than its name says.
    """
    data = b""
    while len(data) <= MAX_PIECE_BYTES and (chunk := stream.read(MAX_PIECE_BYTES + 1 - len(data))):
        data += chunk
    if len(data) > MAX_PIECE_BYTES:
        raise UsageError(f"a piece is at most {format_bytes(MAX_PIECE_BYTES)}", where=sha256[:16], fix="cut it smaller")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UsageError("the piece is not the one its SHA-256 names", where=sha256[:16], fix="send it again")
    return data


class PieceStore(Protocol):
    """`scope` is the project's id."""

    def has(self, scope: str, sha256: str) -> bool: ...

    def put(self, scope: str, sha256: str, data: bytes) -> None:
        """Keep a piece; the same again is harmless. Raises ServiceError where there is no room."""
        ...

    def get(self, scope: str, sha256: str) -> bytes | None: ...

    def delete(self, scope: str, pieces: Iterable[str]) -> None: ...

    def require_room(self, size_bytes: int) -> None:
        """Raises ServiceError if so much does not fit."""
        ...


class FolderStore:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, scope: str, sha256: str) -> Path:
        return self.root / scope / sha256[:2] / sha256

    def has(self, scope: str, sha256: str) -> bool:
        return self._path(scope, sha256).is_file()

    def put(self, scope: str, sha256: str, data: bytes) -> None:
        path = self._path(scope, sha256)
        if path.is_file():
            return
        self.require_room(len(data))
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(path, data, private=True)
        except OSError as error:
            raise _no_room(str(error.strerror or error)) from error

    def get(self, scope: str, sha256: str) -> bytes | None:
        try:
            return self._path(scope, sha256).read_bytes()
        except FileNotFoundError:
            return None

    def delete(self, scope: str, pieces: Iterable[str]) -> None:
        for piece in pieces:
            self._path(scope, piece).unlink(missing_ok=True)

    def require_room(self, size_bytes: int) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(self.root).free - KEEP_FREE_BYTES
        if size_bytes > free:
            raise _no_room(f"{format_bytes(size_bytes)} are to come and {format_bytes(max(0, free))} are free")


class UrlStore:
    """Object stores write an object whole or not at all; so does what fsspec keeps in memory."""

    def __init__(self, url: str) -> None:
        import fsspec

        found: tuple[Any, str] = fsspec.core.url_to_fs(url)
        self.files, self.root = found[0], found[1].rstrip("/")

    def _path(self, scope: str, sha256: str) -> str:
        return f"{self.root}/{scope}/{sha256[:2]}/{sha256}"

    def has(self, scope: str, sha256: str) -> bool:
        return bool(self.files.exists(self._path(scope, sha256)))

    def put(self, scope: str, sha256: str, data: bytes) -> None:
        if self.has(scope, sha256):
            return
        path = self._path(scope, sha256)
        try:
            self.files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self.files.pipe_file(path, data)
        except OSError as error:
            raise _no_room(str(error)) from error

    def get(self, scope: str, sha256: str) -> bytes | None:
        try:
            data: bytes = self.files.cat_file(self._path(scope, sha256))
        except FileNotFoundError:
            return None
        return data

    def delete(self, scope: str, pieces: Iterable[str]) -> None:
        for piece in pieces:
            if self.has(scope, piece):
                self.files.rm_file(self._path(scope, piece))

    def require_room(self, size_bytes: int) -> None:
        """Object stores tell no free space: what does not fit is refused when it is written."""


def _no_room(why: str) -> ServiceError:
    return ServiceError(
        f"the service has no room for parcels: {why}", where="PARCEL_STORE",
        fix="make room there, or set HANSE_PARCEL_STORE to a larger place; it is tried again by itself",
    )  # fmt: skip
