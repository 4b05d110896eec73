"""Files to where no SSH is needed: this very machine, or an object store; from this machine or from any URL of fsspec.

A file for this machine grows in a folder beside the target and goes on where it was cut, as long as its origin says
that it is still the same. It is moved to its place when what was read back from the disk is what was received. In an
object store a file is whole or absent; a list beside the files says what was verified, and that is not sent again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from hanse.cli.stage_files import STAGING, Parcel, Say, Staged
from hanse.contracts.errors import SiteError, UsageError
from hanse.files.durable import sync_folder, write_atomically
from hanse.files.pieces import BLOCK_BYTES, hash_file

RECORD: Final = ".hanse-staged.json"
RECORD_EVERY: Final = 50
"""Files between two writings of the list."""


class Origin(NamedTuple):
    """A file to be read; `mark` changes when it does, and is empty where nothing tells that."""

    name: str
    size_bytes: int
    mark: str
    open: Callable[[], Any]


def origins_of(parcel: Parcel) -> tuple[Origin, ...]:
    """Of files of this machine."""
    found = []
    for item in parcel.source.items:
        path = parcel.source.root / item.path
        facts = path.stat()
        mark = f"{facts.st_size}:{facts.st_mtime_ns}"
        found.append(Origin(item.path, facts.st_size, mark, partial(path.open, "rb")))
    return tuple(found)


def origins_at(url: str) -> tuple[Origin, ...]:
    """Of a URL: the file itself, or all below it.

    Raises:
        UsageError: there is nothing, or no package here reads such URLs.
    """
    files, root = _file_system(url)
    try:
        found = files.find(root, detail=True)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"It cannot be read: {error}", where=url, fix="Check the URL and your rights to it."
        ) from error
    origins = []
    for path, facts in sorted(found.items()):
        if facts.get("size") is None:
            raise UsageError(
                "It does not tell how large it is.", where=url, fix="Download it first, then stage the file."
            )
        name = path.removeprefix(root).lstrip("/") or PurePosixPath(path).name
        if name == RECORD:
            continue
        origins.append(Origin(name, int(facts["size"]), _mark(facts), partial(files.open, path, "rb")))
    if not origins:
        raise UsageError("There are no files at it.", where=url, fix="Check the URL and your rights to it.")
    if wrong := next((each.name for each in origins if ".." in PurePosixPath(each.name).parts), None):
        raise UsageError(f"The name {wrong!r} leads out of the folder.", where=url, fix="Stage it file by file.")
    return tuple(origins)


def stage(origins: tuple[Origin, ...], target: str, say: Say) -> Staged:
    """Bring them to a folder of this machine, or to a URL.

    Raises:
        SiteError: one did not arrive as it is at its origin.
    """
    total, done, sent = sum(each.size_bytes for each in origins), 0, 0
    place = _Store(target) if "://" in target else _Folder(Path(target))
    try:
        for each in origins:
            sent += place.take(each, partial(_say_more, say, done, total))
            done += each.size_bytes
            say("copying", done, total)
    finally:
        place.close()
    return Staged(len(origins), total, sent)


def _say_more(say: Say, done: int, total: int, count: int) -> None:
    say("copying", done + count, total)


class _Record:
    """What was verified at a place: by name, what its origin said of itself and the SHA-256 of the content."""

    def __init__(self, text: str | bytes) -> None:
        self.rows: dict[str, list[str]] = {}
        with suppress(ValueError, AttributeError):
            self.rows = {str(name): [str(mark), str(sha)] for name, (mark, sha) in json.loads(text)["files"].items()}

    def sha256(self, origin: Origin) -> str | None:
        mark, sha256 = self.rows.get(origin.name, ("", ""))
        return sha256 if mark and mark == origin.mark else None

    def text(self) -> bytes:
        return json.dumps({"files": self.rows}, indent=1).encode()


class _Folder:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root, self.beside = root, root / STAGING
        self.beside.mkdir(parents=True, exist_ok=True)

    def take(self, origin: Origin, progress: Callable[[int], None]) -> int:
        """Bytes that were read from the origin."""
        final, part = self.root / origin.name, self.beside / origin.name
        if final.is_file() and final.stat().st_size == origin.size_bytes and self._is_it(origin, final):
            return 0
        part.parent.mkdir(parents=True, exist_ok=True)
        word = part.with_name(f"{part.name}.origin")
        if not (origin.mark and word.is_file() and word.read_text(encoding="utf-8") == origin.mark):
            part.unlink(missing_ok=True)
            write_atomically(word, origin.mark)
        whole = hashlib.sha256()
        with part.open("ab+") as file:
            file.seek(0)
            while block := file.read(BLOCK_BYTES):
                whole.update(block)
            begin = file.tell()
            sent = _copy(origin, begin, file.write, whole, progress)
            file.flush()
            os.fsync(file.fileno())
        if part.stat().st_size != origin.size_bytes or hash_file(part).sha256 != whole.hexdigest():
            part.unlink()
            raise _differs(origin, str(self.root))
        final.parent.mkdir(parents=True, exist_ok=True)
        part.replace(final)
        sync_folder(final.parent)
        self._remember(origin, whole.hexdigest())
        word.unlink()
        return sent

    def close(self) -> None:
        for folder, _, _ in os.walk(self.beside, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()

    def _is_it(self, origin: Origin, final: Path) -> bool:
        """By the list and the content here: to read the origin for it would be to fetch it again."""
        known = self._record().sha256(origin)
        return known is not None and hash_file(final).sha256 == known

    def _record(self) -> _Record:
        path = self.root / RECORD
        return _Record(path.read_bytes() if path.is_file() else b"")

    def _remember(self, origin: Origin, sha256: str) -> None:
        record = self._record()
        record.rows[origin.name] = [origin.mark, sha256]
        write_atomically(self.root / RECORD, record.text())


class _Store:
    """A folder of an object store."""

    def __init__(self, url: str) -> None:
        self.files, self.root = _file_system(url)
        self.url, self.new = url, 0
        path = f"{self.root}/{RECORD}"
        self.record = _Record(self.files.cat_file(path) if self.files.exists(path) else b"")

    def take(self, origin: Origin, progress: Callable[[int], None]) -> int:
        path = f"{self.root}/{origin.name}"
        if self.record.sha256(origin) and self.files.exists(path) and self.files.size(path) == origin.size_bytes:
            return 0
        whole = hashlib.sha256()
        self.files.makedirs(path.rpartition("/")[0], exist_ok=True)
        with self.files.open(path, "wb") as file:
            sent = _copy(origin, 0, file.write, whole, progress)
        back = hashlib.sha256()
        with self.files.open(path, "rb") as file:
            while block := file.read(BLOCK_BYTES):
                back.update(block)
        if sent != origin.size_bytes or back.digest() != whole.digest():
            self.files.rm(path)
            raise _differs(origin, self.url)
        self.record.rows[origin.name] = [origin.mark, whole.hexdigest()]
        self.new += 1
        if self.new % RECORD_EVERY == 0:
            self._write()
        return sent

    def close(self) -> None:
        if self.new:
            self._write()

    def _write(self) -> None:
        self.files.pipe_file(f"{self.root}/{RECORD}", self.record.text())


def _copy(
    origin: Origin, begin: int, write: Callable[[bytes], object], whole: Any, progress: Callable[[int], None]
) -> int:
    sent = 0
    with origin.open() as source:
        source.seek(begin)
        while block := source.read(BLOCK_BYTES):
            write(block)
            whole.update(block)
            sent += len(block)
            progress(begin + sent)
    return sent


def _differs(origin: Origin, where: str) -> SiteError:
    return SiteError(
        f"{origin.name} did not arrive as it is at its origin; it is not put in place", where=where,
        fix="Run the same command again; if it stays so, its origin changes or the disk is damaged.",
    )  # fmt: skip


def _mark(facts: dict[str, Any]) -> str:
    for key in ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "created"):
        if facts.get(key):
            return f"{facts['size']} {key}={facts[key]}"
    return ""


def _file_system(url: str) -> tuple[Any, str]:
    import fsspec  # type: ignore[import-untyped]

    try:
        files, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"No package here reads such a URL: {error}", where=url, fix="Install the one it names, with pip."
        ) from error
    return files, str(root).rstrip("/")
