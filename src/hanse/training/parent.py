"""Processes that end with their parent, even when it is killed with SIGKILL (Linux's PR_SET_PDEATHSIG)."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent_pid: str | int | None = None) -> None:
    """From now on the kernel kills this process when its parent dies.

    The parent may have died before this call; then the parent is no longer `parent_pid`, and this process ends here.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent_pid is not None and os.getppid() != int(parent_pid):
        os._exit(1)
