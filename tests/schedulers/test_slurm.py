"""The Slurm scheduler against a real Slurm of two nodes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from hanse.contracts.errors import SchedulerUnknown, SiteError
from hanse.contracts.job import FINAL_JOB_STATES, JobSpec, Step
from hanse.contracts.rundir import RunDir
from hanse.schedulers.make import make
from hanse.schedulers.slurm import SlurmScheduler
from tests.schedulers.jobs import ended, job_of, python, report, run_dir_in, running, shell, submit, text_of
from tests.slurm_site import ACCOUNT, PARTITION, SlurmSite
from tests.waiting import until

pytestmark = pytest.mark.slurm

ENVIRONMENT = (
    "import json, os; print('written by', os.environ['HANSE_NODE_RANK']); "
    "json.dump(dict(os.environ), open('env' + os.environ['HANSE_NODE_RANK'], 'w'))"
)


class Begun(NamedTuple):
    job: JobSpec
    job_ids: list[str]
    run_dir: RunDir

    @property
    def folder(self) -> Path:
        return self.run_dir.attempt(1).root


@pytest.fixture(scope="module")
def scheduler(slurm_site: SlurmSite) -> SlurmScheduler:
    made = make(slurm_site.machine, Path("unused"), slurm_site.environment)
    assert isinstance(made, SlurmScheduler)
    return made


@pytest.fixture(scope="module", autouse=True)
def begun(
    scheduler: SlurmScheduler, slurm_site: SlurmSite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Begun]]:
    """Jobs that take their time, begun together before the other tests.

    Slurm looks at time limits twice a minute only, and its accounting hears of jobs that just began in 5 s.
    """
    heeds = "trap 'touch saved-$HANSE_NODE_RANK; exit 0' USR1; touch on-$HANSE_NODE_RANK; "
    jobs = [
        slurm_job(
            shell(heeds + "while :; do sleep 0.2; done", nodes=2), shell("touch never", name="after"),
            name="hanse-warned", wall_time_s=7200, stop_signal_before_s=3600,
        ),
        slurm_job(shell("touch on-0 on-1; sleep 600"), name="hanse-over", stop_signal_before_s=0, wall_time_s=60),
        slurm_job(shell("echo worked >> worked; sleep 1"), name="hanse-twice"),
        slurm_job(shell("[ $HANSE_NODE_RANK = 1 ] && kill -9 $$; sleep 600", nodes=2), name="hanse-step-killed"),
        slurm_job(shell("pwd > here", name="command"), name="hanse-command", uses_code_bundle=True),
        slurm_job(shell("exit 5"), shell("touch never", name="after"), name="hanse-fails"),
    ]  # fmt: skip
    started = {}
    for job in jobs:
        run_dir = run_dir_in(tmp_path_factory.mktemp(job.name))
        run_dir.code.mkdir()
        times = 2 if job.name == "hanse-twice" else 1
        started[job.name] = Begun(job, [submit(scheduler, job, run_dir) for _ in range(times)], run_dir)
    for name, end in (("hanse-warned", "now+3000"), ("hanse-over", "now+1")):
        one = started[name]
        until(lambda one=one: all((one.folder / f"on-{rank}").exists() for rank in (0, 1)), what=name)
        slurm_site.run("scontrol", "update", f"JobId={one.job_ids[0]}", f"EndTime={end}")
    yield started
    scheduler.cancel([job_id for one in started.values() for job_id in one.job_ids])


def slurm_job(*steps: Step, name: str, **changes: object) -> JobSpec:
    return job_of(*steps, name=name, **({"account": ACCOUNT, "partition": PARTITION, "machine": "hansa"} | changes))


def test_a_job_runs_its_steps_on_both_nodes_with_the_promised_environment(
    scheduler: SlurmScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANSE_TOKEN", "secret")
    run_dir = run_dir_in(tmp_path / "a run's 100 %j")
    job = slurm_job(
        shell("echo prepared > order", name="prepare"), python(ENVIRONMENT, nodes=2), name="hanse-both",
        environment={"MINE": "a 'b' $c\nd"},
    )  # fmt: skip
    job_id = submit(scheduler, job, run_dir)
    done = ended(scheduler, job.name, job_id)
    attempt = run_dir.attempt(1)
    assert (done.state, done.exit_code, done.raw_state) == ("completed", 0, "COMPLETED"), text_of(attempt.log)
    assert (len(done.nodes), done.accelerators) == (2, 2)
    assert done.submitted_at and done.started_at and done.ended_at
    assert done.elapsed_s == (done.ended_at - done.started_at).total_seconds()
    assert done.accelerator_seconds == done.elapsed_s * 2
    first, second = (json.loads((attempt.root / f"env{rank}").read_text()) for rank in (0, 1))
    for name, value in {
        "HANSE_RUN_DIR": str(run_dir.root), "HANSE_ATTEMPT": "1", "HANSE_JOB_ID": job_id, "HANSE_NODES": "2",
        "HANSE_ACCELERATORS_PER_NODE": "1", "HANSE_RDZV_HOST": "127.0.0.1", "HANSE_RDZV_ID": f"{job_id}-train",
        "HANSE_RDZV_PORT": str(20000 + int(job_id) % 10000), "HANSE_TICKET_KEY": "a2V5", "HANSE_DATA_DIR": "/data",
        "MINE": "a 'b' $c\nd", "OMP_NUM_THREADS": "1", "SRUN_CPUS_PER_TASK": "4",
    }.items():  # fmt: skip
        assert first[name] == second[name] == value
    assert (first["HANSE_NODE_RANK"], second["HANSE_NODE_RANK"]) == ("0", "1")
    assert (first["SLURMD_NODENAME"], second["SLURMD_NODENAME"]) == done.nodes
    assert "HANSE_TOKEN" not in first, "a job never holds a token of the service"
    assert (attempt.root / "order").exists() and "written by 1" in text_of(attempt.log)
    assert attempt.claim.read_text().strip() == job_id
    assert not run_dir.finished.exists(), "only the trainer or a command finishes a run"


def test_a_job_submitted_twice_works_once_and_both_are_found_by_its_name(
    scheduler: SlurmScheduler, begun: dict[str, Begun]
) -> None:
    job, ids, run_dir = begun["hanse-twice"]
    reports = [ended(scheduler, job.name, job_id) for job_id in ids]
    assert [found.state for found in reports] == ["completed", "completed"]
    attempt = run_dir.attempt(1)
    assert (attempt.root / "worked").read_text() == "worked\n"
    winner = attempt.claim.read_text().strip()
    (loser,) = (job_id for job_id in ids if job_id != winner)
    assert attempt.doubled(loser).read_text().strip() == winner
    assert [found.job_id for found in scheduler.observe({job.name: None})[job.name]] == ids


def test_many_jobs_are_observed_at_once_running_failed_and_absent(
    scheduler: SlurmScheduler, begun: dict[str, Begun], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    waits = slurm_job(shell(f"until [ -e {gate} ]; do sleep 0.1; done; exit 7"), name="hanse-runs", exclude=("n1",))
    job_id = submit(scheduler, waits, run_dir_in(tmp_path / "run"))
    running(scheduler, waits.name, job_id)
    fails, (failed_id,), _ = begun["hanse-fails"]
    failed = ended(scheduler, fails.name, failed_id)
    assert (failed.state, failed.exit_code) == ("failed", 5)
    assert not (begun["hanse-fails"].folder / "never").exists(), "no step follows a failed one"
    answer = scheduler.observe({waits.name: job_id, fails.name: None, "hanse-nobody": None})
    assert answer["hanse-nobody"] == ()
    assert answer[fails.name] == (failed,)
    (runs,) = answer[waits.name]
    (node,) = runs.nodes
    assert (runs.state, runs.accelerators) == ("running", 1) and node != "n1"
    gate.touch()
    done = ended(scheduler, waits.name, job_id)
    assert (done.state, done.exit_code) == ("failed", 7)


def test_queued_and_running_jobs_are_cancelled_and_cancelling_again_is_no_error(
    scheduler: SlurmScheduler, slurm_site: SlurmSite, tmp_path: Path
) -> None:
    runs = slurm_job(shell("sleep 600", nodes=2), name="hanse-cancelled")
    held = slurm_job(shell("true"), name="hanse-held")
    ids = {job.name: submit(scheduler, job, run_dir_in(tmp_path / job.name)) for job in (runs, held)}
    slurm_site.run("scontrol", "hold", ids["hanse-held"], check=False)
    running(scheduler, runs.name, ids[runs.name])
    scheduler.cancel(list(ids.values()))
    done = ended(scheduler, runs.name, ids[runs.name])
    assert done.state == "cancelled" and done.raw_state.startswith("CANCELLED") and done.accelerators == 2
    assert ended(scheduler, held.name, ids[held.name]).state in {"cancelled", "completed"}
    scheduler.cancel(list(ids.values()))
    scheduler.cancel(["99999"])
    scheduler.cancel([])


def test_a_job_held_in_the_queue_says_why_and_holds_nothing(
    scheduler: SlurmScheduler, slurm_site: SlurmSite, tmp_path: Path
) -> None:
    slurm_site.run("scontrol", "update", f"PartitionName={PARTITION}", "State=DOWN")
    try:
        job = slurm_job(shell("true"), name="hanse-queued")
        job_id = submit(scheduler, job, run_dir_in(tmp_path))
        found = until(lambda: (r := report(scheduler, job.name, job_id)).reason and r, what="a reason")
        assert (found.state, found.reason, found.accelerators) == ("queued", "PartitionDown", 0)
        assert found.accelerator_seconds == 0
        scheduler.cancel([job_id])
        done = ended(scheduler, job.name, job_id)
        assert (done.state, done.accelerator_seconds) == ("cancelled", 0)
    finally:
        slurm_site.run("scontrol", "update", f"PartitionName={PARTITION}", "State=UP")


def test_a_command_finishes_its_run_from_the_code_bundles_folder(
    scheduler: SlurmScheduler, begun: dict[str, Begun]
) -> None:
    job, (job_id,), run_dir = begun["hanse-command"]
    assert ended(scheduler, job.name, job_id).state == "completed"
    assert (run_dir.code / "here").read_text().strip() == str(run_dir.code)
    assert run_dir.finished.read_text().strip() == job_id


@pytest.mark.crash
def test_a_killed_step_and_a_killed_batch_script_fail_the_job(
    scheduler: SlurmScheduler, slurm_site: SlurmSite, begun: dict[str, Begun], tmp_path: Path
) -> None:
    batch = slurm_job(shell("sleep 600"), name="hanse-batch-killed")
    batch_id = submit(scheduler, batch, run_dir_in(tmp_path))
    running(scheduler, batch.name, batch_id)
    slurm_site.run("scancel", "--signal=KILL", "--batch", batch_id)
    step, (step_id,), _ = begun["hanse-step-killed"]
    done = ended(scheduler, step.name, step_id)
    assert done.state == "failed" and done.exit_code, "srun gives the bare number of a signal"
    killed = ended(scheduler, batch.name, batch_id)
    assert (killed.state, killed.exit_code) == ("failed", 137)


def test_slurms_warning_before_the_wall_time_reaches_the_step_on_both_nodes(
    scheduler: SlurmScheduler, begun: dict[str, Begun]
) -> None:
    job, (job_id,), run_dir = begun["hanse-warned"]
    done = ended(scheduler, job.name, job_id, within_s=70)
    assert (done.state, done.exit_code) == ("completed", 0), text_of(run_dir.attempt(1).log)
    assert all((begun[job.name].folder / f"saved-{rank}").exists() for rank in (0, 1))
    assert not (begun[job.name].folder / "never").exists(), "no step begins after the warning"


def test_a_job_over_its_time_is_a_timeout_charged_for_what_it_held(
    scheduler: SlurmScheduler, begun: dict[str, Begun]
) -> None:
    done = ended(scheduler, "hanse-over", begun["hanse-over"].job_ids[0], within_s=70)
    assert (done.state, done.raw_state) == ("timeout", "TIMEOUT")
    assert done.elapsed_s > 0 and done.accelerator_seconds == done.elapsed_s


def test_what_slurm_surely_refuses_is_an_error_that_quotes_it(scheduler: SlurmScheduler, tmp_path: Path) -> None:
    for changes, words in (
        ({"account": "nobody"}, "Invalid account"),
        ({"partition": "nowhere"}, "invalid partition"),
        ({"qos": "gold"}, "Invalid qos"),
    ):
        job = slurm_job(shell("true"), name="hanse-refused", **changes)
        with pytest.raises(SiteError, match=f"(?i){words}") as refusal:
            submit(scheduler, job, run_dir_in(tmp_path))
        assert not isinstance(refusal.value, SchedulerUnknown)
    assert scheduler.observe({"hanse-refused": None}) == {"hanse-refused": ()}


def test_a_machine_without_slurms_commands_is_told_so(
    slurm_site: SlurmSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    scheduler = SlurmScheduler(slurm_site.machine)
    with pytest.raises(SiteError, match="sbatch is not on PATH"):
        submit(scheduler, slurm_job(shell("true"), name="hanse-x"), run_dir_in(tmp_path))
    with pytest.raises(SchedulerUnknown):
        scheduler.observe({"hanse-x": None})


@pytest.mark.crash
def test_while_the_controller_is_dead_everything_is_unknown_and_nothing_is_gone(
    scheduler: SlurmScheduler, slurm_site: SlurmSite, tmp_path: Path
) -> None:
    job = slurm_job(shell(f"until [ -e {tmp_path}/gate ]; do sleep 0.1; done"), name="hanse-survivor")
    job_id = submit(scheduler, job, run_dir_in(tmp_path / "run"))
    running(scheduler, job.name, job_id)
    other = slurm_job(shell("true"), name="hanse-unsure")
    hasty = SlurmScheduler(slurm_site.machine, slurm_site.environment, timeout_s=3)
    slurm_site.wait_until_saved(job_id)
    slurm_site.kill_controller()
    try:
        with pytest.raises(SchedulerUnknown):
            hasty.observe({job.name: job_id})
        with pytest.raises(SchedulerUnknown):
            submit(hasty, other, run_dir_in(tmp_path / "other"))
        with pytest.raises(SchedulerUnknown):
            hasty.cancel([job_id])
    finally:
        slurm_site.start_controller()
    assert report(scheduler, job.name, job_id).state == "running"
    (tmp_path / "gate").touch()
    assert ended(scheduler, job.name, job_id, within_s=60).state == "completed"
    assert all(found.state in FINAL_JOB_STATES for found in scheduler.observe({other.name: None})[other.name])


def test_a_running_job_gets_its_stop_signal_on_all_nodes_and_has_time_to_save(
    scheduler: SlurmScheduler, tmp_path: Path
) -> None:
    # A rank that leaves with a failure ends the others, so each waits until all have saved.
    saves = (
        "trap 'touch saved-$HANSE_NODE_RANK; until [ -e saved-0 ] && [ -e saved-1 ]; do sleep 0.1; done; exit 9' USR1; "
        "touch on-$HANSE_NODE_RANK; while :; do sleep 0.2; done"
    )
    run_dir = run_dir_in(tmp_path)
    folder = run_dir.attempt(1).root
    job = slurm_job(shell(saves, nodes=2, name="command"), name="hanse-asked")
    job_id = submit(scheduler, job, run_dir)
    until(lambda: all((folder / f"on-{rank}").exists() for rank in (0, 1)), within_s=90, what="its start")
    scheduler.signal([job_id], "USR1")
    done = ended(scheduler, job.name, job_id, within_s=90)
    assert done.state == "failed"
    assert done.exit_code in (9, 15), "the rank that leaves last is ended by Slurm, or leaves by itself"
    assert all((folder / f"saved-{rank}").exists() for rank in (0, 1)) and not run_dir.finished.exists()
    scheduler.signal([job_id], "USR1")  # to one that has ended it is no error
