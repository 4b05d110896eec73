"""Which way data goes to a machine, and the bar that shows how far it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from hanse.cli import stage_files, stage_fsspec, stage_rsync
from hanse.cli.output import console
from hanse.cli.stage_files import Parcel, Say, Staged
from hanse.cli.stage_rsync import Door
from hanse.contracts.errors import UsageError

if TYPE_CHECKING:
    from hanse.contracts.machine import Machine

__all__ = ["Door", "stage"]


def stage(
    source: str, machine: Machine, folder: str, door: Door | None, *, max_mb_per_s: float | None = None
) -> Iterator[tuple[str, Staged]]:
    """Bring it there; each folder as it is done.

    Raises:
        UsageError: source, target and way do not fit together; nothing was sent.
    """
    if "://" in source:
        yield folder, _from_url(source, machine, folder, door)
        return
    parcels = _parcels(Path(source), folder)
    if "://" not in folder and door is None:
        stage_files.require_here(machine)
    for parcel in parcels:
        place = folder if "://" in folder else str(parcel.target)
        with _bar() as say:
            if "://" in folder or door is None:
                staged = stage_fsspec.stage(stage_fsspec.origins_of(parcel), place, say)
            else:
                staged = stage_rsync.stage(door, parcel, say, max_mb_per_s=max_mb_per_s)
        yield place, staged


def _from_url(source: str, machine: Machine, folder: str, door: Door | None) -> Staged:
    if door is not None:
        raise UsageError(
            "A URL is read where it is to lie, not sent from here.", where=source,
            fix=f"On the login node of {machine.name}: hanse stage {source} {machine.id}:{folder or '/…'}",
        )  # fmt: skip
    if not folder:
        raise _without_folder()
    if "://" not in folder:
        stage_files.require_here(machine)
    with _bar() as say:
        return stage_fsspec.stage(stage_fsspec.origins_at(source), folder, say)


def _parcels(path: Path, folder: str) -> tuple[Parcel, ...]:
    if path.suffix in (".yaml", ".yml") and path.is_file():
        from hanse.workloads.load import load_spec

        if "://" in folder:
            raise UsageError("The data of a train.yaml goes to a folder.", where=folder, fix="Stage it path by path.")
        return stage_files.of_spec(load_spec(path), folder, path)
    if not folder:
        raise _without_folder()
    return (Parcel(stage_files.listing(path), PurePosixPath(folder)),)


def _without_folder() -> UsageError:
    return UsageError(
        "It is not said in which folder.", where="MACHINE:DEST",
        fix="Only the data of a train.yaml has paths of its own. Write MACHINE:/the/folder.",
    )  # fmt: skip


@contextmanager
def _bar() -> Iterator[Say]:
    """On a terminal; into a pipe nothing but the answer is written."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield lambda *_: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=out, transient=True) as progress:
        task = progress.add_task("", total=None)

        def say(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total or None)

        yield say
