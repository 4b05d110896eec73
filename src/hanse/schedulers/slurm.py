"""The `slurm` scheduler: sbatch, one squeue and one sacct a cycle whatever the number of jobs, scancel.

Every call has a deadline. Whatever a command does not surely answer becomes SchedulerUnknown; only a refusal that the
controller itself spoke becomes SiteError.
"""

from __future__ import annotations

import errno
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from hanse.contracts.base import now
from hanse.contracts.errors import NoRoom, SchedulerUnknown, SiteError
from hanse.contracts.job import JobReport, JobSpec
from hanse.contracts.machine import Machine
from hanse.contracts.rundir import RunDir
from hanse.files.durable import write_atomically
from hanse.schedulers.environment import inherited
from hanse.schedulers.script import render
from hanse.schedulers.slurm_text import (
    SACCT_FIELDS,
    SQUEUE_FORMAT,
    merge,
    read_sacct,
    read_squeue,
    submitted_id,
)

_SLURM_SETTINGS = ("SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SLURM_")
"""Variables that change what the commands do or print; an agent inside a job would carry that job's."""
_KEPT = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")

_MAYBE_TAKEN = re.compile(
    r"unable to contact|timed? ?out|zero bytes|connection|communication|transport endpoint|network|protocol|"
    r"temporarily|standby mode|unexpected message|try again|munge|credential|socket|address",
    re.IGNORECASE,
)
"""Messages after which the job may be queued all the same, or that say nothing of the job."""

_ENDED_ALREADY = re.compile(r"invalid job id|already completing or completed|job/step already", re.IGNORECASE)
_NO_ACCOUNTING = re.compile(r"accounting storage is disabled", re.IGNORECASE)

ACCOUNTING_WINDOW: Final = "now-60days"
"""How far back accounting is asked: an agent may have been away for weeks."""


class SlurmScheduler:
    """Slurm's commands as they are found on PATH; `environment` (SLURM_CONF, SLURM_CLUSTERS) is added to theirs."""

    def __init__(
        self, machine: Machine, environment: Mapping[str, str] | None = None, *, timeout_s: float = 60.0
    ) -> None:
        self._machine = machine
        self._extra = dict(environment or {})
        self._timeout_s = timeout_s

    def submit(self, job: JobSpec, run_dir: RunDir, *, ticket_key: str, data_dir: str) -> str:
        run_dir = RunDir(run_dir.root.absolute())
        attempt = run_dir.attempt(job.attempt_number)
        try:
            write_atomically(
                attempt.script, render(job, self._machine, run_dir, ticket_key=ticket_key, data_dir=data_dir)
            )
        except OSError as error:
            kind = NoRoom if error.errno in (errno.ENOSPC, errno.EDQUOT) else SiteError
            raise kind(f"the job script cannot be written: {error.strerror}", where=str(attempt.script)) from error
        try:
            done = self._call(["sbatch", "--parsable", str(attempt.script)], cwd=attempt.root)
        except FileNotFoundError as error:
            raise self._missing("sbatch") from error
        if done.returncode == 0:
            return submitted_id(done.stdout)
        said = _said(done)
        if done.returncode < 0 or not said or _MAYBE_TAKEN.search(said):
            raise SchedulerUnknown(f"sbatch gave no sure answer: {said or 'silence'}", where=self._machine.id)
        raise SiteError(
            f"Slurm refused the job: {said}",
            where=self._machine.id,
            fix="Check account, partition, QoS, nodes and time against what the site granted.",
        )

    def observe(self, jobs: Mapping[str, str | None]) -> dict[str, tuple[JobReport, ...]]:
        if not jobs:
            return {}
        names = ",".join(jobs)
        per_node = self._machine.accelerators_per_node
        queue = self._ask(["squeue", "--states=all", f"--name={names}", f"--format={SQUEUE_FORMAT}"])
        try:
            account = self._ask(
                [
                    "sacct", "--parsable2", "--duplicates", f"--name={names}", f"--starttime={ACCOUNTING_WINDOW}",
                    f"--format={','.join(SACCT_FIELDS)}",
                ],
                unless=_NO_ACCOUNTING,
            )  # fmt: skip
        except SchedulerUnknown:
            return _queue_alone(read_squeue(queue or "", per_node), jobs)
        known = None if account is None else read_sacct(account, per_node)
        answer: dict[str, tuple[JobReport, ...]] = dict.fromkeys(jobs, ())
        for report in merge(read_squeue(queue or "", per_node), known, at=now()):
            if report.name in answer:
                answer[report.name] += (report,)
        return answer

    def cancel(self, job_ids: Sequence[str]) -> None:
        if not job_ids:
            return
        try:
            done = self._call(["scancel", *job_ids])
        except FileNotFoundError as error:
            raise self._missing("scancel") from error
        complaints = [line for line in done.stderr.splitlines() if line.strip() and not _ENDED_ALREADY.search(line)]
        if complaints or (done.returncode != 0 and not done.stderr.strip()):
            raise SchedulerUnknown(f"scancel: {' '.join(complaints) or 'no answer'}", where=self._machine.id)

    def _ask(self, command: list[str], *, unless: re.Pattern[str] | None = None) -> str | None:
        """What a query printed; None if it failed with a message that matches `unless`."""
        try:
            done = self._call(command, utc=True)
        except FileNotFoundError as error:
            raise SchedulerUnknown(f"{command[0]} is not on PATH", where=self._machine.id) from error
        if done.returncode == 0:
            return done.stdout
        if unless is not None and unless.search(done.stderr):
            return None
        raise SchedulerUnknown(f"{command[0]} failed: {_said(done) or 'silence'}", where=self._machine.id)

    def _call(
        self, command: list[str], *, cwd: Path | None = None, utc: bool = False
    ) -> subprocess.CompletedProcess[str]:
        environment = inherited(_SLURM_SETTINGS) | {k: v for k, v in inherited().items() if k in _KEPT} | self._extra
        if utc:
            environment |= {"TZ": "UTC", "SLURM_TIME_FORMAT": "standard"}
        try:
            return subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self._timeout_s,
                env=environment,
                stdin=subprocess.DEVNULL,
                cwd=cwd,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SchedulerUnknown(
                f"{command[0]} did not answer within {self._timeout_s:g} s", where=self._machine.id
            ) from error

    def _missing(self, command: str) -> SiteError:
        return SiteError(
            f"{command} is not on PATH", where=self._machine.id, fix="Run the agent where Slurm's commands are."
        )


def _queue_alone(queue: Iterable[JobReport], jobs: Iterable[str]) -> dict[str, tuple[JobReport, ...]]:
    """While accounting is away: what waits and runs. Of what the queue does not mention nothing is known, not even
    that it is gone, so those names are left out; an end waits for its measure.
    """
    wanted, answer = frozenset(jobs), dict[str, tuple[JobReport, ...]]()
    for report in merge(queue, (), at=None):
        if report.name in wanted:
            answer[report.name] = (*answer.get(report.name, ()), report)
    return answer


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """The words of a failed command in one line, without its own name before each."""
    text = done.stderr.strip() or done.stdout.strip()
    return " · ".join(re.sub(r"^\w+: (error: )?", "", line).strip() for line in text.splitlines() if line.strip())
