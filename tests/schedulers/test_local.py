"""The local scheduler with real supervisors, launchers and steps."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from hanse.contracts.base import now
from hanse.contracts.errors import SchedulerUnknown, SiteError
from hanse.contracts.job import JobReport, Step
from hanse.schedulers import processes
from hanse.schedulers.local import LocalScheduler
from hanse.schedulers.spool import JobFolder, Order, Spool
from tests.schedulers.jobs import (
    ended,
    job_of,
    python,
    report,
    run_dir_in,
    running,
    shell,
    submit,
    text_of,
)
from tests.waiting import until

Make = Callable[..., LocalScheduler]
ENVIRONMENT = "import json, os; json.dump(dict(os.environ), open('env' + os.environ['HANSE_NODE_RANK'], 'w'))"


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Path]:
    """A spool whose jobs have all ended when the test has."""
    folder = tmp_path / "spool"
    yield folder
    if (folder / "jobs").is_dir():
        for job in Spool(folder).folders():
            job.cancel.touch()
            for number in (signal.SIGTERM, signal.SIGKILL):
                processes.signal_all(processes.of_job(job.root), number)


@pytest.fixture
def make(spool: Path) -> Make:
    return lambda nodes=2, per_node=1, **rest: LocalScheduler(spool, nodes, per_node, **({"grace_s": 1.0} | rest))


def folder_of(spool: Path, job_id: str) -> JobFolder:
    return next(folder for folder in Spool(spool).folders() if folder.job_id == job_id)


def supervisor_of(spool: Path, job_id: str) -> psutil.Process:
    return psutil.Process(int(folder_of(spool, job_id).pid.read_text()))


def test_a_step_on_two_nodes_is_two_launchers_that_know_their_rank_and_meeting_point(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANSE_TOKEN", "secret")
    run_dir = run_dir_in(tmp_path / "run")
    prepare, train = shell("echo prepared > order", name="prepare"), python(ENVIRONMENT, nodes=2)
    job = job_of(prepare, train, environment={"MINE": "a b"})
    scheduler = make()
    job_id = submit(scheduler, job, run_dir)
    done = ended(scheduler, job.name, job_id)
    assert (done.state, done.exit_code, done.nodes, done.accelerators) == ("completed", 0, ("node-0", "node-1"), 2)
    assert done.elapsed_s > 0 and done.accelerator_seconds >= 2
    attempt = run_dir.attempt(1).root
    first, second = (json.loads((attempt / f"env{rank}").read_text()) for rank in (0, 1))
    assert (attempt / "order").exists()
    for name, value in {
        "HANSE_RUN_DIR": str(run_dir.root), "HANSE_ATTEMPT": "1", "HANSE_JOB_ID": job_id, "HANSE_NODES": "2",
        "HANSE_ACCELERATORS_PER_NODE": "1", "HANSE_RDZV_HOST": "127.0.0.1", "HANSE_TICKET_KEY": "a2V5",
        "HANSE_DATA_DIR": "/data", "MINE": "a b",
    }.items():  # fmt: skip
        assert first[name] == second[name] == value
    assert (first["HANSE_NODE_RANK"], second["HANSE_NODE_RANK"]) == ("0", "1")
    assert first["HANSE_RDZV_PORT"] == second["HANSE_RDZV_PORT"] and first["HANSE_RDZV_ID"] == second["HANSE_RDZV_ID"]
    assert int(first["OMP_NUM_THREADS"]) == max(1, len(os.sched_getaffinity(0)) // 2)
    assert "HANSE_TOKEN" not in first, "a job never holds a token of the service"


def test_an_own_step_runs_this_very_installation(make: Make, tmp_path: Path) -> None:
    run_dir = run_dir_in(tmp_path / "run")
    job = job_of(Step(name="train", argv=("hanse", "no-such-verb"), nodes=1))
    scheduler = make()
    done = ended(scheduler, job.name, submit(scheduler, job, run_dir))
    assert done.state == "failed"
    assert "hanse" in text_of(run_dir.attempt(1).log)


def test_jobs_wait_for_nodes_and_start_in_the_order_of_submission(make: Make, tmp_path: Path) -> None:
    scheduler = make()
    gate = tmp_path / "gate"
    first = job_of(shell(f"until [ -e {gate} ]; do sleep 0.05; done", nodes=2), name="hanse-first")
    first_id = submit(scheduler, first, run_dir_in(tmp_path / "first"))
    running(scheduler, first.name, first_id)
    ids = {}
    for name in ("hanse-wide", "hanse-late-1", "hanse-late-2"):
        step = shell(f"echo {name} >> {tmp_path}/order", nodes=2 if name == "hanse-wide" else 1)
        ids[name] = submit(scheduler, job_of(step, name=name), run_dir_in(tmp_path / name))
    states = scheduler.observe(ids)
    assert {reports[0].state for reports in states.values()} == {"queued"}
    assert {reports[0].accelerators for reports in states.values()} == {0}
    gate.touch()
    starts = [ended(scheduler, name, job_id).started_at for name, job_id in ids.items()]
    assert starts == sorted(starts, key=lambda start: start or now())
    assert (tmp_path / "order").read_text().split()[:1] == ["hanse-wide"], "nobody overtook the wide job"


def test_of_one_attempt_submitted_many_times_at_once_exactly_one_job_works(make: Make, tmp_path: Path) -> None:
    scheduler = make(nodes=6)
    run_dir = run_dir_in(tmp_path / "run")
    job = job_of(shell("echo worked >> ../../worked"))
    with ThreadPoolExecutor(6) as pool:
        ids = list(pool.map(lambda _: submit(scheduler, job, run_dir), range(6)))
    assert len(set(ids)) == 6
    reports = [ended(scheduler, job.name, job_id) for job_id in ids]
    assert {found.state for found in reports} == {"completed"}
    assert (run_dir.root / "worked").read_text() == "worked\n"
    winner = run_dir.attempt(1).claim.read_text().strip()
    marks = {path.name for path in run_dir.attempt(1).root.glob("doubled.*")}
    assert marks == {f"doubled.{job_id}" for job_id in ids if job_id != winner}
    assert [found.job_id for found in scheduler.observe({job.name: None})[job.name]] == sorted(ids, key=int)


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
    supervisor_of(spool, job_id).kill()
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
    launchers = [p for p in supervisor_of(spool, job_id).children() if "hanse.schedulers.node" in p.cmdline()]
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


def test_a_queued_job_is_cancelled_without_ever_running(make: Make, tmp_path: Path) -> None:
    scheduler = make(nodes=1)
    holder = job_of(shell("sleep 600"), name="hanse-holder")
    holder_id = submit(scheduler, holder, run_dir_in(tmp_path / "holder"))
    running(scheduler, holder.name, holder_id)
    job = job_of(shell("true"))
    run_dir = run_dir_in(tmp_path / "run")
    job_id = submit(scheduler, job, run_dir)
    scheduler.cancel([job_id])
    done = ended(scheduler, job.name, job_id)
    assert (done.state, done.elapsed_s, done.accelerators, done.started_at) == ("cancelled", 0, 0, None)
    assert not run_dir.attempt(1).claim.exists()
    scheduler.cancel([holder_id, job_id, "999"])
    assert ended(scheduler, holder.name, holder_id).state == "cancelled"
    scheduler.cancel([holder_id])
    assert report(scheduler, holder.name, holder_id).state == "cancelled"


def test_a_running_job_that_ignores_the_request_to_end_is_killed_after_the_grace(make: Make, tmp_path: Path) -> None:
    scheduler = make(grace_s=0.5)
    run_dir = run_dir_in(tmp_path / "run")
    job = job_of(python("import signal, time; signal.signal(15, signal.SIG_IGN); open('on', 'w'); time.sleep(600)"))
    job_id = submit(scheduler, job, run_dir)
    until((run_dir.attempt(1).root / "on").exists, what="the stubborn step")
    scheduler.cancel([job_id])
    assert ended(scheduler, job.name, job_id).state == "cancelled"


def test_the_stop_signal_comes_before_the_wall_time_and_a_job_that_heeds_it_completes(
    make: Make, tmp_path: Path
) -> None:
    scheduler = make()
    run_dir = run_dir_in(tmp_path / "run")
    heeds = shell("trap 'echo saved > saved; exit 0' USR1; while :; do sleep 0.05; done", nodes=1)
    job = job_of(heeds, shell("echo never > never", name="after"), wall_time_s=6, stop_signal_before_s=5)
    done = ended(scheduler, job.name, submit(scheduler, job, run_dir))
    assert (done.state, done.exit_code) == ("completed", 0)
    assert 3 <= done.elapsed_s < 6
    assert (run_dir.attempt(1).root / "saved").exists()
    assert not (run_dir.attempt(1).root / "never").exists(), "no step begins after the warning"


def test_a_job_that_ignores_the_stop_signal_is_ended_at_its_wall_time(make: Make, tmp_path: Path) -> None:
    scheduler = make()
    run_dir = run_dir_in(tmp_path / "run")
    job = job_of(shell("trap '' USR1; sleep 600"), wall_time_s=2, stop_signal_before_s=1)
    done = ended(scheduler, job.name, submit(scheduler, job, run_dir))
    assert (done.state, done.raw_state) == ("timeout", "TIMEOUT")
    assert done.elapsed_s >= 2


def test_a_job_that_finds_its_run_finished_ends_at_once(make: Make, tmp_path: Path) -> None:
    scheduler = make()
    run_dir = run_dir_in(tmp_path / "run")
    run_dir.finished.touch()
    job = job_of(shell("echo again > again"))
    done = ended(scheduler, job.name, submit(scheduler, job, run_dir))
    assert (done.state, done.exit_code) == ("completed", 0)
    assert not (run_dir.attempt(1).root / "again").exists()


def test_a_command_that_ends_well_finishes_its_run_and_a_failing_one_does_not(make: Make, tmp_path: Path) -> None:
    scheduler = make()
    for code in (0, 4):
        run_dir = run_dir_in(tmp_path / f"run-{code}")
        run_dir.code.mkdir()
        job = job_of(
            shell(f"echo here > here; exit {code}", name="command"), name=f"hanse-{code}", uses_code_bundle=True
        )
        done = ended(scheduler, job.name, submit(scheduler, job, run_dir))
        assert done.exit_code == code
        assert run_dir.finished.exists() == (code == 0)
        assert (run_dir.code / "here").exists()


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


def test_a_spool_that_cannot_be_read_is_unknown_and_never_an_empty_answer(
    make: Make, spool: Path, tmp_path: Path
) -> None:
    scheduler = make()
    job = job_of(shell("true"))
    job_id = submit(scheduler, job, run_dir_in(tmp_path / "run"))
    ended(scheduler, job.name, job_id)
    folder_of(spool, job_id).status.write_text("{")
    with pytest.raises(SchedulerUnknown):
        scheduler.observe({job.name: job_id})
    shutil.rmtree(spool)
    with pytest.raises(SchedulerUnknown):
        scheduler.observe({job.name: job_id})


def test_an_answer_without_a_job_is_an_empty_one_even_before_the_first_submission(make: Make, tmp_path: Path) -> None:
    scheduler = make()
    assert scheduler.observe({"hanse-other": None}) == {"hanse-other": ()}
    job = job_of(shell("true"))
    ended(scheduler, job.name, submit(scheduler, job, run_dir_in(tmp_path / "run")))
    assert scheduler.observe({"hanse-other": None}) == {"hanse-other": ()}


def test_what_this_machine_can_never_run_is_refused_before_anything_is_queued(
    make: Make, spool: Path, tmp_path: Path
) -> None:
    run_dir = run_dir_in(tmp_path / "run")
    for job in (
        job_of(shell("true", nodes=3)),
        job_of(shell("true", nodes=2), exclude=("node-1",)),
        job_of(shell("true"), accelerators_per_node=2),
        job_of(shell("true"), image="x.sif"),
        job_of(shell("true"), attempt_number=2),
    ):
        with pytest.raises(SiteError) as refusal:
            submit(make(), job, run_dir)
        assert not isinstance(refusal.value, SchedulerUnknown)
    assert not list(Spool(spool).folders())


def test_nodes_of_one_machine_share_its_gpus_without_overlap(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    scheduler = make(per_node=2, devices="cuda")
    run_dir = run_dir_in(tmp_path / "run")
    job = job_of(python(ENVIRONMENT, nodes=2), accelerators_per_node=2)
    ended(scheduler, job.name, submit(scheduler, job, run_dir))
    seen = [json.loads(text_of(run_dir.attempt(1).root / f"env{rank}"))["CUDA_VISIBLE_DEVICES"] for rank in (0, 1)]
    assert seen == ["4,5", "6,7"]


@pytest.mark.torch
def test_two_launchers_meet_over_torchruns_rendezvous(make: Make, tmp_path: Path) -> None:
    run_dir = run_dir_in(tmp_path / "run")
    (run_dir.attempt(1).root / "sum.py").write_text(
        "import torch, torch.distributed as dist\n"
        "dist.init_process_group('gloo'); x = torch.ones(1) * (dist.get_rank() + 1); dist.all_reduce(x)\n"
        "open(f'sum-{dist.get_rank()}', 'w').write(f'{x.item():g} of {dist.get_world_size()}')\n"
        "dist.destroy_process_group()\n"
    )
    torchrun = (
        f"exec {sys.executable} -m torch.distributed.run --nnodes $HANSE_NODES "
        "--nproc-per-node $HANSE_ACCELERATORS_PER_NODE --rdzv-backend c10d --rdzv-id $HANSE_RDZV_ID "
        "--rdzv-endpoint $HANSE_RDZV_HOST:$HANSE_RDZV_PORT --local-addr 127.0.0.1 "
        "--rdzv-conf is_host=$((HANSE_NODE_RANK == 0)) sum.py"
    )
    scheduler = make()
    job = job_of(shell(torchrun, nodes=2))
    done = ended(scheduler, job.name, submit(scheduler, job, run_dir), within_s=120)
    assert done.state == "completed", text_of(run_dir.attempt(1).log)
    assert [text_of(run_dir.attempt(1).root / f"sum-{rank}") for rank in (0, 1)] == ["3 of 2", "3 of 2"]


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
