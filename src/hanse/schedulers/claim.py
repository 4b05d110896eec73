"""The fence: of all jobs ever submitted for an attempt exactly one works, whatever happened to those who submitted.

A job's first act is to create the attempt's claim exclusively with its own id in it. The Slurm script does the same in
bash (`script.py`); both obey these rules, and jobs of both kinds would respect each other's claims.
"""

from __future__ import annotations

from hanse.contracts.job import JobSpec
from hanse.contracts.rundir import AttemptDir, RunDir
from hanse.files.durable import write_atomically
from hanse.schedulers.files import write_new


def claim(attempt: AttemptDir, job_id: str) -> bool:
    """Whether this job may work. One that may not has left `doubled.<job id>` behind, naming the holder.

    A job that finds its own id was requeued by the site: it may go on. An empty claim (its maker died between
    creating and writing it) belongs to nobody and lets nobody in: better an attempt lost than one run twice.
    """
    try:
        write_new(attempt.claim, f"{job_id}\n")
    except FileExistsError:
        holder = attempt.claim.read_text(encoding="utf-8").strip()
        if holder == job_id:
            return True
        write_atomically(attempt.doubled(job_id), f"{holder}\n")
        return False
    return True


def is_command(job: JobSpec) -> bool:
    """A `command:` job, whose success is the run's: it knows nothing of Hanse, so the executor writes FINISHED."""
    return all(step.name == "command" for step in job.steps)


def mark_finished(run_dir: RunDir, job_id: str) -> None:
    """Say that nothing of this run is left to do."""
    write_atomically(run_dir.finished, f"{job_id}\n")
