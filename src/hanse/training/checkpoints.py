"""Checkpoints that are whole or not there: Distributed Checkpoint into step-N.tmp, checksums, COMPLETE, rename.

What is saved knows no layout (names and global shapes), so a run may resume as dp, fsdp or both on any number of
ranks. On resume every file is checked; a damaged checkpoint is said loudly, set aside, and the one before is used.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path
from typing import Any, Final

import torch
import torch.distributed as dist
from pydantic import ValidationError
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from hanse.contracts.base import Contract, Positive, Sha256
from hanse.contracts.errors import TrainingError
from hanse.contracts.units import format_bytes, format_seconds
from hanse.files.durable import move_folder, write_atomically
from hanse.training import ledger
from hanse.training.data.samples import Samples
from hanse.training.job import Job
from hanse.training.parallelize import Parallel
from hanse.training.position import Position
from hanse.training.say import say

COMPLETE: Final = "COMPLETE"


class Complete(Contract):
    """The file that makes a checkpoint one."""

    position: Position
    attempt: Positive
    layout: str
    files: dict[str, Sha256]


class Checkpoints:
    """Saving and finding the checkpoints of one run. Every method is called by all ranks together."""

    def __init__(self, job: Job, parallel: Parallel, optimizer: torch.optim.Optimizer, samples: Samples) -> None:
        self.job, self.parallel, self.optimizer, self.samples = job, parallel, optimizer, samples
        self.root = job.run.checkpoints
        self.rank, self.world = dist.get_rank(), dist.get_world_size()

    def save(self, position: Position) -> float:
        """Write the state after `position.step` steps; return the seconds it took."""
        began = time.perf_counter()
        folder = self.root / f"step-{position.step:08d}"
        beside = folder.with_name(f"{folder.name}.tmp")
        if self.rank == 0:
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
        dist.barrier()
        save(self.parallel.state(self.optimizer), storage_writer=FileSystemWriter(beside, sync_files=True))
        files = self._checksums(beside)
        if self.rank == 0:
            # The ledger first: a run that dies in between cuts it back to the checkpoint it resumes from.
            ledger.extend(self.job, self.samples, position.step)
            complete = Complete(
                position=position, attempt=self.job.attempt_number, layout=self.parallel.layout.describe(), files=files
            )
            write_atomically(beside / COMPLETE, complete.to_json())
            shutil.rmtree(folder, ignore_errors=True)
            move_folder(beside, folder)
            self._prune()
            size = sum(each.stat().st_size for each in folder.iterdir())
            took = format_seconds(time.perf_counter() - began)
            say(f"checkpoint at step {position.step}: {format_bytes(size)} in {took}")
        return time.perf_counter() - began

    def resume(self) -> Position:
        """Load the newest checkpoint that is whole; where there is none, the run begins at step 0."""
        position = Position()
        for folder in self._candidates():
            complete = self._read(folder)
            fault = self._fault(folder, complete)
            if fault or complete is None:
                self._set_aside(folder, fault)
                continue
            position = complete.position
            self._load(folder)
            if self.rank == 0:
                say(f"resumed at step {position.step} from {folder.name} (attempt {complete.attempt})")
            break
        if self.rank == 0:
            ledger.cut_back(self.job.run.ledger, position.step)
        dist.barrier()
        return position

    def _load(self, folder: Path) -> None:
        state = self.parallel.state(self.optimizer)
        try:
            load(state, storage_reader=FileSystemReader(folder))
        except CheckpointException as error:
            raise TrainingError(
                f"it is whole but does not fit this model: {error}", where=str(folder),
                fix="The model changed since it was written: launch a new run.",
            ) from error  # fmt: skip

    def _checksums(self, folder: Path) -> dict[str, str]:
        """Of all files of the checkpoint; each rank reads those that it wrote."""
        mine = {path.name: _sha256(path) for path in folder.glob(f"__{self.rank}_*")}
        everyone: list[dict[str, str] | None] = [None] * self.world
        dist.all_gather_object(everyone, mine)
        files = {name: digest for each in everyone if each for name, digest in each.items()}
        # Rank 0 writes the metadata last; the gather above is behind it.
        return files | {path.name: _sha256(path) for path in folder.glob(".metadata") if self.rank == 0}

    def _candidates(self) -> list[Path]:
        """Newest first; the same list on every rank."""
        names: list[Any] = [None]
        if self.rank == 0:
            self.root.mkdir(parents=True, exist_ok=True)
            found = sorted((path.name for path in self.root.glob("step-" + "[0-9]" * 8)), reverse=True)
            names = [found]
        dist.broadcast_object_list(names, src=0)
        return [self.root / name for name in names[0]]

    def _read(self, folder: Path) -> Complete | None:
        try:
            return Complete.from_json((folder / COMPLETE).read_bytes())
        except (OSError, ValidationError):
            return None

    def _fault(self, folder: Path, complete: Complete | None) -> str:
        """What is wrong with it, the same answer on every rank; files are shared out for checking."""
        if complete is None:
            mine = f"{COMPLETE} is missing or unreadable"
        else:
            names = sorted(complete.files)[self.rank :: self.world]
            mine = next((f"{n} is damaged" for n in names if _sha256(folder / n) != complete.files[n]), "")
        faults: list[str | None] = [None] * self.world
        dist.all_gather_object(faults, mine)
        return next((each for each in faults if each), "")

    def _set_aside(self, folder: Path, fault: str) -> None:
        if self.rank == 0:
            say(f"DAMAGED CHECKPOINT {folder.name}: {fault}. It is set aside; the one before is used.")
            aside = folder.with_name(f"{folder.name}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)

    def _prune(self) -> None:
        """Keep the newest; what was set aside goes once something newer is whole."""
        whole = sorted(self.root.glob("step-" + "[0-9]" * 8))
        for folder in [*whole[: -self.job.spec.checkpoint.keep], *self.root.glob("*.damaged")]:
            shutil.rmtree(folder, ignore_errors=True)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "missing"
