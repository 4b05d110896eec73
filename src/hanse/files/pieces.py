"""A file as pieces of fixed size, each with its hash, and whole again: what travels in any order, twice or in parts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from hanse.contracts.parcel import MAX_PIECE_BYTES

BLOCK_BYTES = 1 << 20


class Hashes(NamedTuple):
    """Of a whole file and of its pieces in order."""

    sha256: str
    pieces: tuple[str, ...]


def cut(file: IO[bytes], piece_bytes: int = MAX_PIECE_BYTES) -> Iterator[bytes]:
    """The content in pieces; all but the last are full, and nothing is no piece."""
    while piece := file.read(piece_bytes):
        yield piece


def hash_file(path: Path, piece_bytes: int = MAX_PIECE_BYTES) -> Hashes:
    whole, pieces = hashlib.sha256(), []
    with path.open("rb") as file:
        for piece in cut(file, piece_bytes):
            whole.update(piece)
            pieces.append(hashlib.sha256(piece).hexdigest())
    return Hashes(whole.hexdigest(), tuple(pieces))


def join(parts: Iterable[Path], target: Path) -> str:
    """Write the pieces one after another into `target`, durably; the answer is the SHA-256 of what was written."""
    whole = hashlib.sha256()
    with target.open("wb") as file:
        for part in parts:
            with part.open("rb") as piece:
                while block := piece.read(BLOCK_BYTES):
                    whole.update(block)
                    file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return whole.hexdigest()
