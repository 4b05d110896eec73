"""A stop with a checkpoint, as the service asks for it: the attempt's stop file, which its trainer watches. No kill."""

from __future__ import annotations

from dataclasses import replace

from hanse.agent.decide import Follow
from hanse.agent.store import Record
from hanse.contracts.job import FINAL_JOB_STATES, JobReport
from hanse.contracts.run import AttemptState
from hanse.contracts.rundir import AttemptDir


def reason_of(record: Record) -> str:
    """Why the attempt is to write a checkpoint and end; empty if it may go on."""
    asked = record.assignment
    return asked.stop or ("Asked to stop with a checkpoint." if asked.desired == "stop" else "")


def as_asked(record: Record, follow: Follow) -> Follow:
    """An end that the service asked for is a stop, and says why: not a failure, nor somebody else's cancelling."""
    because = reason_of(record)
    ended = follow.state in (AttemptState.STOPPED, AttemptState.CANCELLED)
    if not because or not ended or record.assignment.desired == "cancel":
        return follow
    return replace(follow, state=AttemptState.STOPPED, reason=because)


def by_ending(record: Record, job: JobReport) -> bool:
    """Whether stopping means ending the job: a program of the user's knows no stop file, a waiting one needs none."""
    alive = job.state not in FINAL_JOB_STATES
    return alive and bool(reason_of(record)) and (record.assignment.spec.command is not None or job.state == "queued")


def ask(record: Record, attempt: AttemptDir) -> str:
    """Make the stop file where a training is to stop; what is to be said of it, '' if nothing was done.

    A folder that cannot be written now is tried again at the next look: other attempts must not suffer from it.
    """
    if not reason_of(record) or record.assignment.spec.command is not None or attempt.stop.exists():
        return ""
    try:
        attempt.stop.touch()
    except OSError as error:
        return f"it cannot be asked to stop yet: {error.strerror}"
    return reason_of(record)
