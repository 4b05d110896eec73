"""Watts of this node, where a file tells them to anybody: no library, no privilege, nothing if there is no such file.

In this order: the counters of HPE Cray EX nodes (/sys/cray/pm_counters/power, whole node), power sensors of AMD's GPUs
(hwmon power1_average, microwatts, GPUs only; kernel documentation, gpu/amdgpu/thermal), Intel's and AMD's energy
counters of CPUs (powercap intel-rapl, microjoules, CPU packages only; kernel documentation, power/powercap).
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path


class Nothing:
    """A rank that does not read."""

    def watts(self) -> float | None:
        return None


class Power:
    """Finds its source once; `watts` then reads a file or a few."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._node = root / "sys/cray/pm_counters/power"
        self._sensors = sorted(root.glob("sys/class/drm/card*/device/hwmon/hwmon*/power1_average"))
        self._counters = sorted(root.glob("sys/class/powercap/intel-rapl:[0-9]/energy_uj"))
        self._before: tuple[float, int] | None = None

    def watts(self) -> float | None:
        """Now, or for counters of energy since the last call; None where nothing can be read."""
        with suppress(OSError, ValueError, IndexError):
            return float(self._node.read_text().split()[0])
        if self._sensors:
            with suppress(OSError, ValueError):
                return sum(int(path.read_text()) for path in self._sensors) / 1e6
        if self._counters:
            with suppress(OSError, ValueError):
                return self._since(sum(int(path.read_text()) for path in self._counters), time.monotonic())
        return None

    def _since(self, microjoules: int, instant: float) -> float | None:
        before, self._before = self._before, (instant, microjoules)
        # A counter that has begun anew says nothing of this interval.
        if before is None or microjoules < before[1] or instant <= before[0]:
            return None
        return (microjoules - before[1]) / 1e6 / (instant - before[0])
