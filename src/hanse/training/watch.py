"""Who keeps everybody waiting: a thread of each rank that speaks up when a part of a step takes longer than allowed.

A collective that hangs says nothing of itself, on any backend. So every rank that is late writes down where it is; the
rank that has come least far, or the one that writes nothing at all, is the one the others wait for. Files, because
the network is what may be gone.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

import torch.distributed as dist

from hanse.files.durable import write_atomically
from hanse.training.say import say

PARTS: Final = ("data", "forward and backward", "gradient norm and optimiser", "telemetry")
"""Of a step, in order: what a rank does after so many marks of its meter."""
BEYOND_HUNG_S: Final = 120
"""A rank that waits for the others so long after `faults.hung_s`, when it should have been told who hangs, gives up. A
rank that died is noticed at once, by its sockets."""
LOOKS: Final = 20
"""Times it looks within a deadline."""


class Late(NamedTuple):
    """What a late rank writes down."""

    rank: int
    step: int
    part: int
    innermost: str
    waits: bool
    """It is in a collective, or in a backward pass that may hold one."""


class Watch:
    """`at` says what begins; `rest` that nothing is expected. Made by all ranks together."""

    def __init__(self, folder: Path, deadline_s: float) -> None:
        self.folder, self.deadline_s, self.rank = folder, deadline_s, dist.get_rank()
        everyone: list[tuple[str, int]] = [("", 0)] * dist.get_world_size()
        dist.all_gather_object(everyone, (socket.gethostname(), os.getpid()))
        self.everyone = everyone
        self._at: tuple[float, int, int] | None = None
        self._main = threading.main_thread().ident or 0
        self._over = threading.Event()
        threading.Thread(target=self._look, name="watch", daemon=True).start()

    def at(self, step: int, part: int) -> None:
        self._at = (time.monotonic(), step, part)

    def rest(self) -> None:
        self._at = None

    def close(self) -> None:
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(self.deadline_s / LOOKS):
            at = self._at
            if at is None or time.monotonic() - at[0] < self.deadline_s:
                continue
            mine = Late(self.rank, at[1], at[2], *innermost(sys._current_frames().get(self._main)))
            unwritten = self._tried(lambda: self._write(mine))  # noqa: B023 - called at once
            # Ranks came to this part at different times: give the others a moment to be late, too.
            if self._over.wait(self.deadline_s / 4) or self._at is not at:
                self._tried(lambda: self._path(self.rank).unlink(missing_ok=True))
                continue
            late = self._read()
            if unwritten:  # a full disk, a file system that is gone: every rank that cannot be heard speaks for itself
                say(f"HUNG for {self.deadline_s:.0f} s: {_name(self.rank, self.everyone)} is still at {_doing(mine)}, "
                    f"and the others cannot be asked: {unwritten}")  # fmt: skip
            elif late and late[0].rank == self.rank:
                say(f"HUNG for {self.deadline_s:.0f} s: {verdict(late, self.everyone)}")
            os._exit(1)

    def _tried(self, act: Callable[[], object]) -> str:
        """The thread must outlive a fault of the file system, or nobody would be named: the fault in words, or none."""
        try:
            act()
        except OSError as error:
            return str(error)
        return ""

    def _path(self, rank: int) -> Path:
        return self.folder / f"rank-{rank:05d}.json"

    def _write(self, mine: Late) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path(self.rank), json.dumps(mine))

    def _read(self) -> list[Late]:
        found = []
        for rank in range(len(self.everyone)):
            try:
                found.append(Late(*json.loads(self._path(rank).read_bytes())))
            except (OSError, ValueError, TypeError):  # none there, or none that can be read
                continue
        return found


def verdict(late: Sequence[Late], everyone: Sequence[tuple[str, int]]) -> str:
    """One sentence that names the rank waited for, its host and process, and what it and the others are at."""
    silent = [rank for rank in range(len(everyone)) if rank not in {each.rank for each in late}]
    least = min(each[1:3] for each in late)
    behind = [each for each in late if each[1:3] == least]
    if 0 < sum(each.waits for each in behind) < len(behind):
        behind = [each for each in behind if not each.waits]
    waiting = [each for each in late if each not in behind]
    if silent:
        named = [f"{_name(rank, everyone)} says nothing" for rank in silent]
        waiting = list(late)
    elif waiting:
        named = [f"{_name(each.rank, everyone)} is still at {_doing(each)}" for each in behind]
    else:
        return (
            f"all {len(late)} ranks are at {_doing(late[0])}, step {late[0].step}; the network between them, it seems"
        )
    others = f"; {len(waiting)} wait for it at {_doing(waiting[0])}, step {waiting[0].step}" if waiting else ""
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    return ", ".join(named[:3]) + more + others


def innermost(frame: FrameType | None) -> tuple[str, bool]:
    """Where a thread is (the function it is in, with file and line), and whether others can keep it there."""
    if frame is None:
        return "nowhere", False
    code = frame.f_code
    waits = "torch/distributed/" in code.co_filename or code.co_name == "_engine_run_backward"
    return f"{code.co_name} ({Path(code.co_filename).name}:{frame.f_lineno})", waits


def _name(rank: int, everyone: Sequence[tuple[str, int]]) -> str:
    host, pid = everyone[rank]
    return f"rank {rank} on {host} (pid {pid})"


def _doing(each: Late) -> str:
    return f"{PARTS[each.part]}, in {each.innermost}"
