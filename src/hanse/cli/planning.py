"""From a spec to a plan, as `plan`, `launch` and `demo` all need it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hanse.cli.output import note
from hanse.contracts.errors import HanseError, PlanError, UsageError
from hanse.contracts.units import SECONDS_PER_HOUR

if TYPE_CHECKING:
    from hanse.contracts.layout import Layout
    from hanse.contracts.machine import Machine
    from hanse.contracts.plan import Plan
    from hanse.contracts.spec import TrainSpec
    from hanse.contracts.workload import Workload
    from hanse.planning.choose import Limits, Objective


_FRAME = re.compile(r'^ *File "(.+)", line (\d+)', re.MULTILINE)
"""A line of a traceback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be planned and the limits to keep; None is no limit, or the planner's choice."""

    workload: Workload
    nodes: int | None = None
    partition: str | None = None
    layout: Layout | None = None
    wall_time_s: float | None = None
    """Of one job."""
    attempts: int = 1
    """Jobs it may take, one after another."""
    gpu_hours: float | None = None
    finish_by_s: float | None = None
    objective: Objective | None = None
    executable_only: bool = True
    wanted: Mapping[str, int] | None = None
    """Columns of `space.Layouts` kept to one value."""

    @property
    def accelerator_seconds(self) -> int | None:
        return None if self.gpu_hours is None else max(1, round(self.gpu_hours * SECONDS_PER_HOUR))

    def limits(self, attempts: int | None = None) -> Limits:
        from hanse.planning.choose import Limits

        jobs = self.attempts if attempts is None else attempts
        wall_s = None if self.wall_time_s is None else self.wall_time_s * jobs
        return Limits(wall_time_s=wall_s, finish_by_s=self.finish_by_s, accelerator_seconds=self.accelerator_seconds)


def traced(spec_path: Path) -> Workload:
    """The user's module run once without memory, in a process of its own (it needs torch).

    Raises:
        HanseError: it could not be built or run so.
    """
    from pydantic import ValidationError

    from hanse.contracts.workload import Workload

    done = _module("hanse.training.trace", spec_path)
    if not done.returncode:
        try:
            return Workload.from_json(done.stdout)
        except ValidationError:
            pass  # something else than a workload was printed
    raise _unbuilt(done, spec_path)


def count_parameters(spec_path: Path) -> int:
    """Build the user's module in a process of its own (it needs torch) and count its parameters."""
    done = _module("hanse.training.count", spec_path)
    last = done.stdout.strip().splitlines()[-1:] or [""]
    if done.returncode or not last[0].isdigit():
        raise _unbuilt(done, spec_path)
    return int(last[0])


def _module(name: str, spec_path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", name, str(spec_path)], capture_output=True, text=True, check=False)


def _unbuilt(done: subprocess.CompletedProcess[str], spec_path: Path) -> HanseError:
    said = [line for line in done.stderr.strip().splitlines() if line.strip()][-1:] or ["it said nothing"]
    places = _FRAME.findall(done.stderr)
    own = [f"{file}:{line}" for file, line in places if Path(file).is_relative_to(spec_path.resolve().parent)]
    return HanseError(
        f"The module named by model.entry could not be built here: {said[0].strip()}",
        where=own[-1] if own else f"{spec_path}, key model.entry",
        fix="Mend the module, or write its parameter count as model.parameters to plan without building it.",
    )


def workload_for(spec: TrainSpec, spec_path: Path) -> Workload:
    """What the spec trains; a module of the user's is traced, unless its parameter count stands in the spec.

    Raises:
        UsageError: a `command:` has nothing to be planned.
        HanseError: the module cannot be built.
    """
    if spec.command is not None:
        raise UsageError(
            "A command: runs a program of yours, so there is no layout to plan.",
            where=str(spec_path),
            fix=f"'hanse launch {spec_path} --dry-run' shows the job it becomes.",
        )
    from hanse.workloads.shapes import workload_of

    model = spec.model
    if model is None or model.entry is None or model.parameters is not None:
        return workload_of(spec)
    note(f"Tracing {model.entry} once; model.parameters in {spec_path.name} would spare it, for a coarser plan.")
    try:
        found = traced(spec_path)
    except HanseError:
        counted = count_parameters(spec_path)
        note(f"{model.entry} could not be traced, so its parameters were only counted: the plan is coarser.")
        return workload_of(spec, counted)
    # The spec in hand may be shorter than the file's: a smoke run trains on fewer tokens.
    changes = {"name": spec.name, "global_batch": spec.batch, "total_tokens": spec.tokens}
    return found.model_copy(update=changes)


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


def question(
    spec: TrainSpec,
    spec_path: Path,
    *,
    nodes: int | None = None,
    partition: str | None = None,
    gpu_hours: float | None = None,
    executable_only: bool = True,
) -> Question:
    """What a spec asks: within its own limits, or within so many `gpu_hours`."""
    where = spec.where
    return Question(
        workload=workload_for(spec, spec_path),
        nodes=nodes or where.nodes,
        partition=partition or where.partition,
        layout=spec.layout,
        wall_time_s=where.wall_time_s,
        attempts=where.max_attempts,
        gpu_hours=gpu_hours if gpu_hours is not None else where.max_gpu_hours,
        executable_only=executable_only,
    )


def answer(asked: Question, machine: Machine, *, with_levers: bool = False, others: Sequence[Machine] = ()) -> Plan:
    """The plan: in one job where that will do, else in as many as it may take. Raises PlanError if none keeps to it."""
    from hanse.planning.plan import make

    def within(attempts: int) -> Plan:
        limits = asked.limits(attempts)
        return make(
            asked.workload,
            machine,
            nodes=asked.nodes,
            partition=asked.partition,
            layout=asked.layout,
            max_wall_time_s=limits.wall_time_s,
            max_accelerator_seconds=limits.accelerator_seconds,
            finish_by_s=limits.finish_by_s,
            objective=asked.objective,
            executable_only=asked.executable_only,
            wanted=asked.wanted,
            with_levers=with_levers,
            others=others,
        )

    if asked.objective is not None or asked.finish_by_s is not None:
        return within(asked.attempts)  # who names what counts does not mind several jobs
    try:
        return within(1)
    except PlanError:
        if asked.attempts == 1:
            raise
        return within(asked.attempts)  # a run longer than one job goes on in the next


def plan_for(
    spec: TrainSpec, spec_path: Path, machine: Machine, *, partition: str | None = None, with_levers: bool = False
) -> Plan:
    """The plan of a training (not of a `command:`) within the spec's own limits.

    Raises:
        UsageError: a `command:` has nothing to be planned.
        PlanError: no layout fits.
    """
    return answer(question(spec, spec_path, partition=partition), machine, with_levers=with_levers)
