"""What Slurm's commands print, read into JobReports. Pure: text in, contracts out.

Formats are asked for explicitly and delimited; times are asked for in UTC (TZ) and in Slurm's standard form. sacct is
read with --duplicates: a job the site requeued by force has one row for each time it ran, and all of them were held.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from hanse.contracts.errors import SchedulerUnknown
from hanse.contracts.job import FINAL_JOB_STATES, JobReport, JobState

ACCOUNTING_LAG: Final = timedelta(seconds=60)
"""How long the controller's news may take to reach accounting; after that its own word on a job's end must do."""

WAITS_FOR_ACCOUNTING: Final = "waiting for accounting"

SQUEUE_FORMAT: Final = "%i|%T|%V|%S|%e|%D|%N|%j|%r"
_SQUEUE_HEADER = "JOBID|STATE|SUBMIT_TIME|START_TIME|END_TIME|NODES|NODELIST|NAME|REASON"
SACCT_FIELDS: Final = (
    "JobIDRaw", "JobName", "State", "ExitCode", "Submit", "Start", "End", "ElapsedRaw", "NNodes", "NodeList",
    "AllocTRES", "ConsumedEnergyRaw", "Reason",
)  # fmt: skip

_STATES: Mapping[str, JobState] = {
    "PENDING": "queued", "REQUEUED": "queued", "REQUEUE_FED": "queued", "REQUEUE_HOLD": "queued",
    "SPECIAL_EXIT": "queued", "RESV_DEL_HOLD": "queued",
    "COMPLETED": "completed",
    "FAILED": "failed",
    "CANCELLED": "cancelled", "REVOKED": "cancelled", "DEADLINE": "cancelled",
    "TIMEOUT": "timeout",
    "NODE_FAIL": "node-failed", "BOOT_FAIL": "node-failed", "LAUNCH_FAILED": "node-failed",
    "RECONFIG_FAIL": "node-failed",
    "PREEMPTED": "node-failed",
    "OUT_OF_MEMORY": "out-of-memory",
}  # fmt: skip

_NO_ENERGY = frozenset({"0", "18446744073709551614", "4294967294"})


MAYBE_TAKEN: Final = re.compile(
    r"unable to contact|timed? ?out|zero bytes|connection|communication|transport endpoint|network|protocol|"
    r"temporarily|standby mode|unexpected message|try again|munge|credential|socket|address",
    re.IGNORECASE,
)
"""sbatch's messages after which the job may be queued all the same, or that say nothing of the job."""

ENDED_ALREADY: Final = re.compile(r"invalid job id|already completing or completed|job/step already", re.IGNORECASE)


def job_state(word: str) -> JobState:
    """Slurm's word as ours. A word not known here is never an end: nothing is decided on it."""
    return _STATES.get(word.split(maxsplit=1)[0] if word.strip() else "", "running")


def timestamp(text: str) -> datetime | None:
    """'2026-11-22T17:00:05' in UTC; None for Unknown, N/A, None and whatever else is no time."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None


def exit_code(text: str) -> int | None:
    """'code:signal' as a shell has it: 128 + signal where a signal ended it."""
    code, _, signum = text.partition(":")
    if not code.isdigit() or not (signum or "0").isdigit():
        return None
    return 128 + int(signum) if int(signum or 0) else int(code)


def tres(text: str) -> dict[str, int]:
    """'cpu=64,gres/gpu=8,mem=480G,node=2' without what is no whole number (memory)."""
    pairs = (part.partition("=") for part in text.split(","))
    return {name: int(value) for name, _, value in pairs if value.isdigit()}


def joules(text: str) -> int | None:
    """Of ConsumedEnergyRaw; Slurm prints 0 or NO_VAL where no counter was read."""
    return int(text) if text.isdigit() and text not in _NO_ENERGY else None


def nodes_and_gpus(alloc_tres: str, node_count: str) -> tuple[int, int]:
    """What an AllocTRES holds; sites that count cards by kind only name gres/gpu:a100 and the like."""
    held = tres(alloc_tres)
    nodes = held.get("node", int(node_count) if node_count.isdigit() else 0)
    return nodes, held.get("gres/gpu", sum(n for name, n in held.items() if name.startswith("gres/gpu:")))


def expand_nodes(text: str) -> tuple[str, ...]:
    """'nid[001-003,7],gpu1' as single names, in order; () for 'None assigned' and the like."""
    if not text or text in ("None assigned", "(null)", "None", "N/A"):
        return ()
    names: list[str] = []
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text):
        names += _expand(part)
    return tuple(names)


def _expand(part: str) -> list[str]:
    opened = re.fullmatch(r"([^\[]*)\[([^\]]*)\](.*)", part)
    if opened is None:
        return [part]
    head, ranges, tail = opened.groups()
    middles: list[str] = []
    for piece in ranges.split(","):
        low, dash, high = piece.partition("-")
        middles += [f"{n:0{len(low)}d}" for n in range(int(low), int(high) + 1)] if dash else [low]
    return [head + middle + end for middle in middles for end in _expand(tail)]


def submitted_id(stdout: str) -> str:
    """The job id of `sbatch --parsable`, which prints 'id' or 'id;cluster'. Raises SchedulerUnknown."""
    job_id = stdout.strip().partition(";")[0]
    if not job_id.isdigit():
        raise SchedulerUnknown(f"sbatch took the job and answered {stdout.strip()!r}, which holds no job id")
    return job_id


def read_squeue(stdout: str, accelerators_per_node: int) -> tuple[JobReport, ...]:
    """Rows of `squeue -o SQUEUE_FORMAT`. The header must be there: an empty answer is no answer."""
    return QueueLines().read(stdout, accelerators_per_node)


class QueueLines:
    """Reads what squeue prints, look after look: a line of a waiting job that is as it was is not read again."""

    def __init__(self) -> None:
        self._read: dict[str, JobReport] = {}

    def read(
        self, stdout: str, accelerators_per_node: int, names: Container[str] | None = None
    ) -> tuple[JobReport, ...]:
        """The jobs of those names; None: all. Raises SchedulerUnknown."""
        lines = [line for line in stdout.splitlines() if line.strip() and not line.startswith("CLUSTER:")]
        if not lines or lines[0] != _SQUEUE_HEADER:
            raise SchedulerUnknown("squeue gave no usable answer", where=repr(stdout[:200]))
        before, self._read = self._read, {}
        reports = []
        for line in lines[1:]:
            if line == _SQUEUE_HEADER:  # once a cluster
                continue
            report = before.get(line)
            if report is None:
                cells = line.split("|", 8)
                if len(cells) != 9:
                    raise SchedulerUnknown("squeue printed a row that cannot be read", where=repr(line))
                if names is not None and cells[7] not in names:
                    continue
                report = _queue_row(cells, accelerators_per_node)
            elif names is not None and report.name not in names:
                continue
            if report.state == "queued":
                self._read[line] = report
            reports.append(report)
        return tuple(reports)


def _queue_row(cells: Sequence[str], accelerators_per_node: int) -> JobReport:
    job_id, word, submitted, started, ended, nodes, node_list, name, reason = cells
    state = job_state(word)
    began = None if state == "queued" else timestamp(started)
    end = timestamp(ended) if state in FINAL_JOB_STATES else None
    return JobReport(
        job_id=job_id,
        name=name,
        state=state,
        raw_state=word,
        reason="" if reason == "None" else reason,
        submitted_at=timestamp(submitted),
        started_at=began,
        ended_at=end,
        elapsed_s=_seconds_between(began, end or datetime.now(UTC)) if began else 0.0,
        exit_code=0 if state == "completed" else None,
        nodes=expand_nodes(node_list),
        accelerators=int(nodes) * accelerators_per_node if began and nodes.isdigit() else 0,
        expected_start_at=timestamp(started) if state == "queued" else None,
    )


class _Row(NamedTuple):
    report: JobReport
    parent: str
    is_step: bool


def read_sacct(stdout: str, accelerators_per_node: int) -> tuple[JobReport, ...]:
    """Rows of `sacct -P --duplicates -o SACCT_FIELDS`, steps folded into their job, repeated runs of a job summed."""
    lines = [line for line in stdout.splitlines() if line.strip()]
    if not lines or lines[0] != "|".join(SACCT_FIELDS):
        raise SchedulerUnknown("sacct gave no usable answer", where=repr(stdout[:200]))
    rows = [_sacct_row(line, accelerators_per_node) for line in lines[1:]]
    jobs: dict[str, JobReport] = {}
    step_energy: dict[str, int] = {}
    for row in rows:
        if row.is_step:
            step_energy[row.parent] = max(step_energy.get(row.parent, 0), row.report.energy_joules or 0)
        elif row.parent in jobs:
            jobs[row.parent] = _run_again(jobs[row.parent], row.report)
        else:
            jobs[row.parent] = row.report
    for job_id, energy in step_energy.items():
        # Steps of one job measure the same nodes at the same time: the largest figure, never the sum.
        if energy and job_id in jobs and jobs[job_id].energy_joules is None:
            jobs[job_id] = jobs[job_id].model_copy(update={"energy_joules": energy})
    return tuple(jobs.values())


def _sacct_row(line: str, accelerators_per_node: int) -> _Row:
    cells = line.split("|")
    if len(cells) < len(SACCT_FIELDS):
        raise SchedulerUnknown("sacct printed a row that cannot be read", where=repr(line))
    cell = dict(zip(SACCT_FIELDS, cells, strict=False))
    state = job_state(cell["State"])
    nodes, gpus = nodes_and_gpus(cell["AllocTRES"], cell["NNodes"])
    started = timestamp(cell["Start"])
    elapsed = cell["ElapsedRaw"]
    report = JobReport(
        job_id=cell["JobIDRaw"],
        name=cell["JobName"],
        state=state,
        raw_state=cell["State"],
        reason="" if cell["Reason"] == "None" else cell["Reason"],
        submitted_at=timestamp(cell["Submit"]),
        started_at=started,
        ended_at=timestamp(cell["End"]) if state in FINAL_JOB_STATES else None,
        elapsed_s=float(elapsed) if elapsed.isdigit() else 0.0,
        exit_code=exit_code(cell["ExitCode"]) if state in FINAL_JOB_STATES else None,
        nodes=expand_nodes(cell["NodeList"]),
        accelerators=(gpus or nodes * accelerators_per_node) if started and tres(cell["AllocTRES"]) else 0,
        energy_joules=joules(cell["ConsumedEnergyRaw"]),
    )
    parent, dot, _ = report.job_id.partition(".")
    return _Row(report, parent, bool(dot))


def _run_again(before: JobReport, after: JobReport) -> JobReport:
    """One job that ran more than once: the last word of its last run, and the time of all of them."""
    first, last = sorted((before, after), key=lambda report: report.submitted_at or datetime.min.replace(tzinfo=UTC))
    energy = (first.energy_joules or 0) + (last.energy_joules or 0)
    return last.model_copy(
        update={
            "submitted_at": first.submitted_at,
            "started_at": first.started_at or last.started_at,
            "elapsed_s": first.elapsed_s + last.elapsed_s,
            "accelerators": max(first.accelerators, last.accelerators),
            "energy_joules": energy or None,
        }
    )


def merge(
    queue: Iterable[JobReport], accounts: Iterable[JobReport] | None, *, at: datetime | None
) -> tuple[JobReport, ...]:
    """One report a job, oldest first. The queue knows the present state, accounting what was held and how it ended.

    `accounts` is None where the site keeps no accounting. `at` is the moment of asking; None while accounting is away:
    then no end is settled, however long ago.
    """
    merged = {
        report.job_id: _not_settled(report, report.raw_state) if _lacks_its_measure(report) else report
        for report in accounts or ()
    }
    for seen in queue:
        known = merged.get(seen.job_id)
        late = (accounts is not None and seen.ended_at is not None) and (
            at is None or at - seen.ended_at < ACCOUNTING_LAG
        )
        lacking = known is not None and known.reason == WAITS_FOR_ACCOUNTING
        if (late or (lacking and seen.state in FINAL_JOB_STATES)) and (
            known is None or known.state not in FINAL_JOB_STATES
        ):
            merged[seen.job_id] = _not_settled(known or seen, seen.raw_state)
        else:
            merged[seen.job_id] = seen if known is None else _both(seen, known)
    return tuple(sorted(merged.values(), key=lambda report: int(re.sub(r"\D.*", "", report.job_id) or 0)))


def _not_settled(report: JobReport, raw_state: str) -> JobReport:
    """An end without exit code and charge is no end yet."""
    return report.model_copy(
        update={"state": "running", "raw_state": raw_state, "reason": WAITS_FOR_ACCOUNTING, "ended_at": None,
                "exit_code": None}
    )  # fmt: skip


def _lacks_its_measure(report: JobReport) -> bool:
    """An end whose time, or what was held until then, slurmdbd has not been told yet: it was away, and catches up."""
    ran = report.started_at is not None and report.elapsed_s > 0
    return report.state in FINAL_JOB_STATES and (report.ended_at is None or (ran and not report.accelerators))


def _both(seen: JobReport, known: JobReport) -> JobReport:
    """The queue was asked first, so an end that accounting reports is news; only of a requeue the queue knows more."""
    if known.state in FINAL_JOB_STATES and (seen.state in FINAL_JOB_STATES or seen.state == "running"):
        return known
    if seen.state == "queued":
        return known.model_copy(
            update={"state": seen.state, "raw_state": seen.raw_state, "reason": seen.reason, "ended_at": None,
                    "exit_code": None, "nodes": (), "expected_start_at": seen.expected_start_at}
        )  # fmt: skip
    return known.model_copy(
        update={
            "state": seen.state,
            "raw_state": seen.raw_state,
            "reason": seen.reason,
            "started_at": known.started_at or seen.started_at,
            "ended_at": seen.ended_at,
            "elapsed_s": max(known.elapsed_s, seen.elapsed_s),
            "exit_code": seen.exit_code,
            "nodes": seen.nodes or known.nodes,
            "accelerators": known.accelerators or seen.accelerators,
        }
    )


def _seconds_between(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
