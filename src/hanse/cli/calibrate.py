"""Measuring a machine: this one here and now, remembered until software or hardware change; another by a short job.

The job is a JobSpec like any other, rendered for the machine's scheduler; its step measures and writes the curves into
the machine's file.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hanse.cli import machine as machines
from hanse.cli.output import ProgramError
from hanse.contracts.errors import HanseError, UsageError

if TYPE_CHECKING:
    from hanse.contracts.machine import Machine

LIMIT_S = 120
JOB_WALL_TIME_S = 900


def _torch_version() -> str:
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return ""


def still_true(cached: Machine) -> bool:
    """Whether the remembered calibration was made with this torch and so many ranks as would run now."""
    from hanse.machines.local import local_machine

    if cached.calibration is None:
        return False
    current = local_machine()
    same_shape = (current.nodes, current.accelerators_per_node) == (cached.nodes, cached.accelerators_per_node)
    return same_shape and _torch_version().split("+")[0] in cached.calibration.software


def calibrated(*, again: bool = False, say: Callable[[str], None] = lambda _: None) -> tuple[Machine, bool]:
    """This machine with its calibration, and whether it was measured just now.

    Raises:
        HanseError: torch is not installed, or the measurement failed.
    """
    cached = machines.cached_local()
    if cached is not None and not again and still_true(cached):
        return cached, False
    if find_spec("torch") is None:
        raise HanseError(
            "This machine cannot be measured without PyTorch.",
            fix="'hanse doctor' says how to install it here.",
        )
    from hanse.contracts.machine import Calibration
    from hanse.machines.local import local_machine

    here = local_machine()
    ranks = (here.nodes or 1) * here.accelerators_per_node
    say(f"Measuring this machine with {ranks} ranks busy; this takes up to half a minute and is remembered.")
    with TemporaryDirectory(prefix="hanse-calibrate-") as folder:
        out = Path(folder) / "calibration.json"
        try:
            done = subprocess.run(
                [sys.executable, "-m", "hanse.training.calibrate", "--ranks", str(ranks), "--out", str(out)],
                capture_output=True, text=True, check=False, timeout=LIMIT_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise HanseError(
                f"Measuring this machine took more than {LIMIT_S} s and was stopped.",
                fix="Something else keeps it busy; try again when it is quiet: hanse machines calibrate --again",
            ) from None
        if done.returncode or not out.exists():
            said = tuple(line.strip() for line in done.stderr.splitlines() if line.strip())[-3:]
            raise ProgramError(
                "Measuring this machine failed.",
                fix="'hanse doctor' checks what it needs.",
                history=said,
            )
        return machines.keep_local(Calibration.from_json(out.read_bytes())), True


def file_for(name: str, machine: Machine, out: Path | None) -> Path:
    """Where the curves belong: `out`, else the file that was given as the machine, else a new one named by its id.

    Raises:
        UsageError: that file describes another machine, or is no YAML file.
    """
    from hanse.machines import catalogue

    path = out or (Path(name) if name.endswith((".yaml", ".yml")) else Path(f"{machine.id}.yaml"))
    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{path} is no name for a machine file", fix="Let it end in .yaml.")
    if path.exists() and (kept := catalogue.check(path)).accelerator.name != machine.accelerator.name:
        raise UsageError(
            f"{path} describes {kept.name} with {kept.accelerator.name}, not {machine.name}",
            fix="Name another file with --out.",
        )
    return path


def make_file(path: Path, machine: Machine) -> None:
    """The machine's own file, without curves, unless it is there already."""
    from hanse.machines import writing

    if not path.exists():
        writing.write(path, writing.as_yaml(machine.model_copy(update={"id": path.stem, "calibration": None})))


def script_for(
    machine: Machine, path: Path, *, nodes: int | None = None, account: str | None = None, partition: str | None = None
) -> tuple[Path, int]:
    """Write the batch script that measures `nodes` nodes of `machine` and puts the curves into the file at `path`.

    Two nodes where nothing else is said: they tell the network between them.

    Raises:
        UsageError: the machine has no such partition or not so many nodes.
        SiteError: the machine wants an account or a QoS that is not given.
    """
    from hanse.contracts.job import JobSpec, Step
    from hanse.contracts.rundir import RunDir
    from hanse.schedulers.script import render

    queue = next((one for one in machine.partitions if partition in (None, one.name)), None)
    if partition is not None and queue is None:
        known = ", ".join(dict.fromkeys(one.name for one in machine.partitions))
        raise UsageError(f"{machine.name} has no partition {partition}", fix=f"Known: {known}." if known else "")
    most = min((count for count in (machine.nodes, queue and queue.max_nodes) if count), default=None)
    nodes = min(2, most or 2) if nodes is None else nodes
    if nodes < 1 or (most and nodes > most):
        raise UsageError(f"{nodes} nodes cannot be measured" + (f"; {most:,} can" if most else ""), fix="See --nodes.")
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S-%f")
    run = RunDir(path.absolute().parent / f"calibrate-{path.stem}-{stamp}")
    attempt = run.attempt(1)
    measure = (
        machine.scheduler.python or sys.executable, "-m", "hanse.training.calibrate",
        "--ranks", str(machine.accelerators_per_node), "--out", str(attempt.root / "calibration.json"),
        "--into", str(path.absolute()),
    )  # fmt: skip
    job = JobSpec(
        name=f"hanse-calibrate-{path.stem}"[:63],
        run_id=f"calibrate-{path.stem}"[:63],
        attempt_id=stamp,
        attempt_number=1,
        machine=machine.id,
        partition=queue.name if queue else None,
        account=account,
        qos=queue.qos if queue else None,
        nodes=nodes,
        accelerators_per_node=machine.accelerators_per_node,
        wall_time_s=min(JOB_WALL_TIME_S, queue.max_wall_time_s or JOB_WALL_TIME_S) if queue else JOB_WALL_TIME_S,
        steps=(Step(name="calibrate", argv=measure, nodes=nodes),),
        stop_signal_before_s=0,
    )
    text = render(job, machine, run, ticket_key="", data_dir="")
    attempt.root.mkdir(parents=True)
    script = run.root / "job.sh"
    script.write_text(text, encoding="utf-8")
    return script, nodes
