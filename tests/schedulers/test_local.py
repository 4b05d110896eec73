"""The local scheduler with real supervisors, launchers and steps."""

from __future__ import annotations

import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hanse.contracts.base import now
from hanse.contracts.errors import SchedulerUnknown, SiteError
from hanse.contracts.job import JobReport, Step
from hanse.schedulers.spool import KEPT_FOR, JobFolder, Spool
from tests.schedulers.conftest import Make
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

ENVIRONMENT = "import json, os; json.dump(dict(os.environ), open('env' + os.environ['HANSE_NODE_RANK'], 'w'))"


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


def test_a_job_is_sent_its_stop_signal_when_asked_to_and_has_time_to_save(make: Make, tmp_path: Path) -> None:
    scheduler = make()
    run_dir = run_dir_in(tmp_path / "run")
    folder = run_dir.attempt(1).root
    saves = shell("trap 'echo saved > saved; exit 9' USR1; touch on; while :; do sleep 0.05; done", name="command")
    job = job_of(saves)
    job_id = submit(scheduler, job, run_dir)
    until((folder / "on").exists, what="its start")
    scheduler.signal([job_id], "USR1")
    done = ended(scheduler, job.name, job_id)
    assert (done.state, done.exit_code) == ("failed", 9)
    assert (folder / "saved").exists() and not run_dir.finished.exists()
    scheduler.signal([job_id], "USR1")  # to one that has ended it is no error


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


def test_a_spool_that_cannot_be_read_is_unknown_and_never_an_empty_answer(
    make: Make, spool: Path, tmp_path: Path
) -> None:
    scheduler = make()
    job = job_of(shell("true"))
    job_id = submit(scheduler, job, run_dir_in(tmp_path / "run"))
    ended(scheduler, job.name, job_id)
    (folder,) = Spool(spool).folders()
    folder.status.write_text("{")
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


def _past(spool: Spool, number: int, ended_at: datetime | None, state: str = "completed") -> None:
    """A job of earlier days, as its supervisor left it."""
    folder = JobFolder(spool.jobs / f"{number:08d}-hanse-{number}")
    folder.root.mkdir()
    folder.alive.touch()
    report = {"job_id": str(number), "name": f"hanse-{number}", "state": state, "raw_state": "X", "ended_at": ended_at}
    folder.status.write_text(JobReport.model_validate(report).to_json())


def test_jobs_of_long_ago_are_forgotten_and_numbers_never_come_twice(tmp_path: Path) -> None:
    spool, at = Spool(tmp_path), datetime.now(UTC)
    spool.lay()
    old, young = at - KEPT_FOR - timedelta(hours=1), at - timedelta(hours=1)
    _past(spool, 1, old)
    _past(spool, 2, None, "running")
    _past(spool, 3, young)
    _past(spool, 4, old)
    (spool.jobs / ".half-made").mkdir()
    assert spool.forget_old(at) == 1
    assert [folder.job_id for folder in spool.folders()] == ["2", "3", "4"], "the last number stays, to count on from"
    assert not (spool.jobs / ".half-made").exists()


def test_a_spool_is_bounded_by_the_jobs_of_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hanse.schedulers.spool.MOST_KEPT", 3)
    spool, at = Spool(tmp_path), datetime.now(UTC)
    spool.lay()
    for number in range(1, 8):
        _past(spool, number, at - (timedelta(days=2) if number != 2 else timedelta(hours=1)))
    assert spool.forget_old(at) == 3
    assert [folder.job_id for folder in spool.folders()] == ["2", "5", "6", "7"], "one of today is never surplus"
