"""Where text comes from: Python's own standard library, a file, a folder or a pattern.

Documents come in an order that only their names decide (shuffled by hash), so that the held-out end of a dataset is
a fair draw and the same on every machine that has the same files.
"""

from __future__ import annotations

import glob
import hashlib
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from hanse.contracts.errors import TrainingError
from hanse.contracts.spec import DatasetSpec

STDLIB: Final = "python-stdlib"
STDLIB_LEFT_OUT: Final = frozenset(
    {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test", "idlelib", "lib2to3", "encodings",
     "pydoc_data"}
)  # fmt: skip
"""Not the standard library (installed packages), not typical of it (tests, the editor), or generated tables."""

PIECE_CHARACTERS: Final = 1 << 20


class Document(NamedTuple):
    name: str
    """Relative to the source, with '/': the same on every machine."""
    path: Path


def documents(dataset: DatasetSpec, code: Path) -> tuple[Document, ...]:
    """The files of a dataset. `code` is the unpacked bundle, where a path not found elsewhere is looked for.

    Raises:
        TrainingError: nothing is there.
    """
    root, paths = _stdlib() if dataset.source == STDLIB else _files(dataset.source, code)
    if not paths:
        raise TrainingError(
            f"the dataset {dataset.name} has no files: nothing is found at {dataset.source}",
            fix="Check the path on this machine; a pattern looks like texts/**/*.txt.",
        )
    named = (Document(path.relative_to(root).as_posix(), path) for path in paths)
    return tuple(sorted(named, key=lambda each: (hashlib.sha256(each.name.encode()).digest(), each.name)))


def pieces(path: Path) -> Iterator[str]:
    """A file's text in pieces of about a million characters, cut after a line; what is not UTF-8 becomes U+FFFD."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        while text := file.read(PIECE_CHARACTERS):
            yield text + file.readline()


def _stdlib() -> tuple[Path, list[Path]]:
    root = Path(sysconfig.get_path("stdlib"))
    found = (path for path in root.rglob("*.py") if path.is_file())
    return root, [path for path in found if not STDLIB_LEFT_OUT & set(path.relative_to(root).parts)]


def _files(source: str, code: Path) -> tuple[Path, list[Path]]:
    for candidate in dict.fromkeys((Path(source), code / _below(source, code.parent))):
        if candidate.is_file():
            return candidate.parent, [candidate]
        if candidate.is_dir():
            return candidate, _visible(candidate, candidate.rglob("*"))
        if matches := glob.glob(str(candidate), recursive=True):  # noqa: PTH207 - the whole path may be a pattern
            root = Path(*_fixed_parts(candidate))
            return root, _visible(root, map(Path, matches))
    return Path(source), []


def _below(source: str, root: Path) -> Path:
    path = Path(source)
    return path.relative_to(root) if path.is_relative_to(root) else Path(path.name)


def _fixed_parts(pattern: Path) -> Iterator[str]:
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _visible(root: Path, paths: Iterator[Path]) -> list[Path]:
    return [
        path for path in paths
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    ]  # fmt: skip
