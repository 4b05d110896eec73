"""The `slurm` scheduler: sbatch, one squeue and one sacct a cycle whatever the number of jobs, scancel.

Accounting is asked of a waiting job once: it has nothing to add while the queue shows it waiting.

Every call has a deadline. Whatever a command does not surely answer becomes SchedulerUnknown; only a refusal that the
controller itself spoke becomes SiteError.
"""

from __future__ import annotations

import errno
import itertools
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Final, Literal

from hanse.contracts.base import now
from hanse.contracts.errors import NoRoom, SchedulerUnknown, SiteError
from hanse.contracts.job import JobReport, JobSpec, JobState
from hanse.contracts.machine import Machine
from hanse.contracts.rundir import RunDir
from hanse.contracts.site import MachineState, SiteBudget, SiteJob
from hanse.schedulers import accounting, slurm_state
from hanse.schedulers.host import Completed, Host, HostUnreachable, LocalHost
from hanse.schedulers.script import render
from hanse.schedulers.slurm_text import (
    ENDED_ALREADY,
    MAYBE_TAKEN,
    SACCT_FIELDS,
    SQUEUE_FORMAT,
    QueueLines,
    merge,
    read_sacct,
    submitted_id,
)

_NO_ACCOUNTING = re.compile(r"accounting storage is disabled", re.IGNORECASE)

ACCOUNTING_WINDOW: Final = "now-60days"
"""How far back accounting is asked: an agent may have been away for weeks."""

NAMES_AT_ONCE: Final = 1000
"""An argument of a command holds 128 KiB; more jobs than this are asked for in several queries."""
LONGEST_BACKOFF_S: Final = 300.0
SUBMITS_AT_ONCE: Final = 4


@dataclass(slots=True)
class _Pause:
    """A command that gives no usable answer is tried less and less often."""

    failures: int = 0
    until: float = 0.0
    words: str = ""

    def failed(self, words: str, *, at: float) -> None:
        """The first failure costs nothing: a command may stumble once. From the second on the pauses double."""
        self.failures, self.words = self.failures + 1, words
        if self.failures > 1:
            self.until = at + min(LONGEST_BACKOFF_S, 2.0 ** min(self.failures, 9))


class SlurmScheduler:
    """Slurm's commands as they are found on `host`; `environment` (SLURM_CONF, SLURM_CLUSTERS) is added to theirs.

    A controller that gives no usable answer is asked less and less often, up to five minutes apart: queries in
    between raise SchedulerUnknown at once. Submitting and ending jobs is always tried.
    """

    def __init__(
        self,
        machine: Machine,
        environment: Mapping[str, str] | None = None,
        host: Host | None = None,
        *,
        timeout_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._machine = machine
        self._extra = dict(environment or {})
        self._host: Host = host or LocalHost()
        self._timeout_s = timeout_s
        self._clock = clock
        self._pauses: dict[str, _Pause] = {}
        """By what is asked: accounting may be away while the queue answers, and some questions are not everybody's."""
        self._counts_gpus: bool | None = None
        """Whether accounting keeps gres/gpu; None before it was asked."""
        self._waiting: dict[str, tuple[str, JobState, datetime | None]] = {}
        """By name, the one job of it that waits and, as accounting said, never ran."""
        self._lines = QueueLines()

    @property
    def submits_at_once(self) -> int:
        """Most of an sbatch is waiting for the controller; over SSH all goes through one connection, in turn."""
        return 1 if self._host.remote else SUBMITS_AT_ONCE

    def submit(self, job: JobSpec, run_dir: RunDir, *, ticket_key: str, data_dir: str, after: str | None = None) -> str:
        if after is not None and not after.isdigit():
            raise SiteError(f"{after!r} is no job id of Slurm", where=self._machine.id)
        if not self._host.remote:
            run_dir = RunDir(run_dir.root.absolute())
        elif self._machine.scheduler.python is None and job.image is None:
            raise SiteError(
                f"nothing says which Python runs Hanse on {self._host.name}",
                where=self._machine.id,
                fix="Write scheduler.python into the machine's description.",
            )
        attempt = run_dir.attempt(job.attempt_number)
        script = render(job, self._machine, run_dir, ticket_key=ticket_key, data_dir=data_dir)
        try:
            self._host.write_atomically(attempt.script, script.encode())
        except OSError as error:
            kind = NoRoom if error.errno in (errno.ENOSPC, errno.EDQUOT) else SiteError
            raise kind(f"the job script cannot be written: {error.strerror}", where=str(attempt.script)) from error
        chain = [] if after is None else [f"--dependency=afterany:{after}", "--kill-on-invalid-dep=no"]
        try:
            done = self._call(["sbatch", "--parsable", *chain, str(attempt.script)], cwd=attempt.root)
        except FileNotFoundError as error:
            raise self._missing("sbatch") from error
        if done.returncode == 0:
            return submitted_id(done.stdout)
        said = _said(done)
        if done.returncode < 0 or not said or MAYBE_TAKEN.search(said):
            raise SchedulerUnknown(f"sbatch gave no sure answer: {said or 'silence'}", where=self._machine.id)
        raise SiteError(
            f"Slurm refused the job: {said}",
            where=self._machine.id,
            fix="Check account, partition, QoS, nodes and time against what the site granted.",
        )

    def observe(self, jobs: Mapping[str, str | None]) -> dict[str, tuple[JobReport, ...]]:
        if not jobs:
            return {}
        per_node = self._machine.accelerators_per_node
        queue = self._queue(jobs, per_node)
        asked = [name for name in jobs if not self._still_waits(queue.get(name, ()))]
        known: list[JobReport] | None = []
        for some in _batches(asked):  # of all users: an agent's jobs may run as the people they are of
            try:
                account = self._ask(
                    [
                        "sacct", "--allusers", "--parsable2", "--duplicates", f"--name={some}",
                        f"--starttime={ACCOUNTING_WINDOW}", f"--format={','.join(SACCT_FIELDS)}",
                    ],
                    unless=_NO_ACCOUNTING,
                )  # fmt: skip
            except SchedulerUnknown:
                return _queue_alone(itertools.chain.from_iterable(queue.values()))
            known = None if account is None or known is None else [*known, *read_sacct(account, per_node)]
        told = merge(itertools.chain.from_iterable(queue.get(name, ()) for name in asked), known, at=now())
        answer: dict[str, tuple[JobReport, ...]] = dict.fromkeys(jobs, ()) | dict(queue)
        answer |= dict.fromkeys(asked, ())
        for report in told:
            if report.name in answer:
                answer[report.name] += (report,)
        self._remember(answer)
        return answer

    def _queue(self, jobs: Mapping[str, str | None], per_node: int) -> dict[str, tuple[JobReport, ...]]:
        """What the queue mentions of these names. Of many, the whole queue is asked for: the controller sends it
        whole in any case, and once.
        """
        some = ",".join(jobs)
        names = [f"--name={some}"] if len(jobs) <= NAMES_AT_ONCE else []
        said = self._ask(["squeue", "--states=all", *names, f"--format={SQUEUE_FORMAT}"]) or ""
        found: dict[str, tuple[JobReport, ...]] = {}
        for report in self._lines.read(said, per_node, jobs):
            found[report.name] = (*found.get(report.name, ()), report)
        return found

    def _still_waits(self, reports: Sequence[JobReport]) -> bool:
        """Whether accounting has nothing to add: it said before that this one job never ran, and it waits as it did.

        A job that is requeued gets another time of submission; one that a second submission doubled is two.
        """
        return len(reports) == 1 and self._waiting.get(reports[0].name) == _place_in_queue(reports[0])

    def _remember(self, answer: Mapping[str, Sequence[JobReport]]) -> None:
        waiting = {}
        for name, reports in answer.items():
            if len(reports) == 1 and reports[0].state == "queued" and not reports[0].elapsed_s:
                waiting[name] = _place_in_queue(reports[0])
        self._waiting = waiting

    def cancel(self, job_ids: Sequence[str]) -> None:
        self._scancel(job_ids)

    def signal(self, job_ids: Sequence[str], signal: Literal["USR1"]) -> None:
        """To the job's script alone: its trap passes the signal on to the ranks."""
        self._scancel(job_ids, f"--signal={signal}", "--batch")

    def _scancel(self, job_ids: Sequence[str], *options: str) -> None:
        if not job_ids:
            return
        try:
            done = self._call(["scancel", *options, *job_ids])
        except FileNotFoundError as error:
            raise self._missing("scancel") from error
        complaints = [line for line in done.stderr.splitlines() if line.strip() and not ENDED_ALREADY.search(line)]
        if complaints or (done.returncode != 0 and not done.stderr.strip()):
            raise SchedulerUnknown(f"scancel: {' '.join(complaints) or 'no answer'}", where=self._machine.id)

    def state(self) -> MachineState:
        partitions = slurm_state.read_partitions(
            self._ask(["sinfo", "--all", f"--format={slurm_state.SINFO_FORMAT}"]) or "",
            self._ask(["squeue", "--all", "--states=PENDING,RUNNING", f"--format={slurm_state.LOAD_FORMAT}"]) or "",
        )
        at = now()
        waits = []
        for partition, nodes, wall_time_s in slurm_state.sizes(self._machine, partitions):
            said = self._estimate(partition, nodes, wall_time_s)
            if said is not None and (wait := slurm_state.read_estimate(said, at)) is not None:
                waits.append(slurm_state.wait_of(partition, nodes, wall_time_s, wait))
        return MachineState(
            at=at,
            partitions=partitions,
            waits=tuple(waits),
            maintenance=slurm_state.read_reservations(
                self._ask(["scontrol", "--oneliner", "show", "reservation"]) or ""
            ),
            bad_nodes=slurm_state.read_reasons(
                self._ask(["sinfo", "--all", "--list-reasons", f"--format={slurm_state.REASON_FORMAT}"]) or ""
            ),
        )

    def _estimate(self, partition: str, nodes: int, wall_time_s: int) -> str | None:
        """What `sbatch --test-only` says of such a job; None where it may not be submitted."""
        minutes = max(1, wall_time_s // 60)
        command = ["sbatch", "--test-only", f"--partition={partition}", f"--nodes={nodes}", f"--time={minutes}"]
        if self._machine.scheduler.gpu_request:
            command.append(self._machine.scheduler.gpu_request)
        try:
            done = self._call([*command, "--wrap=true"], utc=True)
        except FileNotFoundError as error:
            raise SchedulerUnknown("sbatch is not on PATH", where=self._machine.id) from error
        return done.stderr if done.returncode == 0 else None

    def accounting(self, accounts: Sequence[str], since: datetime) -> tuple[SiteJob, ...]:
        if not accounts:
            return ()
        if self._counts_gpus is None:
            kinds = self._ask(["sacctmgr", "--noheader", "--parsable2", "show", "tres", "format=Type,Name"])
            self._counts_gpus = accounting.counts_accelerators(kinds or "")
        said = self._ask([*accounting.sacct_arguments(accounts, since)])
        return accounting.read_jobs(said or "", self._machine.accelerators_per_node, tracked=self._counts_gpus)

    def budgets(self, accounts: Sequence[str], at: datetime) -> tuple[SiteBudget, ...]:
        """What the site's own counter says of these accounts, for the ledger to be held against. SchedulerUnknown."""
        return accounting.ask_budgets(
            lambda command: self._ask([*command]) or "", accounts, self._machine.accelerators_per_node, at=at,
            cpus_per_node=self._machine.scheduler.cpus_per_node,
        )  # fmt: skip

    def _ask(self, command: list[str], *, unless: re.Pattern[str] | None = None) -> str | None:
        """What a query printed; None if it failed with a message that matches `unless`."""
        asked = " ".join(takewhile(lambda word: not word.startswith("-"), command))
        pause = self._pauses.setdefault(asked, _Pause())
        if (rest_s := pause.until - self._clock()) > 0:
            raise SchedulerUnknown(
                f"{pause.words} (failed {pause.failures} times; asked again in {rest_s:.0f} s)", where=self._machine.id
            )
        try:
            done = self._call(command, utc=True)
        except FileNotFoundError as error:
            raise SchedulerUnknown(f"{command[0]} is not on PATH", where=self._machine.id) from error
        except HostUnreachable:  # a host has pauses of its own, and says nothing of this command
            raise
        except SchedulerUnknown as error:
            pause.failed(error.what, at=self._clock())
            raise
        if done.returncode == 0 or (unless is not None and unless.search(done.stderr)):
            self._pauses.pop(asked)
            return done.stdout if done.returncode == 0 else None
        pause.failed(f"{command[0]} failed: {_said(done) or 'silence'}", at=self._clock())
        raise SchedulerUnknown(pause.words, where=self._machine.id)

    def _call(self, command: list[str], *, cwd: Path | None = None, utc: bool = False) -> Completed:
        environment = self._extra | ({"TZ": "UTC", "SLURM_TIME_FORMAT": "standard"} if utc else {})
        try:
            return self._host.run(command, environment=environment, cwd=cwd, timeout_s=self._timeout_s)
        except TimeoutError as error:
            raise SchedulerUnknown(
                f"{command[0]} did not answer within {self._timeout_s:g} s", where=self._machine.id
            ) from error

    def _missing(self, command: str) -> SiteError:
        return SiteError(
            f"{command} is not on PATH", where=self._machine.id, fix="Run the agent where Slurm's commands are."
        )


def _batches(names: Iterable[str]) -> Iterator[str]:
    """Names in as many arguments as it takes."""
    every = list(names)
    for first in range(0, len(every), NAMES_AT_ONCE):
        yield ",".join(every[first : first + NAMES_AT_ONCE])


def _place_in_queue(report: JobReport) -> tuple[str, JobState, datetime | None]:
    return report.job_id, report.state, report.submitted_at


def _queue_alone(queue: Iterable[JobReport]) -> dict[str, tuple[JobReport, ...]]:
    """While accounting is away: what waits and runs. Of what the queue does not mention nothing is known, not even
    that it is gone, so those names are left out; an end waits for its measure.
    """
    answer = dict[str, tuple[JobReport, ...]]()
    for report in merge(queue, (), at=None):
        answer[report.name] = (*answer.get(report.name, ()), report)
    return answer


def _said(done: Completed) -> str:
    """The words of a failed command in one line, without its own name before each."""
    text = done.stderr.strip() or done.stdout.strip()
    return " · ".join(re.sub(r"^\w+: (error: )?", "", line).strip() for line in text.splitlines() if line.strip())
