"""Checkpoints that are whole or not there: Distributed Checkpoint into step-N.tmp, checksums, COMPLETE, rename.

What is saved knows no layout (names and global shapes), so a run may resume in any other layout on any number of
ranks. Training stands still only while the state is copied; a thread of each rank writes the copy and talks to the
others over a group of its own. On resume every file is checked; a damaged checkpoint is said loudly, set aside, and
the one before is used.
"""

from __future__ import annotations

import hashlib
import shutil
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from hanse.contracts.errors import TrainingError
from hanse.contracts.units import format_bytes, format_seconds
from hanse.files.durable import move_folder, write_atomically
from hanse.training import ledger
from hanse.training.complete import COMPLETE, NAMES, Complete, model_identity, of_another_model, read, whole
from hanse.training.data.samples import Samples
from hanse.training.job import Job
from hanse.training.legs import Alone
from hanse.training.outer import state as outer_state
from hanse.training.parallelize import Parallel
from hanse.training.position import Position
from hanse.training.say import say
from hanse.training.watch import BEYOND_HUNG_S

Also = Callable[[Path], None] | None
"""Writes more into a checkpoint's folder, on rank 0."""


class Checkpoints:
    """Saving and finding the checkpoints of one run. Every method is called by all ranks together."""

    def __init__(self, job: Job, parallel: Parallel, optimizer: torch.optim.Optimizer, samples: Samples | None) -> None:
        """`samples` None: the data are the user's own, and no ledger is kept."""
        self.job, self.parallel, self.optimizer, self.samples = job, parallel, optimizer, samples
        self.root = job.run.checkpoints
        self.legs = Alone()
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        # Making a group waits half an hour for a rank that died before it came here; a barrier notices it at once.
        dist.barrier()
        # The writers' own: what they tell one another must not get between the collectives of a step.
        limit = timedelta(seconds=job.spec.faults.hung_s + BEYOND_HUNG_S)
        self._group = dist.new_group(backend="gloo", timeout=limit)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: tuple[Position, Future[str]] | None = None

    def save(self, position: Position, *, wait: bool = True) -> float:
        """Write the state after `position.step` steps; return the seconds that training stood still.

        Without `wait` the writing goes on behind the next steps. Where it then fails (a full disk), that is said and
        the run lives on with the checkpoint before; a failure while one waits ends it.

        Raises:
            TrainingError: it was waited for and could not be written.
        """
        began = time.perf_counter()
        self.settle()
        state = _copied(self.parallel.state(self.optimizer))
        self._writing = (position, self._writer.submit(self._write, state, position, self.legs.snapshot()))
        if wait or not self.job.spec.checkpoint.asynchronous:
            self.settle(required=wait)
        return time.perf_counter() - began

    def settle(self, *, required: bool = False) -> None:
        """Wait for the checkpoint that is being written, if there is one; say what became of it."""
        if self._writing is None:
            return
        (position, written), self._writing = self._writing, None
        fault = written.result()
        if not fault:
            self.legs.kept()
            return
        before = [each for folder in whole(self.root) if (each := read(folder)) is not None]
        last = f"the newest that is whole is of step {before[0].position.step}" if before else "there is none before it"
        if required:
            raise TrainingError(
                f"the checkpoint of step {position.step} could not be written: {fault}; {last}", where=str(self.root),
                fix="Make room there, or set checkpoint.keep: 1; the next attempt goes on from the one before.",
            )  # fmt: skip
        if self.rank == 0:
            say(f"CHECKPOINT FAILED at step {position.step}: {fault}; {last}. Training goes on.")

    def resume(self, *, required: bool = False) -> Position:
        """Load the newest checkpoint that is whole; where there is none, the run begins at step 0.

        Raises:
            TrainingError: there is none and one is required, because the weights are no longer those of step 0.
        """
        self.settle()
        position = Position()
        if self.rank == 0:
            self._sweep()
        for folder in self._candidates():
            complete = read(folder)
            fault = self._fault(folder, complete)
            if fault or complete is None:
                self._set_aside(folder, fault)
                continue
            if complete.model is not None and complete.model != model_identity(self.job):
                raise of_another_model(folder, "train.yaml describes another one")
            if fault := self._first_of_all(self.legs.fault(folder)):
                self._set_aside(folder, fault)
                continue
            position = complete.position
            self._load(folder)
            self.legs.restore(folder)
            self._self_test(folder)
            if self.rank == 0:
                say(
                    f"resumed at step {position.step} from {folder.name} (attempt {complete.attempt}); "
                    "the optimiser holds the live parameters"
                )
            break
        else:
            self.legs.restore(None)
            if required:
                raise TrainingError(
                    "there is no whole checkpoint to go back to", where=str(self.root),
                    fix="Set checkpoint.keep: 2; the next attempt begins at step 0.",
                )  # fmt: skip
        if self.rank == 0:
            ledger.cut_back(self.job.run.ledger, position.step)
        dist.barrier()
        return position

    def _write(self, state: dict[str, Any], position: Position, also: Also) -> str:
        """In the writer's thread: what went wrong, the same words on every rank; nothing if it is whole."""
        fault = self._tried(state, position, also)
        if fault and self._made_room(fault):
            fault = self._tried(state, position, also)
        return fault

    def _tried(self, state: dict[str, Any], position: Position, also: Also) -> str:
        began = time.perf_counter()
        folder = self.root / f"step-{position.step:08d}"
        beside = folder.with_name(f"{folder.name}.tmp")
        fault = self._agreed(lambda: _make_anew(beside) if self.rank == 0 else None)
        if not fault:
            try:
                save(state, storage_writer=FileSystemWriter(beside, sync_files=True), process_group=self._group)
            except CheckpointException as error:  # the same on every rank
                rank, (cause, _) = min(error.failures.items())
                fault = f"rank {rank}: {_in_words(cause)}"
        if not fault and self.job.outer is not None:
            fault = self._agreed(lambda: also(beside) if also is not None else None)
        if not fault:
            files = self._checksums(beside)
            fault = self._agreed(lambda: self._commit(beside, folder, position, files) if self.rank == 0 else None)
        if self.rank == 0 and fault:
            shutil.rmtree(beside, ignore_errors=True)
        if self.rank == 0 and not fault:
            size = sum(each.stat().st_size for each in folder.iterdir())
            took = format_seconds(time.perf_counter() - began)
            say(f"checkpoint at step {position.step}: {format_bytes(size)} in {took}")
        return fault

    def _commit(self, beside: Path, folder: Path, position: Position, files: dict[str, str]) -> None:
        # The ledger first: a run that dies in between cuts it back to the checkpoint it resumes from.
        if self.samples is not None:
            ledger.extend(self.job, self.samples, position)
        complete = Complete(
            position=position, attempt=self.job.attempt_number, layout=self.parallel.layout.describe(), files=files,
            model=model_identity(self.job),
        )  # fmt: skip
        write_atomically(beside / COMPLETE, complete.to_json())
        shutil.rmtree(folder, ignore_errors=True)
        move_folder(beside, folder)
        self._prune()

    def _agreed(self, act: Any) -> str:
        """Do this rank's part; the first fault of any rank in words, the same on every rank."""
        mine = ""
        try:
            act()
        except (OSError, ValueError) as error:  # whatever it is, the others hear of it and do not wait
            mine = f"rank {self.rank}: {_in_words(error)}"
        return self._first_of_all(mine, self._group)

    def _first_of_all(self, mine: str, group: Any = None) -> str:
        """The same on every rank: what the lowest rank with something to say says."""
        everyone: list[str | None] = [None] * self.world
        dist.all_gather_object(everyone, mine, group=group)
        return next((each for each in everyone if each), "")

    def _made_room(self, fault: str) -> bool:
        """Whether older checkpoints went, of which there were any, because the disk is too full for a new one."""
        told = [False]
        if self.rank == 0:
            kept = whole(self.root)
            needed = sum(each.stat().st_size for each in kept[0].iterdir()) if kept else 0
            if len(kept) > 1 and shutil.disk_usage(self.root).free < needed:
                for folder in kept[1:]:
                    shutil.rmtree(folder, ignore_errors=True)
                say(f"the disk is full ({fault}): all checkpoints but {kept[0].name} are removed to make room")
                told = [True]
        dist.broadcast_object_list(told, src=0, group=self._group)
        return told[0]

    def _load(self, folder: Path) -> None:
        # In place: the state shares its memory with model and optimiser.
        state, reader = self.parallel.state(self.optimizer), FileSystemReader(folder)
        mine = _differences(state["model"], reader, of_all=self.parallel.layout.pp == 1)
        # A rank of a pipeline answers for its stage: what one finds all must hear, or the others would wait for it.
        if differences := self._first_of_all(mine):
            raise of_another_model(folder, differences)
        try:
            load(state, storage_reader=reader)
        except CheckpointException as error:  # the same on every rank
            raise of_another_model(folder, str(min(error.failures.items())[1][0])) from error

    def _self_test(self, folder: Path) -> None:
        """The optimiser must hold the very parameters of the model; that its first step moves them, the loop proves."""
        live = {id(each) for each in self.parallel.parameters}
        held = {id(each) for group in self.optimizer.param_groups for each in group["params"]}
        if live != held:
            raise TrainingError(
                f"after loading, the optimiser holds {len(held & live)} of the model's {len(live)} parameters",
                where=str(folder), fix="Training on would train nothing. If the module is yours: does it replace any?",
            )  # fmt: skip

    def _checksums(self, folder: Path) -> dict[str, str]:
        """Of all files of the checkpoint; each rank reads those that it wrote."""
        mine = {path.name: _sha256(path) for path in folder.glob(f"__{self.rank}_*")}
        everyone: list[dict[str, str] | None] = [None] * self.world
        dist.all_gather_object(everyone, mine, group=self._group)
        files = {name: digest for each in everyone if each for name, digest in each.items()}
        # Rank 0 writes the metadata last; the gather above is behind it.
        last = [folder / ".metadata", *folder.glob(outer_state.FILE)] if self.rank == 0 else []
        return files | {path.name: _sha256(path) for path in last}

    def _candidates(self) -> list[Path]:
        """Newest first; the same list on every rank."""
        names: list[Any] = [None]
        if self.rank == 0:
            self.root.mkdir(parents=True, exist_ok=True)
            names = [[folder.name for folder in whole(self.root)]]
        dist.broadcast_object_list(names, src=0)
        return [self.root / name for name in names[0]]

    def _fault(self, folder: Path, complete: Complete | None) -> str:
        """What is wrong with it, the same answer on every rank; files are shared out for checking."""
        if complete is None:
            mine = f"{COMPLETE} is missing or unreadable"
        else:
            names = sorted(complete.files)[self.rank :: self.world]
            mine = next((f"{n} is damaged" for n in names if _sha256(folder / n) != complete.files[n]), "")
        return self._first_of_all(mine)

    def _set_aside(self, folder: Path, fault: str) -> None:
        if self.rank == 0:
            say(f"DAMAGED CHECKPOINT {folder.name}: {fault}. It is set aside; the one before is used.")
            aside = folder.with_name(f"{folder.name}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)

    def _prune(self) -> None:
        """Keep the newest; what was set aside goes once something newer is whole."""
        needed = self.legs.to_keep()
        for folder in [*whole(self.root)[self.job.spec.checkpoint.keep :], *self.root.glob("*.damaged")]:
            if folder == needed:
                continue
            shutil.rmtree(folder, ignore_errors=True)

    def _sweep(self) -> None:
        """What an attempt that died was writing."""
        for folder in self.root.glob(f"{NAMES}.tmp"):
            shutil.rmtree(folder, ignore_errors=True)


def _copied(state: Any) -> Any:
    """The same with every tensor copied into main memory: what is written while training changes the original."""
    if isinstance(state, dict):
        return {name: _copied(value) for name, value in state.items()}
    if isinstance(state, list):
        return [_copied(value) for value in state]
    return state.detach().to("cpu", copy=True) if isinstance(state, torch.Tensor) else state


def _differences(model: dict[str, Any], reader: FileSystemReader, *, of_all: bool) -> str:
    """In which parameters a checkpoint and the model differ, at most three by name; nothing if they agree.

    A rank of a pipeline holds a part of the model (`of_all` is False) and answers for that part.
    """
    stored = reader.read_metadata().state_dict_metadata
    there = {name: getattr(value, "size", None) for name, value in stored.items() if name.startswith("model.")}
    here = {f"model.{name}": value.size() for name, value in model.items() if isinstance(value, torch.Tensor)}
    names = there.keys() | here.keys() if of_all else here.keys()
    said = [
        f"{name.removeprefix('model.')} is {_size(there, name)} there and {_size(here, name)} here"
        for name in sorted(names) if there.get(name) != here.get(name)
    ]  # fmt: skip
    return "; ".join(said[:3]) + (f"; and {len(said) - 3} more" if len(said) > 3 else "")


def _size(sizes: dict[str, Any], name: str) -> str:
    return str(tuple(sizes[name])) if sizes.get(name) is not None else "missing"


def _make_anew(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _in_words(error: BaseException) -> str:
    what = error.strerror if isinstance(error, OSError) and error.strerror else str(error).strip().partition("\n")[0]
    return f"{what or type(error).__name__} (on {socket.gethostname()})"


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "missing"
