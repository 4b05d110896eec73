"""Where text comes from: Python's own standard library, a file, a folder, a pattern, or a URL that fsspec opens.

Documents come in an order that only their names decide (shuffled by hash), so that the held-out end of a dataset is
a fair draw and the same on every machine that has the same files.
"""

from __future__ import annotations

import glob
import hashlib
import io
import posixpath
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

from hanse.contracts.errors import TrainingError
from hanse.contracts.spec import DatasetSpec

STDLIB: Final = "python-stdlib"
STDLIB_LEFT_OUT: Final = frozenset(
    {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test", "idlelib", "lib2to3", "encodings",
     "pydoc_data"}
)  # fmt: skip
"""Not the standard library (installed packages), not typical of it (tests, the editor), or generated tables."""

PIECE_CHARACTERS: Final = 1 << 20


REMOTE: Final = "://"
"""What tells a URL from a path."""


class Document(NamedTuple):
    name: str
    """Relative to the source, with '/': the same on every machine."""
    path: Path
    url: str = ""
    """In place of the path: what fsspec opens."""
    version: str = ""
    """Of what stands behind the URL, as far as its store tells versions apart."""

    def open(self) -> IO[bytes]:
        if not self.url:
            return self.path.open("rb")
        import fsspec  # type: ignore[import-untyped]

        # Blocks are read as they are needed and forgotten: the text never lies on a disk here.
        return cast(IO[bytes], fsspec.open(self.url, "rb").open())

    def digest(self) -> str:
        """SHA-256 of a file's bytes; of something remote, which would be read twice for it, of its version."""
        if self.url:
            return hashlib.sha256(self.version.encode()).hexdigest()
        with self.open() as file:
            return hashlib.file_digest(cast(io.BufferedReader, file), "sha256").hexdigest()

    def pieces(self) -> Iterator[str]:
        """The text in pieces of about a million characters, cut after a line; what is not UTF-8 becomes U+FFFD."""
        with self.open() as raw, io.TextIOWrapper(raw, encoding="utf-8", errors="replace", newline="") as file:
            while text := file.read(PIECE_CHARACTERS):
                yield text + file.readline()


def documents(dataset: DatasetSpec, code: Path) -> tuple[Document, ...]:
    """The files of a dataset. `code` is the unpacked bundle, where a path not found elsewhere is looked for.

    Raises:
        TrainingError: nothing is there.
    """
    if REMOTE in dataset.source:
        return _shuffled(_remote(dataset))
    root, paths = _stdlib() if dataset.source == STDLIB else _files(dataset.source, code)
    if not paths:
        raise TrainingError(
            f"the dataset {dataset.name} has no files: nothing is found at {dataset.source}",
            fix="Check the path on this machine; a pattern looks like texts/**/*.txt.",
        )
    return _shuffled(Document(path.relative_to(root).as_posix(), path) for path in paths)


def _shuffled(found: Iterable[Document]) -> tuple[Document, ...]:
    return tuple(sorted(found, key=lambda each: (hashlib.sha256(each.name.encode()).digest(), each.name)))


def _remote(dataset: DatasetSpec) -> list[Document]:
    """What stands behind a URL: one object, all objects below it, or those of a pattern."""
    import fsspec

    try:
        store, path = fsspec.core.url_to_fs(dataset.source)
        is_pattern = glob.has_magic(path)
        names = store.glob(path) if is_pattern else store.find(path)
        found = [name for name in names if not is_pattern or store.isfile(name)]
        versions = {name: str(store.ukey(name)) for name in found}
    except (OSError, ImportError, ValueError) as error:  # each store has errors of its own below these
        raise TrainingError(
            f"the dataset {dataset.name} cannot be listed: {error}", where=dataset.source,
            fix="Check the URL, and that this machine reaches it; s3:// needs s3fs beside fsspec.",
        ) from error  # fmt: skip
    if not found:
        raise TrainingError(
            f"the dataset {dataset.name} has no files: nothing is found at {dataset.source}",
            fix="Check the URL; a pattern looks like s3://bucket/texts/**/*.txt.",
        )
    root = posixpath.commonpath([posixpath.dirname(name) for name in found])
    return [
        Document(posixpath.relpath(name, root), Path(name), store.unstrip_protocol(name), versions[name])
        for name in found
    ]


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
