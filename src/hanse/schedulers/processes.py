"""Every process of a local job, found and ended, whoever its parent is by now.

Linux gives three means, each covering what the others miss: a death signal from the parent (prctl), adoption of
orphaned descendants (child subreaper), and a variable in the environment that all processes of a job carry.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

MARK: Final = "HANSE_LOCAL_JOB"
"""Holds the job's folder in the spool."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(signum: int) -> None:
    """Have the kernel send `signum` to this process when the thread that started it ends."""
    if _libc.prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


def adopt_orphans() -> None:
    """Make descendants whose parent died children of this process instead of init's."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def of_job(folder: Path) -> list[psutil.Process]:
    """Processes that carry the job's mark, except this one. psutil knows them by start time too: no mix-up of PIDs."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(folder):
                found.append(process)
    return found


def signal_all(processes: Iterable[psutil.Process], signum: int) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(signum)


def kill_all(listed: Callable[[], list[psutil.Process]], *, within_s: float = 5.0) -> bool:
    """Kill what `listed` returns until it returns nothing; whether that came within `within_s` seconds."""
    for _ in range(3):  # a process may be forking while its siblings are listed
        left = [process for process in listed() if _is_live(process)]
        if not left:
            return True
        signal_all(left, signal.SIGKILL)
        psutil.wait_procs(left, timeout=within_s / 3)
    return not any(_is_live(process) for process in listed())


def _is_live(process: psutil.Process) -> bool:
    try:
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return False
