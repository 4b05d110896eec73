"""The supervisor of one local job: waits for nodes, claims the fence, runs the steps, writes the last word.

`python -m hanse.schedulers.local_job FOLDER LOCK_FD` is started detached by `local.py` and lives as long as the job.
It obeys the same rules as the Slurm script in `script.py`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import psutil

from hanse.contracts import jobenv
from hanse.contracts.base import now
from hanse.contracts.job import JobReport, JobState, Step
from hanse.contracts.rundir import RunDir
from hanse.files.durable import write_atomically
from hanse.schedulers import processes
from hanse.schedulers.claim import claim, is_command, mark_finished
from hanse.schedulers.environment import inherited, job_variables, python_path, stop_signal_at_s, working_folder
from hanse.schedulers.files import try_lock
from hanse.schedulers.local import node_name, queued
from hanse.schedulers.node import prepare
from hanse.schedulers.spool import JobFolder, Order, Spool

_POLL_S = 0.1
_BEAT_S = 1.0
_RAW: dict[JobState, str] = {
    "completed": "COMPLETED", "failed": "FAILED", "cancelled": "CANCELLED", "timeout": "TIMEOUT",
}  # fmt: skip


class Outcome(NamedTuple):
    state: Literal["completed", "failed", "cancelled", "timeout"]
    exit_code: int | None
    reason: str = ""


class Supervisor:
    def __init__(self, folder: JobFolder) -> None:
        self.folder = folder
        self.spool = Spool(folder.root.parents[1])
        self.order: Order = folder.read_order()
        self.job = self.order.job
        self.run_dir = RunDir(Path(self.order.run_dir))
        self.report: JobReport = queued(self.order)
        self.node_locks: dict[int, int] = {}
        self.started: float | None = None
        self.stop_sent = False
        self.told_to_end = False
        self._last_beat = -_BEAT_S
        self._heartbeat = os.open(folder.heartbeat, os.O_WRONLY | os.O_CREAT, 0o644)

    def run(self) -> None:
        """The whole life of the job. Its last word is written while it still holds its nodes."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_end_signal)
        processes.adopt_orphans()
        write_atomically(self.folder.pid, f"{os.getpid()}\n")
        try:
            outcome = self._work()
        except Exception as error:
            processes.kill_all(self._mine)
            self._end(Outcome("failed", None, f"the supervisor failed: {error!r}"))
            raise
        self._end(outcome)

    def _work(self) -> Outcome:
        if not self._wait_for_nodes():
            return Outcome("cancelled", None, "cancelled before it started")
        self._start()
        attempt = self.run_dir.attempt(self.job.attempt_number)
        if not claim(attempt, self.order.job_id):
            return Outcome("completed", 0, "another job holds this attempt's claim")
        if self.run_dir.finished.exists():
            return Outcome("completed", 0, "the run was finished already")
        for step in self.job.steps:
            if self.stop_sent:
                return Outcome("completed", 0, f"stopped before step {step.name}, as it was asked to")
            outcome = self._run_step(step)
            if outcome is not None:
                return outcome
        if is_command(self.job):
            mark_finished(self.run_dir, self.order.job_id)
        return Outcome("completed", 0)

    def _wait_for_nodes(self) -> bool:
        """Whether it got them; False if it was asked to end first. Strictly in the order of submission."""
        usable = [slot for slot in range(self.order.nodes) if node_name(slot) not in self.job.exclude]
        while not self._asked_to_end():
            if self.spool.is_next(self.folder):
                for slot in usable:
                    if len(self.node_locks) == self.job.nodes:
                        break
                    lock = try_lock(self.spool.node(slot))
                    if lock is not None:
                        self.node_locks[slot] = lock
                if len(self.node_locks) == self.job.nodes:
                    return True
                for lock in self.node_locks.values():
                    os.close(lock)
                self.node_locks.clear()
            time.sleep(_POLL_S)
        return False

    def _start(self) -> None:
        self.started = time.monotonic()
        self._beat()
        self.report = self.report.model_copy(
            update={
                "state": "running",
                "raw_state": "RUNNING",
                "reason": "",
                "started_at": now(),
                "nodes": tuple(node_name(slot) for slot in self.node_locks),
                "accelerators": self.job.nodes * self.job.accelerators_per_node,
            }
        )
        write_atomically(self.folder.status, self.report.to_json())
        self._stop_waiting()

    def _run_step(self, step: Step) -> Outcome | None:
        """None if it ended well on all its nodes."""
        launchers = self._launch(step)
        stop_at_s = stop_signal_at_s(self.job)
        while True:
            self._beat()
            codes = [launcher.poll() for launcher in launchers]
            bad = next(((rank, code) for rank, code in enumerate(codes) if code), None)
            if bad is not None:
                self._end_step(launchers)
                rank, code = bad
                code = code if code > 0 else 128 - code
                return Outcome("failed", code, f"step {step.name} ended with {code} on node {rank}")
            if all(code == 0 for code in codes):
                processes.kill_all(self._mine)
                return None
            if self._asked_to_end():
                self._end_step(launchers)
                return Outcome("cancelled", None, f"cancelled in step {step.name}")
            if self._elapsed_s() >= self.job.wall_time_s:
                self._end_step(launchers)
                return Outcome("timeout", None, f"the wall time of {self.job.wall_time_s} s ended in step {step.name}")
            nearly_over = stop_at_s is not None and self._elapsed_s() >= stop_at_s
            if not self.stop_sent and (nearly_over or self.folder.stop.exists()):
                self.stop_sent = True
                _signal(launchers, signal.SIGUSR1)
            time.sleep(_POLL_S)

    def _launch(self, step: Step) -> list[subprocess.Popen[bytes]]:
        common = self._environment(step)
        launcher = [sys.executable, "-m", "hanse.schedulers.node", f"{self.order.grace_s:g}", *step.argv]
        slots = list(self.node_locks)[: step.nodes]
        return [
            subprocess.Popen(
                launcher,
                stdin=subprocess.DEVNULL,
                env=common | {jobenv.NODE_RANK: str(rank)} | self._devices(slot),
                cwd=working_folder(self.job, self.run_dir),
                start_new_session=True,
                preexec_fn=partial(prepare, os.getpid()),
            )
            for rank, slot in enumerate(slots)
        ]

    def _environment(self, step: Step) -> dict[str, str]:
        base = inherited()
        ranks = self.order.nodes * self.order.accelerators_per_node
        threads = max(1, len(psutil.Process().cpu_affinity()) // ranks)
        defaults = {"OMP_NUM_THREADS": str(threads), "GLOO_SOCKET_IFNAME": "lo"}
        own = job_variables(self.job, self.run_dir, ticket_key=self.order.ticket_key, data_dir=self.order.data_dir) | {
            jobenv.JOB_ID: self.order.job_id,
            jobenv.NODES: str(step.nodes),
            jobenv.RDZV_HOST: "127.0.0.1",
            jobenv.RDZV_PORT: str(_free_port()),
            jobenv.RDZV_ID: f"{self.order.job_id}-{step.name}",
            processes.MARK: str(self.folder.root),
        }
        return base | python_path(base) | defaults | self.job.environment | own

    def _devices(self, slot: int) -> dict[str, str]:
        """The GPUs of one node: its share of those this process may see."""
        if self.order.devices == "cpu":
            return {}
        variable = "CUDA_VISIBLE_DEVICES" if self.order.devices == "cuda" else "HIP_VISIBLE_DEVICES"
        count = self.order.accelerators_per_node
        visible = os.environ.get(variable, "").split(",")
        names = visible if visible != [""] else [str(index) for index in range(self.order.nodes * count)]
        return {variable: ",".join(names[slot * count : (slot + 1) * count])}

    def _end_step(self, launchers: list[subprocess.Popen[bytes]]) -> None:
        """TERM, then KILL after the grace; nothing of the job is left when this returns."""
        _signal(launchers, signal.SIGTERM)
        deadline = time.monotonic() + self.order.grace_s + 1.0  # the launchers kill first
        while any(launcher.poll() is None for launcher in launchers) and time.monotonic() < deadline:
            self._beat()
            time.sleep(_POLL_S)
        processes.kill_all(self._mine)

    def _mine(self) -> list[psutil.Process]:
        found = {process.pid: process for process in (*processes.descendants(), *processes.of_job(self.folder.root))}
        return list(found.values())

    def _end(self, outcome: Outcome) -> None:
        elapsed_s = self._elapsed_s()
        started_at = self.report.started_at
        self.report = self.report.model_copy(
            update={
                "state": outcome.state,
                "raw_state": _RAW[outcome.state],
                "reason": outcome.reason,
                "exit_code": outcome.exit_code,
                "elapsed_s": elapsed_s,
                "ended_at": started_at + timedelta(seconds=elapsed_s) if started_at else now(),
            }
        )
        write_atomically(self.folder.status, self.report.to_json())
        self._stop_waiting()
        if outcome.reason:
            sys.stderr.write(f"hanse: job {self.order.job_id}: {outcome.reason}\n")

    def _stop_waiting(self) -> None:
        with suppress(FileNotFoundError):
            self.spool.waiting_mark(self.folder).unlink()

    def _elapsed_s(self) -> float:
        return 0.0 if self.started is None else time.monotonic() - self.started

    def _beat(self) -> None:
        elapsed_s = self._elapsed_s()
        if elapsed_s - self._last_beat >= _BEAT_S:
            self._last_beat = elapsed_s
            os.pwrite(self._heartbeat, f"{elapsed_s:015.3f}\n".encode(), 0)

    def _asked_to_end(self) -> bool:
        return self.told_to_end or self.folder.cancel.exists()

    def _on_end_signal(self, _number: int, _frame: object) -> None:
        self.told_to_end = True


def _signal(launchers: list[subprocess.Popen[bytes]], number: int) -> None:
    for launcher in launchers:
        if launcher.poll() is None:
            launcher.send_signal(number)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(argv: list[str]) -> None:
    folder, lock = JobFolder(Path(argv[0])), int(argv[1])
    os.set_inheritable(lock, False)  # the lock is this process's life, not its children's
    Supervisor(folder).run()


if __name__ == "__main__":
    main(sys.argv[1:])
