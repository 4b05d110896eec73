"""What typing a verb costs before it does anything: wall and CPU time, the verbs and their peers taking turns."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figures import Table, load
from hanse.contracts import jobenv

TARGET_S = 0.5
ROUNDS = 5
HANSE = (sys.executable, "-m", "hanse")
COMMANDS = {
    "`hanse --help`": (*HANSE, "--help"), "`hanse version`": (*HANSE, "version"),
    "`hanse plan --help`": (*HANSE, "plan", "--help"), "`hanse status` (asks the service)": (*HANSE, "status"),
    "`python -c pass` (peer)": (sys.executable, "-c", "pass"),
    "`pip --version` (peer)": (sys.executable, "-m", "pip", "--version"),
}  # fmt: skip


def measure(scratch: Path) -> Table:
    # A home of its own; whatever service this user has is left alone.
    unset = (jobenv.URL, jobenv.TOKEN)
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {jobenv.HOME: str(scratch / "home")}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    try:
        _timed((*HANSE, "status"), environment)  # starts the embedded service and its database
        for _ in range(ROUNDS):
            for name, command in COMMANDS.items():
                found[name].append(_timed(command, environment))
    finally:
        subprocess.run([*HANSE, "serve", "--stop"], env=environment, check=True, capture_output=True, timeout=60)
    rows = []
    for name, times in found.items():
        wall, cpu = (sorted(each) for each in zip(*times, strict=True))
        spread = f"**{statistics.median(wall):.2f} s** ({wall[0]:.2f}–{wall[-1]:.2f})"
        rows.append((name, spread, f"{statistics.median(cpu):.2f} s", load()))
    slow = [name for name, times in found.items() if "peer" not in name and _median_wall(times) >= TARGET_S]
    met = f"Missed by {', '.join(slow)}" if slow else "Met"
    return Table(
        ("command", f"wall, median of {ROUNDS} (least–most)", "CPU, median", "load"),
        rows,
        f"Target: under 0.5 s. {met}.",
    )


def _median_wall(times: list[tuple[float, float]]) -> float:
    return statistics.median(wall for wall, _ in times)


def _timed(command: tuple[str, ...], environment: dict[str, str]) -> tuple[float, float]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
