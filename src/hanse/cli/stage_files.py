"""What is to be staged: the files below a path, a pattern or what a train.yaml names, each with where it goes.

Links are followed: what a job would read here lies there as a file of its own. Names that two tools would read
differently (with a line break) are refused.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from hanse.contracts.errors import UsageError

if TYPE_CHECKING:
    from hanse.contracts.machine import Machine
    from hanse.contracts.spec import TrainSpec

STAGING = ".hanse-stage"
"""Beside what is in place: files that are under way. They come out of it whole and verified, or not at all."""


Say = Callable[[str, int, int], None]
"""What is being done, how many bytes of it are done, and of how many (0: not known)."""


class Item(NamedTuple):
    path: str
    """Relative to the source and to the target, with '/'."""
    size_bytes: int


class Source(NamedTuple):
    root: Path
    items: tuple[Item, ...]

    @property
    def size_bytes(self) -> int:
        return sum(item.size_bytes for item in self.items)


class Parcel(NamedTuple):
    """Files of this machine, and the folder in which they are to lie."""

    source: Source
    target: PurePosixPath


class Staged(NamedTuple):
    """What became of it, in bytes of files: `sent_bytes` travelled this time, the rest was there already."""

    files: int
    size_bytes: int
    sent_bytes: int


def target_of(text: str) -> tuple[str, str]:
    """Machine and folder out of MACHINE:DEST; the folder may be empty.

    Raises:
        UsageError: it is not of that form.
    """
    machine, colon, folder = text.partition(":")
    if not colon or not machine:
        raise UsageError(
            f"{text!r} does not say where to.", where="MACHINE:DEST",
            fix="Write machine and folder, for instance leonardo-booster:/leonardo_work/EUHPC_A01/data",
        )  # fmt: skip
    if folder and "://" not in folder and (not folder.startswith("/") or ".." in PurePosixPath(folder).parts):
        raise UsageError(
            f"{folder!r} is no absolute path.", where="MACHINE:DEST",
            fix="Give the folder from / on, or a URL such as s3://bucket/data.",
        )  # fmt: skip
    return machine, folder


def listing(path: Path) -> Source:
    """A file, or all files below a folder.

    Raises:
        UsageError: there is none, or one cannot be staged.
    """
    if path.is_file():
        return _source(path.parent, [path])
    if not path.is_dir():
        raise UsageError("There is no such file or folder.", where=str(path), fix="Name what is to be staged.")
    return _source(path, _below(path, frozenset()))


def matching(pattern: str) -> Source:
    """What a dataset's `source` names: a file, a folder, or a pattern such as texts/**/*.txt."""
    if not glob.has_magic(pattern) or Path(pattern).exists():
        return listing(Path(pattern))
    fixed: list[str] = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    found = sorted(Path(one) for one in glob.glob(pattern, recursive=True))  # noqa: PTH207 - all may be a pattern
    return _source(Path(*fixed), [one for one in found if one.is_file()])


def of_spec(spec: TrainSpec, folder: str, where: Path) -> tuple[Parcel, ...]:
    """Every dataset and tokenizer a train.yaml names, at its own path there, or each below `folder`.

    Raises:
        UsageError: it names none that would have to be sent.
    """
    from hanse.workloads.load import STDLIB

    named = [(dataset.name, dataset.source) for dataset in spec.data if dataset.source != STDLIB]
    if spec.tokenizer.path is not None:
        named.append(("tokenizer", spec.tokenizer.path))
    if not named:
        raise UsageError("It names no data that lies on this machine.", where=str(where), fix="Nothing has to be sent.")
    parcels = []
    for name, pattern in named:
        source = matching(pattern)
        target = PurePosixPath(folder) / name if folder else PurePosixPath(source.root.absolute().as_posix())
        parcels.append(Parcel(source, target))
    return tuple(parcels)


def require_here(machine: Machine) -> None:
    """Nothing if this is where the machine's users log in: what is staged without SSH is staged right here.

    Raises:
        UsageError: it is not.
    """
    if machine.scheduler.kind == "slurm" and shutil.which("sbatch") is None:
        raise UsageError(
            f"This is no login node of {machine.name}: Slurm's commands are not here.", where=machine.id,
            fix="Say how to get there, with what you type after ssh: --host me@login.example",
        )  # fmt: skip


def _source(root: Path, paths: Iterable[Path]) -> Source:
    items = []
    for path in paths:
        name = path.relative_to(root).as_posix()
        if "\n" in name:
            raise UsageError("A file's name holds a line break.", where=repr(str(path)), fix="Give it another name.")
        if not os.access(path, os.R_OK):
            raise UsageError("This file cannot be read.", where=str(path), fix="Check its permissions.")
        items.append(Item(name, path.stat().st_size))
    if not items:
        raise UsageError("There are no files in it.", where=str(root), fix="Name what is to be staged.")
    return Source(root, tuple(sorted(items)))


def _below(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:
        raise UsageError("A link leads back to a folder above it.", where=str(folder), fix="Stage without that link.")
    for path in sorted(folder.iterdir()):
        if path.name == STAGING:
            continue
        if path.is_dir():
            yield from _below(path, above | {real})
        elif path.is_file():
            yield path
        else:
            raise UsageError(
                "This is neither a file nor a folder, or a link that leads nowhere.", where=str(path),
                fix="Remove it, or stage a folder without it.",
            )  # fmt: skip
