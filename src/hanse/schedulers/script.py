"""A JobSpec as a Slurm batch script, each line with its reason. Job scripts are made here and nowhere else.

The shape follows what published scripts of EuroHPC machines have in common (one launcher a node, c10d rendezvous on
the first node, SRUN_CPUS_PER_TASK, no CPU binding by accident); machine facts come from the catalogue. Each part of the
script has its room: script_request, script_fence, script_surroundings, script_steps, script_images.
"""

from __future__ import annotations

from pathlib import Path

from hanse.contracts.errors import SiteError
from hanse.contracts.job import JobSpec
from hanse.contracts.machine import Machine
from hanse.contracts.rundir import RunDir
from hanse.schedulers.script_fence import end, fence
from hanse.schedulers.script_images import refuse_what_cannot_run
from hanse.schedulers.script_lines import CANNOT_CREATE, Lines
from hanse.schedulers.script_request import request, time_limit
from hanse.schedulers.script_steps import runner, steps
from hanse.schedulers.script_surroundings import FIRST_PORT, NO_HOST, OFFLINE, PORTS, rendezvous, surroundings

__all__ = ["CANNOT_CREATE", "FIRST_PORT", "NO_HOST", "OFFLINE", "PORTS", "explain", "render", "time_limit"]


def render(
    job: JobSpec, machine: Machine, run_dir: RunDir, *, ticket_key: str, data_dir: str, after: str | None = None
) -> str:
    """The batch script. Raises SiteError where the machine's rules or the values leave no valid script.

    `after` is the id of a job that must have ended, however it ended, before this one starts.
    """
    lines = explain(job, machine, run_dir, ticket_key=ticket_key, data_dir=data_dir, after=after)
    return "".join(f"{line}\n" for line, _ in lines)


def explain(
    job: JobSpec, machine: Machine, run_dir: RunDir | None = None, *, ticket_key: str = "", data_dir: str = "",
    after: str | None = None,
) -> tuple[tuple[str, str], ...]:  # fmt: skip
    """Every line of the script with its reason. Without `run_dir` the paths are relative to the agent's work folder."""
    run_dir = run_dir or RunDir(Path("runs") / job.run_id)
    refuse_what_cannot_run(job, machine)
    lines: Lines = [
        *request(job, machine, run_dir, after=after),
        *fence(job, run_dir),
        *surroundings(job, machine, run_dir, ticket_key=ticket_key, data_dir=data_dir),
        *rendezvous(machine),
        *runner(job, machine, run_dir, data_dir),
        *steps(job, machine, run_dir, data_dir),
        *end(job),
    ]
    for line, _ in lines:
        # Quoted text of the shell may go over several lines; an option of Slurm would end and the rest be a command.
        if "\0" in line or ("\n" in line and line.startswith("#SBATCH")):
            raise SiteError("a value with a line break cannot be an option of Slurm", where=repr(line))
    return tuple(lines)
