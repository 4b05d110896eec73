"""A stop with a checkpoint, as the service asks for it: the attempt's stop file, which its trainer watches. No kill."""

from __future__ import annotations

from hanse.agent.store import Record
from hanse.contracts.job import FINAL_JOB_STATES, JobReport
from hanse.contracts.rundir import AttemptDir


def reason_of(record: Record) -> str:
    """Why the attempt is to write a checkpoint and end; empty if it may go on."""
    asked = record.assignment
    return asked.stop or ("Asked to stop with a checkpoint." if asked.desired == "stop" else "")


def by_ending(record: Record, job: JobReport) -> bool:
    """Whether stopping means ending the job: a program of the user's knows no stop file, a waiting one needs none."""
    alive = job.state not in FINAL_JOB_STATES
    return alive and bool(reason_of(record)) and (record.assignment.spec.command is not None or job.state == "queued")


def ask(record: Record, attempt: AttemptDir) -> bool:
    """Make the stop file where a training is to stop; whether it was made just now."""
    if not reason_of(record) or record.assignment.spec.command is not None or attempt.stop.exists():
        return False
    attempt.stop.touch()
    return True
