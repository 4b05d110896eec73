"""What typing a verb costs before it does anything: wall and CPU time, the verbs and their peers taking turns.

The service that is asked holds a few runs, so that a list has rows to show.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figures import Table, load
from hanse.cli import compute
from hanse.client.answers import DecisionRequest
from hanse.client.api import Client
from hanse.contracts import jobenv

TARGET_S = 0.5
ROUNDS = 9
RUNS = 3
HANSE = (sys.executable, "-m", "hanse")
COMMANDS = {
    "`hanse --help`": (*HANSE, "--help"), "`hanse version`": (*HANSE, "version"),
    "`hanse plan --help`": (*HANSE, "plan", "--help"), "`hanse status` (asks the service)": (*HANSE, "status"),
    "`hanse status hello` (asks it)": (*HANSE, "status", "hello"), "`hanse logs` (asks it)": (*HANSE, "logs"),
    "`python -c pass` (peer)": (sys.executable, "-c", "pass"),
    "`pip --version` (peer)": (sys.executable, "-m", "pip", "--version"),
}  # fmt: skip
TRAIN = """\
name: hello
command: {run: "echo node $HANSE_NODE_RANK says hello"}
where: {machines: [local], nodes: 2, max_gpu_hours: 0.1, wall_time_s: 120}
"""


def measure(scratch: Path) -> Table:
    # A home of its own; whatever service this user has is left alone.
    unset = (jobenv.URL, jobenv.TOKEN)
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {jobenv.HOME: str(scratch / "home")}
    (scratch / "train.yaml").write_text(TRAIN)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    try:
        _hours(scratch, environment)  # starts the embedded service and its database
        for _ in range(RUNS):
            _done((*HANSE, "launch", "--watch"), scratch, environment)
        for _ in range(ROUNDS):
            for name, command in COMMANDS.items():
                found[name].append(_timed(command, scratch, environment))
    finally:
        _done((*HANSE, "serve", "--stop"), scratch, environment)
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


def _hours(scratch: Path, environment: dict[str, str]) -> None:
    """An allocation on this machine: applied for, and granted as the officer one is here."""
    answers = [part for key, value in compute.answers().items() for part in ("--answer", f"{key}={value}")]
    sent = _done(
        (*HANSE, "apply", "--call", compute.CALL, "--organisation", compute.ORGANISATION, "--kind", "start-up",
         "--country", "DE", "--title", "Start-up", "--purpose", "Measure the command line.", "--machine", "local",
         "--gpu-hours", "10", "--months", "1", "--email", "ada@kontor17.example", "--json", *answers),
        scratch, environment,
    )  # fmt: skip
    endpoint = json.loads((scratch / "home" / "service" / "endpoint.json").read_text())
    with Client(endpoint["url"], endpoint["token"]) as client:
        client.decide(json.loads(sent)["id"], DecisionRequest(decision="grant", reason="A measurement."))


def _median_wall(times: list[tuple[float, float]]) -> float:
    return statistics.median(wall for wall, _ in times)


def _timed(command: tuple[str, ...], scratch: Path, environment: dict[str, str]) -> tuple[float, float]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    _done(command, scratch, environment)
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _done(command: tuple[str, ...], scratch: Path, environment: dict[str, str]) -> bytes:
    return subprocess.run(command, env=environment, cwd=scratch, check=True, capture_output=True, timeout=120).stdout
