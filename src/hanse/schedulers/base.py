"""The seam every scheduler stands behind. An agent knows this protocol and nothing of Slurm.

Whatever cannot be answered surely raises `SchedulerUnknown`: an empty or failed answer never means that a job is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol

from hanse.contracts.job import JobReport, JobSpec
from hanse.contracts.rundir import RunDir
from hanse.contracts.site import MachineState, SiteJob


class Scheduler(Protocol):
    """`local` runs jobs with node launchers on this machine; `slurm` speaks to a cluster."""

    @property
    def submits_at_once(self) -> int:
        """How many threads may be in `submit` at a time."""
        ...

    def submit(self, job: JobSpec, run_dir: RunDir, *, ticket_key: str, data_dir: str, after: str | None = None) -> str:
        """Hand one job over and return the scheduler's id for it.

        With `after`, a job id, it starts only when that job has ended, however it ended.

        `run_dir.attempt(job.attempt_number)` exists and holds job.json and ticket.json. The job's first act is to
        create the attempt's claim exclusively, writing its own job id into it; a job that finds a claim with
        another id leaves `doubled.<own id>` and ends with 0; one that finds the run FINISHED ends with 0.

        Raises:
            SiteError: the scheduler refused the job; it is certain that nothing was queued. `what` quotes it.
            SchedulerUnknown: it may or may not have been queued. Look for `job.name` before trying again.
        """
        ...

    def observe(self, jobs: Mapping[str, str | None]) -> dict[str, tuple[JobReport, ...]]:
        """Report on many jobs at once (one queue query and one accounting query, whatever their number).

        `jobs` maps job names to the job id if one is known. The answer maps each name to every job that carries
        it, oldest first; a name may map to an empty tuple: the scheduler answered and does not mention it. A name
        that is left out: nothing can be said of it now (Slurm's queue answers, its accounting does not).

        Raises:
            SchedulerUnknown: no usable answer.
        """
        ...

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Ask for jobs to be ended; ending an ended job is no error. Raises SchedulerUnknown if it was not taken."""
        ...

    def signal(self, job_ids: Sequence[str], signal: Literal["USR1"]) -> None:
        """Send running jobs their stop signal, as it comes before the end of the wall time; an ended one is no error.

        Raises:
            SiteError: this scheduler sends no signals; nothing was done.
            SchedulerUnknown: it may or may not have been taken.
        """
        ...

    def state(self) -> MachineState:
        """How the machine is: its queues, what a job of usual sizes would wait, maintenance. SchedulerUnknown."""
        ...

    def accounting(self, accounts: Sequence[str], since: datetime) -> tuple[SiteJob, ...]:
        """Every job of these scheduler accounts that was eligible, ran or ended after `since`, whoever submitted it.

        Raises:
            SchedulerUnknown: no usable answer, or the site keeps no accounting.
        """
        ...
