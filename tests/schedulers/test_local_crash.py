"""The local scheduler when its processes are killed, by SIGKILL and at any place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hanse.contracts.base import now
from hanse.contracts.job import JobReport
from hanse.schedulers import processes
from hanse.schedulers.spool import JobFolder, Order, Spool
from tests.schedulers.conftest import Make
from tests.schedulers.jobs import ended, job_of, report, run_dir_in, running, shell, submit, text_of
from tests.waiting import until


def _supervisor_of(spool: Path, job_id: str) -> psutil.Process:
    folder = next(folder for folder in Spool(spool).folders() if folder.job_id == job_id)
    return psutil.Process(int(folder.pid.read_text()))


def test_a_job_outlives_the_process_that_submitted_it(make: Make, spool: Path, tmp_path: Path) -> None:
    run_dir = run_dir_in(tmp_path / "run")
    job = job_of(shell(f"until [ -e {tmp_path}/gate ]; do sleep 0.05; done; exit 3"))
    program = (
        "import os, signal, sys; from pathlib import Path; from hanse.contracts.job import JobSpec\n"
        "from hanse.contracts.rundir import RunDir; from hanse.schedulers.local import LocalScheduler\n"
        "LocalScheduler(Path(sys.argv[1]), 2, 1).submit(JobSpec.from_json(sys.argv[2]), RunDir(Path(sys.argv[3])),"
        " ticket_key='', data_dir='')\n"
        "os.killpg(0, signal.SIGKILL)\n"
    )
    source = str(Path(processes.__file__).parents[2])
    agent = subprocess.run(
        [sys.executable, "-c", program, str(spool), job.to_json(), str(run_dir.root)],
        env=os.environ | {"PYTHONPATH": source}, start_new_session=True, check=False,
    )  # fmt: skip
    assert agent.returncode == -signal.SIGKILL
    scheduler = make()
    (found,) = scheduler.observe({job.name: None})[job.name]
    running(scheduler, job.name, found.job_id)
    (tmp_path / "gate").touch()
    done = ended(scheduler, job.name, found.job_id)
    assert (done.state, done.exit_code) == ("failed", 3)


@pytest.mark.crash
def test_a_killed_supervisor_takes_its_whole_job_along_and_leaves_the_time_it_held(
    make: Make, spool: Path, tmp_path: Path
) -> None:
    scheduler = make()
    run_dir = run_dir_in(tmp_path / "run")
    # one grandchild in a session of its own, as torchrun's workers are
    job = job_of(shell("setsid sleep 600 & echo $! > worker-$HANSE_NODE_RANK; wait", nodes=2))
    job_id = submit(scheduler, job, run_dir)
    workers = until(lambda: _two_pids(run_dir.attempt(1).root), what="both workers")
    until(lambda: report(scheduler, job.name, job_id).elapsed_s >= 1, what="a heartbeat")
    _supervisor_of(spool, job_id).kill()
    done = ended(scheduler, job.name, job_id)
    assert (done.state, done.raw_state, done.accelerators) == ("node-failed", "NODE_FAIL", 2)
    assert 1 <= done.elapsed_s < 60 and done.accelerator_seconds >= 2
    assert done.started_at is not None and done.ended_at is not None and done.ended_at > done.started_at
    assert not any(_is_alive(pid) for pid in workers), "no process is left when the job is said to be over"
    assert report(scheduler, job.name, job_id) == done, "the last word does not change"
    next_job = job_of(shell("true", nodes=2), name="hanse-a2", attempt_number=2)
    assert ended(scheduler, "hanse-a2", submit(scheduler, next_job, run_dir_in(run_dir.root, 2))).state == "completed"


@pytest.mark.crash
def test_a_killed_launcher_fails_the_step_and_ends_the_other_node(make: Make, spool: Path, tmp_path: Path) -> None:
    scheduler = make()
    run_dir = run_dir_in(tmp_path / "run")
    job = job_of(shell("env -i setsid sleep 600 & echo $! > worker-$HANSE_NODE_RANK; wait", nodes=2))
    job_id = submit(scheduler, job, run_dir)
    workers = until(lambda: _two_pids(run_dir.attempt(1).root), what="both workers")
    launchers = [p for p in _supervisor_of(spool, job_id).children() if "hanse.schedulers.node" in p.cmdline()]
    assert len(launchers) == 2
    launchers[1].kill()
    done = ended(scheduler, job.name, job_id)
    assert (done.state, done.exit_code) == ("failed", 137)
    assert "node 1" in done.reason
    assert not any(_is_alive(pid) for pid in workers), "even what hid its environment is found"


@pytest.mark.crash
def test_a_killed_step_fails_the_job_with_the_shells_code(make: Make, tmp_path: Path) -> None:
    scheduler = make()
    run_dir = run_dir_in(tmp_path / "run")
    job = job_of(shell("[ $HANSE_NODE_RANK = 0 ] && kill -9 $$; sleep 600", nodes=2))
    done = ended(scheduler, job.name, submit(scheduler, job, run_dir))
    assert (done.state, done.exit_code) == ("failed", 137)
    assert not run_dir.finished.exists()


def test_a_process_that_got_the_number_of_a_dead_supervisor_is_neither_believed_nor_harmed(
    make: Make, spool: Path, tmp_path: Path
) -> None:
    scheduler = make()
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        folder = _abandoned(spool, tmp_path, state="running", elapsed_s=12.5)
        folder.pid.write_text(f"{bystander.pid}\n")
        scheduler.cancel([folder.job_id])
        done = report(scheduler, folder.name, folder.job_id)
        assert (done.state, done.elapsed_s, done.accelerator_seconds) == ("node-failed", 12.5, 13)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_submission_whose_author_died_before_starting_its_supervisor_is_reported_with_no_time_held(
    make: Make, spool: Path, tmp_path: Path
) -> None:
    folder = _abandoned(spool, tmp_path, state="queued", elapsed_s=None)
    done = report(make(), folder.name, folder.job_id)
    assert (done.state, done.elapsed_s, done.started_at) == ("node-failed", 0, None)


def _abandoned(spool: Path, tmp_path: Path, *, state: str, elapsed_s: float | None) -> JobFolder:
    """A job as it lies in the spool when nobody holds it any more."""
    Spool(spool).lay()
    job = job_of(shell("true"))
    folder = JobFolder(spool / "jobs" / f"00000001-{job.name}")
    folder.root.mkdir()
    order = Order(
        job_id="1", job=job, run_dir=str(tmp_path), ticket_key="", data_dir="", submitted_at=now(), nodes=2,
        accelerators_per_node=1,
    )  # fmt: skip
    folder.order.write_text(order.to_json())
    folder.alive.touch()
    started = now() if state == "running" else None
    told = {"job_id": "1", "name": job.name, "state": state, "raw_state": state.upper(), "started_at": started,
            "accelerators": 1 if started else 0}  # fmt: skip
    folder.status.write_text(JobReport.model_validate(told).to_json())
    if elapsed_s is not None:
        folder.heartbeat.write_text(f"{elapsed_s:015.3f}\n")
    return folder


def _two_pids(folder: Path) -> list[int]:
    texts = [text_of(folder / f"worker-{rank}").strip() for rank in (0, 1)]
    return [int(text) for text in texts] if all(texts) else []


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
