"""The disk a courier reads from and writes to: this machine's own, or one behind a host (SSH) with POSIX tools.

Every write is whole or absent, so that a courier killed at any line finds either the old or the new.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from hanse.contracts.errors import SiteError
from hanse.contracts.parcel import MAX_PIECE_BYTES
from hanse.files.durable import sync_folder, write_atomically
from hanse.files.pieces import Hashes, hash_file, join
from hanse.schedulers.host import Host


class Found(NamedTuple):
    """A regular file below a folder; `stamp` changes when the file does."""

    path: str
    size_bytes: int
    stamp: str


class Ground(Protocol):
    def walk(self, root: Path) -> tuple[Found, ...]:
        """Every regular file below, by name; nothing where there is no folder."""

    def read(self, path: Path, offset: int, limit: int) -> bytes: ...

    def hashes(self, path: Path) -> Hashes: ...

    def write(self, path: Path, data: bytes) -> None:
        """Make the file and the folders above it."""

    def join(self, parts: Sequence[Path], target: Path) -> str:
        """Write the parts into `target`, one after another; the SHA-256 of it."""

    def move(self, source: Path, target: Path) -> None:
        """Give a file or folder another name on the same file system; a file there is replaced."""

    def exists(self, path: Path) -> bool: ...

    def remove(self, path: Path) -> None:
        """The file or folder with all in it; nothing if there is none."""

    def free_bytes(self, path: Path) -> int: ...


class LocalGround:
    """This machine's own disks."""

    def walk(self, root: Path) -> tuple[Found, ...]:
        found = []
        for here, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = Path(here) / name
                if path.is_symlink() or not path.is_file():
                    continue
                facts = path.stat()
                stamp = f"{facts.st_ino}:{facts.st_mtime_ns}:{facts.st_size}"
                found.append(Found(path.relative_to(root).as_posix(), facts.st_size, stamp))
        return tuple(sorted(found))

    def read(self, path: Path, offset: int, limit: int) -> bytes:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(limit)

    def hashes(self, path: Path) -> Hashes:
        return hash_file(path)

    def write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)

    def join(self, parts: Sequence[Path], target: Path) -> str:
        target.parent.mkdir(parents=True, exist_ok=True)
        return join(parts, target)

    def move(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        sync_folder(target.parent)

    def exists(self, path: Path) -> bool:
        return path.exists()

    def remove(self, path: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def free_bytes(self, path: Path) -> int:
        while not path.exists():
            path = path.parent
        return shutil.disk_usage(path).free


COMMAND_TIMEOUT_S = 60.0
HASH_TIMEOUT_S = 3600.0
"""For commands that read whole files: a terabyte at 300 MB/s."""

_JOIN = (
    'mkdir -p -- "$(dirname -- "$1")" && while IFS= read -r part; do cat -- "$part" || exit 1; done > "$1" && sync "$1"'
)
_MOVE = 'mkdir -p -- "$(dirname -- "$2")" && mv -fT -- "$1" "$2"'
_FREE = 'at="$1"; while [ ! -e "$at" ]; do at="$(dirname -- "$at")"; done; df -PB1 -- "$at" | tail -n 1'


class HostGround:
    """A machine reached through a host, with GNU coreutils and findutils, as every supercomputer's login node has."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def walk(self, root: Path) -> tuple[Found, ...]:
        script = '[ -d "$1" ] || exit 0; find "$1" -type f -printf "%P\\t%s\\t%i:%T@\\0"'
        rows = [row.split("\t") for row in self._sh(script, str(root)).split("\0") if row]
        return tuple(sorted(Found(path, int(size), f"{stamp}:{size}") for path, size, stamp in rows))

    def read(self, path: Path, offset: int, limit: int) -> bytes:
        return self._host.read(path, offset, limit)

    def hashes(self, path: Path) -> Hashes:
        cut = f'split -b {MAX_PIECE_BYTES} --filter=sha256sum -- "$1"'
        lines = self._sh(f'sha256sum < "$1" && {cut}', str(path), timeout_s=HASH_TIMEOUT_S).splitlines()
        whole, *pieces = (line.split()[0] for line in lines)
        return Hashes(whole, tuple(pieces))

    def write(self, path: Path, data: bytes) -> None:
        self._host.make_dirs(path.parent)
        self._host.write_atomically(path, data)

    def join(self, parts: Sequence[Path], target: Path) -> str:
        listed = "".join(f"{part}\n" for part in parts).encode()
        self._sh(_JOIN, str(target), input=listed, timeout_s=HASH_TIMEOUT_S)
        return self._sh('sha256sum < "$1"', str(target), timeout_s=HASH_TIMEOUT_S).split()[0]

    def move(self, source: Path, target: Path) -> None:
        self._sh(_MOVE, str(source), str(target))

    def exists(self, path: Path) -> bool:
        return self._sh('if [ -e "$1" ]; then echo yes; fi', str(path)) != ""

    def remove(self, path: Path) -> None:
        self._sh('rm -rf -- "$1"', str(path), timeout_s=HASH_TIMEOUT_S)

    def free_bytes(self, path: Path) -> int:
        return int(self._sh(_FREE, str(path)).split()[3])

    def _sh(self, script: str, *arguments: str, input: bytes = b"", timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        done = self._host.run(["sh", "-c", script, "sh", *arguments], input=input, timeout_s=timeout_s)
        if done.returncode:
            said = done.err.decode(errors="replace").strip().splitlines()
            raise SiteError(
                f"a command of the courier failed: {said[-1] if said else f'exit code {done.returncode}'}",
                where=arguments[0], fix="It is tried again.",
            )  # fmt: skip
        return done.out.decode(errors="surrogateescape")
