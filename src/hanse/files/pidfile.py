"""Files that name a process: whether the process that has a number now is the one that wrote it down.

Numbers are reused, and start times as psutil tells them move with the wall clock (a laptop that slept, a clock that was
set). Linux counts a process's start in ticks since boot, which nothing moves (proc_pid_stat(5), field 22).
"""

from __future__ import annotations

from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def birth(pid: int) -> str:
    """The same text for as long as this very process lives, and for no other one; '' if there is none."""
    try:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return _birth_elsewhere(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    # The name stands in brackets and may hold blanks and brackets itself.
    return f"{boot} {stat.rpartition(')')[2].split()[19]}"


def _birth_elsewhere(pid: int) -> str:
    import psutil

    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return ""
