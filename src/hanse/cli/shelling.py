"""Ways to a shell: in a run's folder on this machine, inside its job where Slurm's commands are, or there over SSH."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from hanse.cli import connections
from hanse.cli.home import Home, short
from hanse.contracts import jobenv
from hanse.contracts.errors import UsageError
from hanse.contracts.job import JobSpec
from hanse.contracts.run import FINAL_ATTEMPT_STATES, Attempt, AttemptState, Run
from hanse.contracts.rundir import RunDir

if TYPE_CHECKING:
    from hanse.cli.connections import Connection
    from hanse.contracts.machine import Machine

ASK_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What to execute; `told` says where one is then."""

    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]
    told: str

    def go(self) -> None:
        """Become the shell."""
        os.chdir(self.cwd)
        # A shell is what was asked for.
        os.execvpe(self.argv[0], list(self.argv), dict(self.environment))  # noqa: S606  # nosec


def into_run(run: Run, machines: Mapping[str, Machine], here: Home) -> Way:
    """Into the attempt that runs, else the latest.

    Raises:
        UsageError: nothing of it has been submitted, or no way leads there from here.
    """
    found = _attempt(run)
    if found is None:
        raise UsageError(f"Nothing of {run.id} has been submitted yet.", fix=f"'hanse status {run.id}' says why.")
    machine, attempt = machines[found[0]], found[1]
    if machine.scheduler.kind == "local":
        return _in_its_folder(run, attempt, machine, here)
    connection = connections.find(here, machine.id)
    if connection is not None and connection.login:
        return _over_ssh(run, attempt, connection)
    if machine.scheduler.kind == "slurm" and shutil.which("srun") and shutil.which("squeue"):
        return _inside_its_job(run, attempt, machine)
    raise UsageError(
        f"{run.id} is on {machine.name}, and Slurm's commands (srun, squeue) are not here.",
        where=machine.id,
        fix=f"Run 'hanse shell {run.id}' on a login node of {machine.name}.",
    )


def onto_machine(machine: Machine, here: Home) -> Way:
    """Raises UsageError unless it is this machine."""
    if machine.scheduler.kind == "local":
        folder = here.work / "runs"
        if not folder.is_dir():
            raise UsageError("No run has had a folder on this machine yet.", where=short(folder))
        return Way(argv=_shell(), cwd=folder, environment=os.environ, told=f"The folders of runs: {short(folder)}")
    connection = connections.find(here, machine.id)
    if connection is not None and connection.login:
        line = f"cd {shlex.quote(str(connection.runs))} 2>/dev/null; exec ${{SHELL:-bash}} -l"
        told = f"The folders of runs on {machine.name}: {connection.runs}"
        return Way(argv=(*connection.ssh(), line), cwd=Path.cwd(), environment=os.environ, told=told)
    raise UsageError(
        f"Hanse keeps no connection to {machine.name} through which it could log in.",
        where=machine.id,
        fix=f"'hanse connect {machine.id} --account ACCOUNT --host LOGIN' saves one.",
    )


def _attempt(run: Run) -> tuple[str, Attempt] | None:
    """The running one and its machine, else the latest that was handed to a scheduler."""
    submitted = [(leg.machine, attempt) for leg in run.legs for attempt in leg.attempts if attempt.job_id]
    running = [pair for pair in submitted if pair[1].state is AttemptState.RUNNING]
    found = running or submitted
    return found[-1] if found else None


def _in_its_folder(run: Run, attempt: Attempt, machine: Machine, here: Home) -> Way:
    from hanse.schedulers.environment import job_variables, python_path, working_folder
    from hanse.schedulers.spool import Spool

    run_dir = RunDir(here.work / "runs" / run.id)
    try:
        job = JobSpec.from_json(run_dir.attempt(attempt.number).job.read_bytes())
    except (OSError, ValidationError):
        raise UsageError(
            f"The folder of attempt {attempt.number} of {run.id} is not on this machine.",
            where=short(run_dir.root),
            fix="Run this on the machine its agent is on, with the same HANSE_HOME.",
        ) from None
    spool = Spool(here.work / machine.id)
    orders = (
        [folder.read_order() for folder in spool.folders() if folder.name == job.name] if spool.jobs.is_dir() else []
    )
    key, data_dir = (orders[-1].ticket_key, orders[-1].data_dir) if orders else ("", "")
    variables = job_variables(job, run_dir, ticket_key=key, data_dir=data_dir)
    more = {jobenv.NODES: str(job.nodes), jobenv.JOB_ID: attempt.job_id or ""}
    folder = working_folder(job, run_dir)
    known = {name: value for name, value in (variables | more).items() if value}
    return Way(
        argv=_shell(),
        cwd=folder if folder.is_dir() else run_dir.root,
        environment=dict(os.environ) | python_path(os.environ) | job.environment | known,
        told=f"Attempt {attempt.number} of {run.id}, in {short(folder)}; leave with 'exit', the run is not touched.",
    )


def _over_ssh(run: Run, attempt: Attempt, connection: Connection) -> Way:
    """Inside its job while it runs, else in its folder over there. The job's name is looked at before it is entered."""
    folder = connection.runs / run.id
    job = str(attempt.job_id)
    if attempt.state is AttemptState.RUNNING:
        inside = f"srun --overlap --jobid={shlex.quote(job)} --nodes=1 --ntasks=1 --pty bash"
        named = (
            f'[ "$(squeue --noheader --format=%j --jobs={shlex.quote(job)})" = {shlex.quote(f"hanse-{attempt.id}")} ]'
        )
        unknown = shlex.quote(f"Slurm does not know job {job} as that of {run.id}.")
        line = f"if {named}; then exec {inside}; else echo {unknown} >&2; exit 1; fi"
        told = f"Attempt {attempt.number} of {run.id}, inside job {job}; what you start there takes from its memory."
    else:
        line, told = "exec ${SHELL:-bash} -l", f"{run.id} has no nodes now; this is its folder, {folder}."
    argv = (*connection.ssh(), f"cd {shlex.quote(str(folder))} && {line}")
    return Way(argv=argv, cwd=Path.cwd(), environment=os.environ, told=told)


def _inside_its_job(run: Run, attempt: Attempt, machine: Machine) -> Way:
    if attempt.state is not AttemptState.RUNNING:
        ended = attempt.state in FINAL_ATTEMPT_STATES
        raise UsageError(
            f"Attempt {attempt.number} of {run.id} {'has ended' if ended else f'is {attempt.state}'}: it has no nodes.",
            where=f"job {attempt.job_id} on {machine.name}",
            fix=f"'hanse logs {run.id}' prints what it wrote." if ended else f"'hanse status {run.id}' says why.",
        )
    job = str(attempt.job_id)
    name = _name_of(job)
    if name != f"hanse-{attempt.id}":
        raise UsageError(
            f"The Slurm here knows job {job} as {name!r}, not as that of {run.id}."
            if name
            else f"The Slurm here does not know job {job}.",
            where=machine.name,
            fix=f"Run 'hanse shell {run.id}' on a login node of {machine.name}.",
        )
    argv = ("srun", "--overlap", f"--jobid={job}", "--nodes=1", "--ntasks=1", "--pty", "bash")
    told = f"Attempt {attempt.number} of {run.id}, inside job {job}; what you start there takes from its memory."
    return Way(argv=argv, cwd=Path.cwd(), environment=os.environ, told=told)


def _name_of(job: str) -> str:
    """As squeue has it; '' where it has none."""
    argv = ["squeue", "--noheader", "--format=%j", f"--jobs={job}"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=ASK_S, check=False)
    except subprocess.TimeoutExpired:
        raise UsageError("Slurm did not answer within half a minute.", where="squeue", fix="Try again later.") from None
    return done.stdout.strip() if done.returncode == 0 else ""


def _shell() -> tuple[str, ...]:
    return (os.environ.get("SHELL") or shutil.which("bash") or "/bin/sh",)
