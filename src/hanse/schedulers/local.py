"""The `local` scheduler: this machine as a small cluster, without a daemon and without asking anybody.

Submitting writes a folder into the spool and starts a supervisor that outlives whoever submitted (`local_job.py`);
observing reads what the supervisors wrote. A supervisor that vanished without a last word is a failed node.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from hanse.contracts.base import now
from hanse.contracts.errors import SchedulerUnknown, SiteError
from hanse.contracts.job import FINAL_JOB_STATES, JobReport, JobSpec
from hanse.contracts.rundir import RunDir
from hanse.contracts.site import MachineState, PartitionState, SiteJob
from hanse.files.durable import sync_folder, write_atomically
from hanse.schedulers import processes
from hanse.schedulers.environment import inherited, python_path
from hanse.schedulers.files import holding, is_locked, try_lock
from hanse.schedulers.spool import Devices, JobFolder, Order, Spool

ACCOUNT: Final = "local"
"""The account of every job here."""

_DETACH: Final = (
    "import os, sys\n"
    "if os.fork(): os._exit(0)\n"  # the submitter waits for this process only; init adopts the other
    "os.execv(sys.argv[1], sys.argv[1:])\n"
)


def node_name(slot: int) -> str:
    return f"node-{slot}"


class LocalScheduler:
    """`nodes` jobs' worth of node launchers at once, each with `accelerators_per_node` ranks; first come, first served.

    `devices` 'cuda' or 'rocm' gives every node its own share of this machine's GPUs. After a request to end, a job has
    `grace_s` seconds until it is killed.
    """

    def __init__(
        self,
        spool: Path,
        nodes: int,
        accelerators_per_node: int,
        *,
        devices: Devices = "cpu",
        grace_s: float = 10.0,
    ) -> None:
        self._spool = Spool(spool.absolute())
        self._nodes = nodes
        self._accelerators_per_node = accelerators_per_node
        self._devices: Devices = devices
        self._grace_s = grace_s
        try:
            self._spool.lay()  # now, so that a spool that is missing later is a lost one and not an empty one
        except OSError as error:
            raise SiteError(
                f"the local scheduler cannot make its spool: {error.strerror}", where=str(self._spool.root)
            ) from error

    submits_at_once = 1

    def submit(self, job: JobSpec, run_dir: RunDir, *, ticket_key: str, data_dir: str, after: str | None = None) -> str:
        self._refuse_the_impossible(job, run_dir)
        if after is not None and any(
            folder.job_id == after and not folder.is_over() for folder in self._spool.folders()
        ):
            raise SiteError(
                f"the local scheduler queues no job behind job {after}, which has not ended",
                where=job.machine,
                fix="Submit it when that job has ended.",
            )
        try:
            folder, lock = self._enqueue(job, run_dir, ticket_key=ticket_key, data_dir=data_dir)
        except OSError as error:
            raise SiteError(
                f"the local scheduler cannot write its spool: {error.strerror}", where=str(self._spool.root)
            ) from error
        try:
            _start_supervisor(folder, lock, run_dir.attempt(job.attempt_number).log)
        except (OSError, subprocess.SubprocessError) as error:
            raise SchedulerUnknown(
                f"the supervisor of job {folder.job_id} could not be started: {error}", where=str(folder.root)
            ) from error
        finally:
            os.close(lock)
        return folder.job_id

    def observe(self, jobs: Mapping[str, str | None]) -> dict[str, tuple[JobReport, ...]]:
        answer: dict[str, tuple[JobReport, ...]] = dict.fromkeys(jobs, ())
        try:
            for folder in self._spool.folders():
                if folder.name in answer:
                    answer[folder.name] += (self._report(folder),)
        except OSError as error:
            raise SchedulerUnknown(
                f"the local scheduler's spool cannot be read: {error.strerror}", where=str(self._spool.root)
            ) from error
        return answer

    def cancel(self, job_ids: Sequence[str]) -> None:
        wanted = set(job_ids)
        try:
            for folder in self._spool.folders():
                if folder.job_id in wanted and not folder.is_over():
                    folder.cancel.touch()
        except OSError as error:
            raise SchedulerUnknown(
                f"the request to end jobs could not be written: {error.strerror}", where=str(self._spool.root)
            ) from error

    def signal(self, job_ids: Sequence[str], signal: Literal["USR1"]) -> None:  # noqa: ARG002 - the one signal
        wanted = set(job_ids)
        try:
            for folder in self._spool.folders():
                if folder.job_id in wanted and not folder.is_over():
                    folder.stop.touch()
        except OSError as error:
            raise SchedulerUnknown(
                f"the stop signal could not be asked for: {error.strerror}", where=str(self._spool.root)
            ) from error

    def state(self) -> MachineState:
        reports = self._all()
        running = [report for report in reports if report.state == "running"]
        busy = sum(len(report.nodes) for report in running)
        return MachineState(
            at=now(),
            partitions=(
                PartitionState(
                    name="local", up=True, nodes=self._nodes, nodes_idle=max(0, self._nodes - busy),
                    running_jobs=len(running), pending_jobs=sum(report.state == "queued" for report in reports),
                ),
            ),
        )  # fmt: skip

    def accounting(self, accounts: Sequence[str], since: datetime) -> tuple[SiteJob, ...]:
        if ACCOUNT not in accounts:
            return ()
        return tuple(
            SiteJob(report=report, account=ACCOUNT, partition=ACCOUNT)
            for report in self._all()
            if report.ended_at is None or report.ended_at >= since
        )

    def _all(self) -> list[JobReport]:
        try:
            return [self._report(folder) for folder in self._spool.folders()]
        except OSError as error:
            raise SchedulerUnknown(
                f"the local scheduler's spool cannot be read: {error.strerror}", where=str(self._spool.root)
            ) from error

    def _refuse_the_impossible(self, job: JobSpec, run_dir: RunDir) -> None:
        usable = [slot for slot in range(self._nodes) if node_name(slot) not in job.exclude]
        widest = max(job.nodes, *(step.nodes for step in job.steps))
        if widest > len(usable):
            raise SiteError(
                f"the job asks for {widest} nodes; this machine has {len(usable)}",
                where=job.machine,
                fix="Plan for fewer nodes.",
            )
        if widest > job.nodes:
            raise SiteError(f"a step asks for {widest} nodes, its job for {job.nodes}", where=job.name)
        if job.accelerators_per_node > self._accelerators_per_node:
            raise SiteError(
                f"the job asks for {job.accelerators_per_node} accelerators a node; "
                f"this machine's nodes have {self._accelerators_per_node}",
                where=job.machine,
                fix="Plan for fewer accelerators a node.",
            )
        if job.image is not None:
            raise SiteError("the local scheduler runs no container images", where=job.image, fix="Leave out `image`.")
        attempt = run_dir.attempt(job.attempt_number)
        if not attempt.root.is_dir():
            raise SiteError("the attempt's folder does not exist", where=str(attempt.root))

    def _enqueue(self, job: JobSpec, run_dir: RunDir, *, ticket_key: str, data_dir: str) -> tuple[JobFolder, int]:
        """Make the job appear in the spool in one rename, its `alive` lock already held by this process."""
        with holding(self._spool.submitting):
            self._spool.forget_old(now())
            number = max((int(folder.number) for folder in self._spool.folders()), default=0) + 1
            order = Order(
                job_id=str(number),
                job=job,
                run_dir=str(run_dir.root.absolute()),
                ticket_key=ticket_key,
                data_dir=data_dir,
                submitted_at=now(),
                nodes=self._nodes,
                accelerators_per_node=self._accelerators_per_node,
                devices=self._devices,
                grace_s=self._grace_s,
            )
            folder = JobFolder(self._spool.jobs / f"{number:08d}-{job.name}")
            aside = JobFolder(self._spool.jobs / f".{uuid.uuid4().hex}")
            aside.root.mkdir()
            write_atomically(aside.order, order.to_json())
            write_atomically(aside.status, queued(order).to_json())
            lock = try_lock(aside.alive)
            if lock is None:
                raise AssertionError("a new file cannot be locked by anybody else")
            try:
                self._spool.waiting_mark(folder).touch()
                aside.root.rename(folder.root)
                sync_folder(self._spool.jobs)
            except OSError:
                os.close(lock)
                raise
        return folder, lock

    def _report(self, folder: JobFolder) -> JobReport:
        report = folder.read_status()
        if report.state in FINAL_JOB_STATES:
            return report
        if is_locked(folder.alive):
            return report.model_copy(update={"elapsed_s": folder.read_heartbeat_s()})
        return self._bury(folder)

    def _bury(self, folder: JobFolder) -> JobReport:
        """Write the last word for a supervisor that vanished, once none of its job's processes is left."""
        lock = try_lock(folder.alive)
        report = folder.read_status()  # again: it may have ended properly in between
        if lock is None or report.state in FINAL_JOB_STATES:
            if lock is not None:
                os.close(lock)
            return report
        try:
            elapsed_s = folder.read_heartbeat_s()
            if not processes.kill_all(lambda: processes.of_job(folder.root)):
                return report.model_copy(update={"elapsed_s": elapsed_s, "reason": "its processes do not end"})
            ended_at = report.started_at + timedelta(seconds=elapsed_s) if report.started_at else now()
            report = report.model_copy(
                update={
                    "state": "node-failed",
                    "raw_state": "NODE_FAIL",
                    "reason": "the job's supervisor vanished (killed, or the machine was restarted)",
                    "ended_at": ended_at,
                    "elapsed_s": elapsed_s,
                }
            )
            write_atomically(folder.status, report.to_json())
            with suppress(FileNotFoundError):
                self._spool.waiting_mark(folder).unlink()
        finally:
            os.close(lock)
        return report


def queued(order: Order) -> JobReport:
    return JobReport(
        job_id=order.job_id,
        name=order.job.name,
        state="queued",
        raw_state="PENDING",
        reason="waiting for nodes",
        submitted_at=order.submitted_at,
    )


def _start_supervisor(folder: JobFolder, lock: int, log: Path) -> None:
    """Start it in a session of its own, child of nobody here; the lock passes over without a gap."""
    environment = inherited()
    environment |= python_path(environment)
    supervisor = [sys.executable, "-m", "hanse.schedulers.local_job", str(folder.root), str(lock)]
    with log.open("ab") as output:
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", _DETACH, *supervisor],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(lock,),
            start_new_session=True,
            env=environment,
            cwd=folder.root,
            check=True,
            timeout=60,
        )
