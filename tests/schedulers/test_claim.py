"""The fence by itself, in Python and in the bash of the Slurm script."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hanse.contracts.rundir import RunDir
from hanse.schedulers.claim import claim
from hanse.schedulers.script import CANNOT_CREATE, render
from tests.schedulers.jobs import job_of, run_dir_in, shell
from tests.schedulers.machines import GENERIC


def test_of_many_jobs_at_the_same_claim_one_works_and_the_others_leave_a_mark_naming_it(tmp_path: Path) -> None:
    attempt = run_dir_in(tmp_path).attempt(1)
    ids = [str(number) for number in range(40)]
    with ThreadPoolExecutor(16) as pool:
        winners = [job_id for job_id, won in zip(ids, pool.map(lambda i: claim(attempt, i), ids), strict=True) if won]
    assert len(winners) == 1
    assert attempt.claim.read_text().strip() == winners[0]
    assert {p.name for p in attempt.root.glob("doubled.*")} == {f"doubled.{i}" for i in ids if i != winners[0]}


def test_a_job_the_site_requeued_finds_its_own_id_and_goes_on(tmp_path: Path) -> None:
    attempt = run_dir_in(tmp_path).attempt(1)
    assert claim(attempt, "7")
    assert claim(attempt, "7")
    assert not list(attempt.root.glob("doubled.*"))


def test_a_claim_whose_maker_died_before_writing_its_id_lets_nobody_in(tmp_path: Path) -> None:
    attempt = run_dir_in(tmp_path).attempt(1)
    attempt.claim.touch()
    assert not claim(attempt, "7")
    assert attempt.doubled("7").exists()


def test_the_script_keeps_the_same_fence_among_concurrent_shells(tmp_path: Path) -> None:
    run_dir = run_dir_in(tmp_path / "it's a run")
    run_dir.finished.touch()  # so that whoever gets past the fence ends before it needs Slurm
    script = _script(run_dir)
    jobs = [_start(script, str(number)) for number in range(1, 13)]
    said = {number: process.communicate()[0] for number, process in enumerate(jobs, start=1)}
    assert all(process.returncode == 0 for process in jobs)
    winners = [number for number, text in said.items() if "was finished already" in text]
    attempt = run_dir.attempt(1)
    assert [f"{winners[0]}\n"] == [attempt.claim.read_text()]
    assert {p.name for p in attempt.root.glob("doubled.*")} == {f"doubled.{n}" for n in said if n not in winners}
    assert len(winners) == 1
    again = _start(script, str(winners[0]))
    assert "was finished already" in again.communicate()[0], "the same job, requeued, passes its own claim"


def test_a_script_that_cannot_create_its_claim_fails_instead_of_passing_for_doubled(tmp_path: Path) -> None:
    run_dir = run_dir_in(tmp_path)
    script = _script(run_dir)
    moved = script.rename(tmp_path / "job.sh")
    run_dir.attempt(1).root.rmdir()
    process = _start(moved, "1")
    assert "cannot create" in process.communicate()[0]
    assert process.returncode == CANNOT_CREATE


def _script(run_dir: RunDir) -> Path:
    script = run_dir.attempt(1).script
    script.write_text(render(job_of(shell("true")), GENERIC, run_dir, ticket_key="k", data_dir="/d"))
    return script


def _start(script: Path, job_id: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", str(script)],
        env=os.environ | {"SLURM_JOB_ID": job_id},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
