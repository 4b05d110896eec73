"""The local scheduler's state on disk. There is no daemon: this folder and the locks in it are the scheduler.

<spool>/
  submitting                   lock: one submission at a time gets the next number
  nodes/0 … n-1                locks: held by the supervisor whose job has the node
  waiting/00000012             one empty file a queued job; the lowest living number is next
  jobs/00000012-<job name>/    appears whole, by rename
    order.json                 Order: what was asked
    status.json                JobReport: what the supervisor last said
    alive                      lock: held from submission until the supervisor's end
    heartbeat                  seconds held so far, rewritten every second
    cancel                     somebody asked for the end
    stop                       somebody asked for the stop signal
    pid                        the supervisor's, for people

A lock ends with its holder, so that no PID is ever trusted: not a reused one, not one of before a reboot.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import Field, ValidationError

from hanse.contracts.base import Contract, Positive, Seconds, Timestamp
from hanse.contracts.errors import SchedulerUnknown
from hanse.contracts.job import FINAL_JOB_STATES, JobReport, JobSpec
from hanse.schedulers.files import is_locked

MOST_KEPT: Final = 1000
"""More ended jobs than this are kept for a day only: an agent has long told of them by then."""
SURPLUS_KEPT_FOR: Final = timedelta(days=1)
KEPT_FOR: Final = timedelta(days=60)
"""As far back as Slurm's accounting is asked."""
LOOKED_AT: Final = 64
"""So many of the oldest at each submission: a submission must not wait for a cleaning."""

Devices = Literal["cpu", "cuda", "rocm"]


class Order(Contract):
    """One submission, complete: a supervisor needs nothing else."""

    job_id: str
    job: JobSpec
    run_dir: str
    ticket_key: str
    data_dir: str
    submitted_at: Timestamp
    nodes: Positive
    """Nodes this machine has."""
    accelerators_per_node: Positive
    devices: Devices = "cpu"
    grace_s: Seconds = Field(default=10.0)


class JobFolder(NamedTuple):
    root: Path

    @property
    def number(self) -> str:
        return self.root.name.partition("-")[0]

    @property
    def job_id(self) -> str:
        return str(int(self.number))

    @property
    def name(self) -> str:
        return self.root.name.partition("-")[2]

    @property
    def order(self) -> Path:
        return self.root / "order.json"

    @property
    def status(self) -> Path:
        return self.root / "status.json"

    @property
    def alive(self) -> Path:
        return self.root / "alive"

    @property
    def heartbeat(self) -> Path:
        return self.root / "heartbeat"

    @property
    def cancel(self) -> Path:
        return self.root / "cancel"

    @property
    def stop(self) -> Path:
        return self.root / "stop"

    @property
    def pid(self) -> Path:
        return self.root / "pid"

    def read_order(self) -> Order:
        return Order.from_json(self.order.read_bytes())

    def read_status(self) -> JobReport:
        try:
            return JobReport.from_json(self.status.read_bytes())
        except (OSError, ValidationError) as error:
            raise SchedulerUnknown(
                "the local scheduler's record of a job cannot be read",
                where=str(self.status),
                fix=f"Look at the disk and the folder's permissions ({type(error).__name__}).",
            ) from error

    def is_over(self) -> bool:
        return self.read_status().state in FINAL_JOB_STATES

    def read_heartbeat_s(self) -> float:
        """Seconds the job had run when its supervisor last lived; 0 if it never ran."""
        try:
            return max(0.0, float(self.heartbeat.read_text(encoding="ascii")))
        except (FileNotFoundError, ValueError):
            return 0.0


def _ended_before(folder: JobFolder, moment: datetime) -> bool:
    """A record that cannot be read is no end."""
    try:
        report = folder.read_status()
    except SchedulerUnknown:
        return False
    over = report.state in FINAL_JOB_STATES and not is_locked(folder.alive)
    return over and report.ended_at is not None and report.ended_at < moment


class Spool(NamedTuple):
    root: Path

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    @property
    def waiting(self) -> Path:
        return self.root / "waiting"

    @property
    def submitting(self) -> Path:
        return self.root / "submitting"

    def node(self, slot: int) -> Path:
        return self.root / "nodes" / str(slot)

    def lay(self) -> None:
        for folder in (self.jobs, self.waiting, self.root / "nodes"):
            folder.mkdir(parents=True, exist_ok=True)

    def folders(self) -> Iterator[JobFolder]:
        """Every job that is remembered here, oldest first."""
        for entry in sorted(self.jobs.iterdir()):
            if entry.name[:1].isdigit():
                yield JobFolder(entry)

    def forget_old(self, at: datetime) -> int:
        """Remove jobs that ended long ago, a few at a time; whoever calls this holds `submitting`.

        The youngest stays whatever its age: the next one's number follows it. What a crash left half-made goes too.
        """
        for entry in self.jobs.iterdir():
            if entry.name.startswith("."):
                shutil.rmtree(entry, ignore_errors=True)
        every = list(self.folders())
        forgotten = 0
        for place, folder in enumerate(every[:-1][:LOOKED_AT]):
            kept_for = SURPLUS_KEPT_FOR if len(every) - place > MOST_KEPT else KEPT_FOR
            if not _ended_before(folder, at - kept_for):
                continue
            aside = self.jobs / f".{uuid.uuid4().hex}"
            folder.root.rename(aside)  # it vanishes whole, or not at all
            shutil.rmtree(aside, ignore_errors=True)
            forgotten += 1
        return forgotten

    def is_next(self, folder: JobFolder) -> bool:
        """Whether no living job that was submitted before `folder` still waits for nodes."""
        ahead = {entry.name for entry in self.waiting.iterdir() if entry.name < folder.number}
        if not ahead:
            return True
        return not any(other.number in ahead and is_locked(other.alive) for other in self.folders())

    def waiting_mark(self, folder: JobFolder) -> Path:
        return self.waiting / folder.number
