"""The code bundle of an `entry:` or `command:` run: the folder of train.yaml, gzipped; same files, same bytes.

Left out are version control, caches, environments, single files over the limit, and data: that of a dataset goes
along only if it is small and holds nothing personal. What was left out for its size is told, never dropped in silence.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hanse.contracts.errors import UsageError
from hanse.contracts.spec import TrainSpec
from hanse.contracts.units import format_bytes

MAX_BUNDLE_BYTES = 20_000_000
MAX_FILE_BYTES = 5_000_000
MAX_FILES = 5_000
SKIPPED_FOLDERS = frozenset(
    {
        ".git", ".hg", ".svn", "__pycache__", ".venv", "venv", "env", "node_modules", ".tox", ".nox", ".idea",
        ".vscode",        ".mypy_cache", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", "wandb", ".eggs",
    }
)  # fmt: skip
SKIPPED_ENDINGS = (".pyc", ".pyo", ".swp", "~", ".DS_Store")


class Bundle(NamedTuple):
    data: bytes
    sha256: str
    files: tuple[str, ...]
    too_big: tuple[tuple[str, int], ...]
    """Files left out because of their size, with their bytes."""
    data_left: tuple[tuple[str, int], ...] = ()
    """Datasets beside the spec that were left out, with their bytes; the machine must have them where they are here."""


def needs_bundle(spec: TrainSpec) -> bool:
    return spec.command is not None or (spec.model is not None and spec.model.entry is not None)


def _files_of(source: str, folder: Path) -> frozenset[Path]:
    """The files a dataset's source names inside `folder`."""
    path = Path(source)
    if path.is_absolute():
        if not path.is_relative_to(folder):
            return frozenset()
        path = path.relative_to(folder)
    named = list(folder.glob(str(path)))
    inside = [each for one in named if one.is_dir() for each in one.rglob("*")]
    return frozenset(each.resolve() for each in (*named, *inside) if each.is_file())


def _data_to_leave(spec: TrainSpec, folder: Path) -> dict[str, frozenset[Path]]:
    """The datasets whose files do not travel with the code."""
    left = {}
    for dataset in spec.data:
        found = _files_of(dataset.source, folder)
        if dataset.personal_data or sum(path.stat().st_size for path in found) > MAX_FILE_BYTES:
            left[dataset.name] = found
    return left


def _walk(folder: Path, data: frozenset[Path]) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
        for name in sorted(files):
            path = Path(here) / name
            if path.is_file() and not name.endswith(SKIPPED_ENDINGS) and path.resolve() not in data:
                yield path


def _archive(folder: Path, names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in names:
            path = folder / name
            content = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def make(spec: TrainSpec, spec_path: Path) -> Bundle:
    """Pack the folder of `spec_path`.

    Raises:
        UsageError: too many files, or more than 20 MB packed; the biggest are named.
    """
    folder = spec_path.resolve().parent
    sizes: dict[str, int] = {}
    too_big: list[tuple[str, int]] = []
    left = _data_to_leave(spec, folder)
    for path in _walk(folder, frozenset().union(*left.values())):
        name, size = str(path.relative_to(folder)), path.stat().st_size
        if size > MAX_FILE_BYTES:
            too_big.append((name, size))
            continue
        sizes[name] = size
        if len(sizes) > MAX_FILES:
            raise UsageError(
                f"More than {MAX_FILES:,} files lie beside {spec_path.name}; they would all be sent as its code.",
                where=str(folder),
                fix=f"Put {spec_path.name} and the code it needs into a folder of their own.",
            )
    names = sorted(sizes)
    data = _archive(folder, names)
    if len(data) > MAX_BUNDLE_BYTES:
        biggest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:5]
        raise UsageError(
            f"The code beside {spec_path.name} packs to {format_bytes(len(data))}; "
            f"{format_bytes(MAX_BUNDLE_BYTES)} is the limit.",
            where=str(folder),
            fix="Move data out of the folder, or name it under data:. The biggest files: "
            + ", ".join(f"{name} ({format_bytes(sizes[name])})" for name in biggest)
            + ".",
        )
    data_left = tuple((name, sum(path.stat().st_size for path in paths)) for name, paths in left.items() if paths)
    return Bundle(data, hashlib.sha256(data).hexdigest(), tuple(names), tuple(too_big), data_left)
