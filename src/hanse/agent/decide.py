"""What to do about one attempt, given what is wanted, what was written down and what the scheduler says. Pure.

The rules that keep a job from being lost or doubled: nothing is done on an answer that did not come; a job that may
exist is looked for by its unique name and adopted; one that was surely queued and is not mentioned is unknown, and is
never submitted again; the claim file says which of several jobs of one attempt is the job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hanse.agent.store import Record
from hanse.contracts.job import FINAL_JOB_STATES, JobReport
from hanse.contracts.run import FINAL_ATTEMPT_STATES, AttemptState

RESUBMIT_AFTER = timedelta(seconds=10)
"""An sbatch that outlived a killed agent has come to its end by then; the fence catches one that has not."""
UNKNOWN_AFTER = timedelta(seconds=30)
"""Accounting may lag behind the queue by this much."""
CANCEL_AGAIN_AFTER = timedelta(seconds=30)
DOUBLE_ENDS_WITHIN = timedelta(seconds=60)
"""A doubled job finds the claim taken and ends by itself; one that still waits for nodes by then is ended."""
START_MOVED_BY = timedelta(minutes=10)
FORGOTTEN_AFTER = timedelta(hours=1)
"""A job unmentioned for so long will not be: accounting is purged, or was never kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What the attempt's and the run's folders show."""

    claimed: bool = False
    claim_holder: str = ""
    """Id of the job that made the claim; empty if it died before writing it."""
    finished: bool = False
    """The run's FINISHED file is there."""
    last_step: int | None = None
    progressed: bool = False
    """This attempt has done at least one step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing can be known or done now."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Write the intent down, then submit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    """It was cancelled before it was ever submitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The scheduler answers, and does not mention a job that it was given."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The run's FINISHED file is there, and the scheduler has long forgotten the job: its measure will not come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """`job` is the attempt's; adopt it if it was not known, tell its state, end `end` if there are any."""

    job: JobReport
    state: AttemptState
    reason: str
    doubled: tuple[JobReport, ...] = ()
    end: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    """Jobs whose program is sent its stop signal: it goes on from what it saves."""
    stop: str = ""
    """Why its training is to be asked, by its stop file, to write a checkpoint and end; empty: it is not."""


Move = Wait | Submit | Withdraw | Lost | Finished | Follow


def decide(
    record: Record, reports: Sequence[JobReport] | None, traces: Traces, *, at: datetime, halted: str = ""
) -> Move:
    """The next move. `reports` are all jobs that carry the attempt's name, oldest first; None: no usable answer.

    `halted` is why nothing of Hanse's may run here now: jobs are ended for that reason, and none are submitted.
    """
    if reports is None:
        return Wait(reason="the scheduler gives no answer")
    if reports:
        return _follow(record, reports, traces, at=at, halted=halted)
    if record.job_id is not None or traces.claimed:
        job = record.job_id or traces.claim_holder or "of this attempt"
        if record.submitted_at is not None and at - record.submitted_at < UNKNOWN_AFTER:
            return Wait(reason=f"the scheduler does not mention job {job} yet")
        return _lost(record, traces, f"The scheduler does not mention job {job}.", at=at)
    if record.intent_at is not None and at - record.intent_at < RESUBMIT_AFTER:
        return Wait(reason="it may have been submitted a moment ago")
    if record.assignment.desired != "run":
        return Withdraw()
    return Wait(reason=halted) if halted else Submit()


def quiet(record: Record, reports: Sequence[JobReport]) -> bool:
    """Whether a look shows what the last one did: the one job of a wanted attempt waits in the queue as it did.

    There is then nothing to read in its folders and nothing to decide, however many such attempts there are.
    """
    seen = record.seen
    if seen is None or seen.state is not AttemptState.QUEUED or len(reports) != 1:
        return False
    job = reports[0]
    return (
        job.state == "queued"
        and job.job_id == record.job_id
        and job.reason == seen.reason
        and record.assignment.desired == "run"
        and not moved(job.expected_start_at, seen.expected_start_at)
    )


def moved(new: datetime | None, old: datetime | None) -> bool:
    """Whether an estimate changed by what is worth telling; a scheduler's go up and down by minutes."""
    if new is None or old is None:
        return new is not old
    return abs(new - old) >= START_MOVED_BY


def asked_to_stop(record: Record) -> str:
    """Why the service wants it to stop with a checkpoint; empty if it does not, or wants it cancelled."""
    wanted = record.assignment
    if wanted.desired == "cancel":
        return ""
    return wanted.stop or ("Asked to stop with a checkpoint." if wanted.desired == "stop" else "")


def _follow(
    record: Record, reports: Sequence[JobReport], traces: Traces, *, at: datetime, halted: str
) -> Follow | Lost | Finished:
    job = _the_job(record, reports, traces)
    if job is None:
        reason = f"The scheduler does not mention job {traces.claim_holder}, which holds the claim."
        return _lost(record, traces, reason, at=at)
    doubled = tuple(report for report in reports if report.job_id != job.job_id)
    alive = tuple(report.job_id for report in reports if report.state not in FINAL_JOB_STATES)
    stop = "" if halted else asked_to_stop(record)
    softly = bool(stop) and job.state == "running" and _may_save(record, at)
    # A program of the user's knows no stop file, and what waits in the queue has nothing to save.
    stop_by_ending = bool(stop) and not softly and (record.assignment.spec.command is not None or job.state == "queued")
    wanted_cancelled = record.assignment.desired == "cancel" or bool(halted) or stop_by_ending
    state, reason = outcome(job, traces, wanted_cancelled=wanted_cancelled)
    if halted and state is AttemptState.CANCELLED:
        reason = halted
    # Asked to leave, a program leaves as it will: few end with 0 after a signal.
    heeded = _resumes(record) and record.cancel_at is not None and job.state == "failed"
    if stop and (state in (AttemptState.STOPPED, AttemptState.CANCELLED) or heeded):
        state, reason = AttemptState.STOPPED, stop  # an end that was asked for is nobody else's cancelling
    overdue = False
    if alive and state in FINAL_ATTEMPT_STATES:  # it might train beside the next attempt, and costs are not known yet
        state, reason = AttemptState.RUNNING, f"All but over: job {alive[0]}, submitted twice, has not ended."
        overdue = job.ended_at is None or at - job.ended_at >= DOUBLE_ENDS_WITHIN
    asked = record.cancel_at is not None and at - record.cancel_at < CANCEL_AGAIN_AFTER
    end = alive if (wanted_cancelled or overdue) and not asked else ()
    by_file = stop if job.state == "running" and not stop_by_ending and not softly else ""
    ask = (job.job_id,) if softly and record.cancel_at is None and not end else ()
    return Follow(job=job, state=state, reason=reason, doubled=doubled, end=end, stop=by_file, ask=ask)


def _resumes(record: Record) -> bool:
    command = record.assignment.spec.command
    return command is not None and command.resumes


def _may_save(record: Record, at: datetime) -> bool:
    """Whether it gets its stop signal or has time left after it: as much as before the end of the wall time."""
    if not _resumes(record):
        return False
    time = max(CANCEL_AGAIN_AFTER, timedelta(seconds=record.assignment.job.stop_signal_before_s))
    return record.cancel_at is None or at - record.cancel_at < time


def _lost(record: Record, traces: Traces, reason: str, *, at: datetime) -> Lost | Finished:
    unknown_since = record.seen.at if record.seen and record.seen.state is AttemptState.UNKNOWN else at
    return Finished() if traces.finished and at - unknown_since >= FORGOTTEN_AFTER else Lost(reason=reason)


def _the_job(record: Record, reports: Sequence[JobReport], traces: Traces) -> JobReport | None:
    by_id = {report.job_id: report for report in reports}
    if traces.claim_holder:
        return by_id.get(traces.claim_holder)
    recorded = [by_id[record.job_id]] if record.job_id in by_id else []
    candidates = [*recorded, *reports]  # unclaimed, a living one may yet train; the dead one can not any more
    return next((r for r in candidates if r.state not in FINAL_JOB_STATES), candidates[0])


def outcome(job: JobReport, traces: Traces, *, wanted_cancelled: bool) -> tuple[AttemptState, str]:
    """The attempt's state for its job's, and why. A finished run is finished however its job ended."""
    if job.state == "queued":
        return AttemptState.QUEUED, job.reason
    if job.state == "running":
        return AttemptState.RUNNING, ""
    if traces.finished:
        return AttemptState.FINISHED, ""
    if job.state == "cancelled":
        return AttemptState.CANCELLED, "" if wanted_cancelled else job.reason
    if job.state == "completed":
        return AttemptState.STOPPED, "The job ended before the run was finished."
    if job.state == "timeout" and traces.progressed:
        return AttemptState.STOPPED, "The wall time was over."
    return AttemptState.FAILED, _WHY_FAILED[job.state].format(code=job.exit_code, reason=job.reason or job.raw_state)


_WHY_FAILED = {
    "timeout": "The wall time was over before a single step was done.",
    "failed": "The job ended with exit code {code}.",
    "node-failed": "The job's node was lost: {reason}.",
    "out-of-memory": "The job ran out of memory.",
}
