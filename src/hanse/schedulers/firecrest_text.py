"""What FirecREST v2 answers, read into contracts. Pure: JSON values in, contracts out.

The form of the answers is that of its public source (github.com/eth-cscs/firecrest-v2: lib/scheduler_clients/models.py
and slurm/models.py). A job says how many nodes it holds and no TRES, so that a node counts with all its accelerators.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from hanse.contracts.errors import SchedulerUnknown
from hanse.contracts.job import FINAL_JOB_STATES, JobReport
from hanse.contracts.site import BadNode, PartitionState
from hanse.schedulers.slurm_text import ACCOUNTING_LAG, WAITS_FOR_ACCOUNTING, expand_nodes, job_state

_UNUSABLE: Final = ("DOWN", "DRAIN", "OFFLINE", "POWERING", "FAIL", "MAINT", "UNKNOWN", "INVAL", "REBOOT")
_BROKEN: Final = ("DOWN", "DRAIN", "FAIL")


def read_jobs(jobs: Sequence[Mapping[str, Any]], accelerators_per_node: int, *, at: datetime) -> tuple[JobReport, ...]:
    """One report a job, oldest first. Raises SchedulerUnknown for what is no list of jobs."""
    try:
        reports = [_job(job, accelerators_per_node, at) for job in jobs]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise SchedulerUnknown(f"FirecREST told of a job in a form that cannot be read: {error!r}") from error
    return tuple(sorted(reports, key=lambda report: int(report.job_id) if report.job_id.isdigit() else 0))


def _job(job: Mapping[str, Any], accelerators_per_node: int, at: datetime) -> JobReport:
    status, time = job["status"], job["time"]
    word = status["state"] or ""
    state = job_state(word)
    start, end = _moment(time.get("start")), _moment(time.get("end"))
    waits = state == "queued"
    started_at = None if waits else start
    ended_at = end if state in FINAL_JOB_STATES else None
    reason = status.get("stateReason") or ""
    code = _exit_code(status) if state in FINAL_JOB_STATES else None
    if state in FINAL_JOB_STATES and (ended_at is None or (code is None and at - ended_at < ACCOUNTING_LAG)):
        # The queue says that it ended; how, and what it held, is accounting's to tell.
        state, ended_at, code, reason = "running", None, None, WAITS_FOR_ACCOUNTING
    if code is None and state == "completed":
        code = 0
    return JobReport(
        job_id=str(job["jobId"]),
        name=job["name"],
        state=state,
        raw_state=word,
        reason="" if reason == "None" else reason,
        started_at=started_at,
        ended_at=ended_at,
        elapsed_s=_elapsed_s(time.get("elapsed"), started_at, ended_at or at),
        exit_code=code,
        nodes=() if waits else expand_nodes(job.get("nodes") or ""),
        accelerators=int(job.get("allocationNodes") or 0) * accelerators_per_node if started_at else 0,
        expected_start_at=start if waits and start is not None and start > at else None,
    )


def _moment(seconds: object) -> datetime | None:
    """Unix time; 0 is what Slurm's own interface says of what has not come yet."""
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) and seconds > 0 else None


def _elapsed_s(told: object, started_at: datetime | None, until: datetime) -> float:
    if started_at is None:
        return 0.0
    return float(told) if isinstance(told, int) else max(0.0, (until - started_at).total_seconds())


def _exit_code(status: Mapping[str, Any]) -> int | None:
    """As a shell has it: 128 + signal where a signal ended it."""
    signum = status.get("interruptSignal")
    if signum:
        return 128 + int(signum)
    code = status.get("exitCode")
    return None if code is None else int(code)


def read_state(
    partitions: Sequence[Mapping[str, Any]], nodes: Sequence[Mapping[str, Any]]
) -> tuple[tuple[PartitionState, ...], tuple[BadNode, ...]]:
    """How queues and nodes are. Who waits or runs in a queue is not told, nor why a node is away."""
    try:
        every = {str(node["name"]): (_words(node["state"]), tuple(node.get("partitions") or ())) for node in nodes}
        idle = Counter(queue for words, queues in every.values() if words == ("IDLE",) for queue in queues)
        away = Counter(queue for words, queues in every.values() if _has(words, _UNUSABLE) for queue in queues)
        queues = tuple(
            PartitionState(
                name=one["name"], up=(word := " ".join(_words(one["partition"]))) == "UP",
                nodes=int(one.get("totalNodes") or 0), nodes_idle=idle[one["name"]], nodes_down=away[one["name"]],
                reason="" if word == "UP" else word.lower(),
            )
            for one in partitions
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SchedulerUnknown(f"FirecREST told of the machine in a form that cannot be read: {error!r}") from error
    broken = tuple(
        BadNode(name=name, reason=f"{' '.join(words).lower()}; FirecREST tells no reason")
        for name, (words, _) in sorted(every.items())
        if _has(words, _BROKEN)
    )
    return queues, broken


def _words(state: object) -> tuple[str, ...]:
    """A state is one word or several; older versions pass Slurm's marks on ('idle*': it does not answer)."""
    said = [state] if isinstance(state, str) else list(state) if isinstance(state, Sequence) else []
    return tuple("DOWN" if word.endswith("*") else word.rstrip("+~#%$@!^-").upper() for word in said)


def _has(words: tuple[str, ...], kinds: tuple[str, ...]) -> bool:
    return any(kind in word for word in words for kind in kinds)
