"""From a spec to a plan, as `plan`, `launch` and `demo` all need it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hanse.cli.output import note
from hanse.contracts.errors import HanseError, PlanError, UsageError
from hanse.contracts.units import SECONDS_PER_HOUR

if TYPE_CHECKING:
    from hanse.contracts.machine import Machine
    from hanse.contracts.plan import Plan
    from hanse.contracts.spec import TrainSpec


_FRAME = re.compile(r'^ *File "(.+)", line (\d+)', re.MULTILINE)
"""A line of a traceback."""


def count_parameters(spec_path: Path) -> int:
    """Build the user's module in a process of its own (it needs torch) and count its parameters."""
    done = subprocess.run(
        [sys.executable, "-m", "hanse.training.count", str(spec_path)], capture_output=True, text=True, check=False
    )
    last = done.stdout.strip().splitlines()[-1:] or [""]
    if done.returncode or not last[0].isdigit():
        said = [line for line in done.stderr.strip().splitlines() if line.strip()][-1:] or ["it said nothing"]
        places = _FRAME.findall(done.stderr)
        own = [f"{file}:{line}" for file, line in places if Path(file).is_relative_to(spec_path.resolve().parent)]
        raise HanseError(
            f"The module named by model.entry could not be built here: {said[0].strip()}",
            where=own[-1] if own else f"{spec_path}, key model.entry",
            fix="Mend the module, or write its parameter count as model.parameters to plan without building it.",
        )
    return int(last[0])


def check_budget(hours: float | None) -> None:
    """Raises UsageError for a budget that nothing could keep to."""
    if hours is not None and not 0 < hours < float("inf"):
        raise UsageError(f"A budget of {hours:g} GPU-hours is none.", fix="Give --budget a number above 0.")


def machine_for(spec: TrainSpec, spec_path: Path, name: str | None) -> Machine:
    """The machine called `name`, else the first the spec allows."""
    from hanse.cli.machine import resolve

    if name is not None:
        return resolve(name)
    try:
        return resolve(spec.where.machines[0])
    except UsageError as error:
        raise UsageError(error.what, where=error.where or f"{spec_path}, key where.machines", fix=error.fix) from None


def plan_for(
    spec: TrainSpec,
    spec_path: Path,
    machine: Machine,
    *,
    nodes: int | None = None,
    partition: str | None = None,
    gpu_hours: float | None = None,
    executable_only: bool = True,
) -> Plan:
    """The plan of a training (not of a `command:`) within the spec's own limits, or within so many `gpu_hours`.

    Raises:
        UsageError: a `command:` has nothing to be planned.
        PlanError: no layout fits.
    """
    if spec.command is not None:
        raise UsageError(
            "A command: runs a program of yours, so there is no layout to plan.",
            where=str(spec_path),
            fix=f"'hanse launch {spec_path} --dry-run' shows the job it becomes.",
        )
    from hanse.planning.plan import make
    from hanse.workloads.shapes import workload_of

    model = spec.model
    counted = None
    if model is not None and model.entry is not None and model.parameters is None:
        note(
            f"Building {model.entry} once to count its parameters; model.parameters in {spec_path.name} would spare it."
        )
        counted = count_parameters(spec_path)
    where = spec.where
    hours = gpu_hours if gpu_hours is not None else where.max_gpu_hours

    def within(attempts: int) -> Plan:
        return make(
            workload_of(spec, counted),
            machine,
            nodes=nodes or where.nodes,
            partition=partition or where.partition,
            layout=spec.layout,
            max_wall_time_s=where.wall_time_s * attempts,
            max_accelerator_seconds=max(1, round(hours * SECONDS_PER_HOUR)),
            executable_only=executable_only,
        )

    try:
        return within(1)
    except PlanError:
        return within(where.max_attempts)  # a run longer than one job goes on in the next
