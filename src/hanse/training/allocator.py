"""glibc's allocator on a CPU, told to keep memory: else it returns what a step freed to the kernel, and the next step
faults every page in again. Ranks and calibration set the same, so that plans are made for what runs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_KEEP: Final = {
    # benchmarks/malloc.py: a step of examples/stdlib-lm on 2 ranks takes 0.87 of the CPU time (0.81–0.95 in 4 pairs).
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # as far as glibc itself would let it grow
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
_DRIVERS: Final = (Path("/dev/nvidiactl"), Path("/dev/kfd"))


def settings() -> dict[str, str]:
    """Variables for a process that computes on this host's CPU; none where a GPU's driver is, whose memory is its own.

    glibc reads them as a process starts, so they go into the environment of one that is about to.
    """
    return {} if any(driver.exists() for driver in _DRIVERS) else dict(_KEEP)
