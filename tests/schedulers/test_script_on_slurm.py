"""What a real Slurm makes of a script: odd values arrive as they were, and a chain's links start one after another."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from hanse.contracts.job import JobSpec, Step
from hanse.contracts.rundir import RunDir
from hanse.schedulers.script import render
from hanse.schedulers.slurm import SlurmScheduler
from tests.schedulers.jobs import ended, job_of, run_dir_in, shell, submit, text_of
from tests.slurm_site import ACCOUNT, PARTITION, SlurmSite

pytestmark = pytest.mark.slurm

ODD = {
    "ODD_QUOTES": "a'b\"c $HOME `id` \\ !x",
    "ODD_LINES": "one\ntwo\tand a tab",
    "ODD_LETTERS": "ümläut ✓ *? [x] {a,b}",
    "ODD_NOTHING": "",
    "ODD_BLANKS": "  lead and trail ",
}
SEE = (
    "import json, os, sys; seen = {k: v for k, v in os.environ.items() if k.startswith('ODD_')}; "
    "json.dump([seen, os.getcwd(), sys.argv[1:]], open('seen' + os.environ['HANSE_NODE_RANK'], 'w'))"
)


@pytest.fixture
def scheduler(slurm_site: SlurmSite) -> SlurmScheduler:
    return SlurmScheduler(slurm_site.machine, slurm_site.environment)


def test_odd_folders_variables_and_arguments_arrive_on_every_node(scheduler: SlurmScheduler, tmp_path: Path) -> None:
    run_dir = run_dir_in(tmp_path / 'it\'s a "run" $X 50% ü')
    arguments = ("x y", "'q'", "$Z", "line\nbreak")
    step = Step(name="command", argv=(sys.executable, "-c", SEE, *arguments), nodes=2)
    job = _job(step, name="hanse-odd", environment=ODD)
    job_id = submit(scheduler, job, run_dir)
    assert ended(scheduler, job.name, job_id).state == "completed", text_of(run_dir.attempt(1).log)
    folder = run_dir.attempt(1).root
    for node in (0, 1):
        assert json.loads(text_of(folder / f"seen{node}")) == [ODD, str(folder), list(arguments)]
    assert text_of(run_dir.root / "FINISHED").strip() == job_id


def test_a_link_of_a_chain_that_finds_the_run_finished_ends_at_once(
    scheduler: SlurmScheduler, slurm_site: SlurmSite, tmp_path: Path
) -> None:
    run_dir = run_dir_in(tmp_path / "chain")
    first = _job(shell("until [ -e ../../go ]; do sleep 0.1; done", name="command"), name="hanse-link1")
    first_id = submit(scheduler, first, run_dir)
    second_id = _submit_after(slurm_site, first, "hanse-link2", run_dir, after=first_id)
    held = slurm_site.run("squeue", "--noheader", f"--jobs={second_id}", "--format=%E").strip()
    assert held.startswith(f"afterany:{first_id}")
    (run_dir.root / "go").touch()
    one, two = (
        ended(scheduler, name, number)
        for name, number in (("hanse-link1", first_id), ("hanse-link2", second_id))
    )  # fmt: skip
    assert one.state == two.state == "completed"
    assert one.ended_at and two.started_at and one.ended_at <= two.started_at
    assert "the run was finished already" in text_of(run_dir.attempt(2).log)


def test_a_link_whose_predecessor_slurm_has_forgotten_starts(
    scheduler: SlurmScheduler, slurm_site: SlurmSite, tmp_path: Path
) -> None:
    run_dir = run_dir_in(tmp_path / "run")
    job = _job(shell("true", name="command"), name="hanse-first")
    job_id = _submit_after(slurm_site, job, "hanse-orphan", run_dir, after="999999")
    assert ended(scheduler, "hanse-orphan", job_id).state == "completed"


def _job(step: Step, *, name: str, **changes: object) -> JobSpec:
    return job_of(step, name=name, machine="hansa", account=ACCOUNT, partition=PARTITION, wall_time_s=120, **changes)


def _submit_after(site: SlurmSite, job: JobSpec, name: str, run_dir: RunDir, *, after: str) -> str:
    job = job.model_copy(update={"name": name, "attempt_number": 2})
    attempt = run_dir.attempt(2)
    attempt.root.mkdir(parents=True)
    attempt.script.write_text(render(job, site.machine, run_dir, ticket_key="a2V5", data_dir="/data", after=after))
    return site.run("sbatch", "--parsable", str(attempt.script)).strip()
