"""The Slurm scheduler through a real sshd on the front of a real Slurm: nothing but the host is another."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hanse.contracts.errors import SchedulerUnknown, SiteError
from hanse.contracts.job import FINAL_JOB_STATES, JobReport
from hanse.contracts.machine import Machine
from hanse.schedulers.make import make
from hanse.schedulers.slurm import SlurmScheduler
from hanse.schedulers.ssh import SshHost
from tests import sshd
from tests.schedulers.jobs import ended, job_of, report, run_dir_in, shell, submit
from tests.slurm_site import SlurmSite
from tests.waiting import until

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def server(slurm_site: SlurmSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Sshd]:
    running = sshd.up(tmp_path_factory.mktemp("sshd"), slurm_site.environment)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def host(server: sshd.Sshd) -> Iterator[SshHost]:
    opened = server.host()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def machine(slurm_site: SlurmSite) -> Machine:
    """As a laptop would describe it: with the interpreter that is there."""
    described = slurm_site.machine
    return described.model_copy(update={"scheduler": described.scheduler.model_copy(update={"python": sys.executable})})


@pytest.fixture(scope="module")
def scheduler(machine: Machine, host: SshHost) -> SlurmScheduler:
    made = make(machine, Path("unused"), host=host)
    assert isinstance(made, SlurmScheduler)
    return made


def test_a_job_is_submitted_seen_and_counted_from_afar(
    scheduler: SlurmScheduler, slurm_site: SlurmSite, tmp_path: Path
) -> None:
    began = datetime.now(UTC) - timedelta(minutes=1)
    partition = slurm_site.machine.partitions[0].name
    job = job_of(
        shell("echo worked > worked; sleep 1"), name="hanse-afar", machine="hansa", account=slurm_site.account,
        partition=partition,
    )  # fmt: skip
    run_dir = run_dir_in(tmp_path / "a run")
    job_id = submit(scheduler, job, run_dir)
    chained = job.model_copy(update={"name": "hanse-behind", "attempt_number": 2, "attempt_id": "behind"})
    run_dir_in(run_dir.root, 2)
    second = scheduler.submit(chained, run_dir, ticket_key="a2V5", data_dir="/data", after=job_id)
    done, after = ended(scheduler, job.name, job_id), ended(scheduler, chained.name, second)
    assert (done.state, after.state) == ("completed", "completed")
    assert done.ended_at and after.started_at and after.started_at >= done.ended_at
    assert (run_dir.attempt(1).root / "worked").read_text() == "worked\n"
    counted = {one.report.job_id for one in scheduler.accounting((slurm_site.account,), began)}
    assert {job_id, second} <= counted
    state = scheduler.state()
    assert [(one.name, one.up) for one in state.partitions if one.name == partition] == [(partition, True)]
    assert state.waits


def test_a_job_is_ended_and_a_refusal_is_quoted_from_afar(
    scheduler: SlurmScheduler, slurm_site: SlurmSite, tmp_path: Path
) -> None:
    facts = {"machine": "hansa", "account": slurm_site.account, "partition": slurm_site.machine.partitions[0].name}
    job = job_of(shell("sleep 600"), name="hanse-to-end", **facts)
    job_id = submit(scheduler, job, run_dir_in(tmp_path / "run"))
    scheduler.cancel([job_id])
    assert ended(scheduler, job.name, job_id).state == "cancelled"
    wrong = job_of(shell("true"), name="hanse-wrong", **(facts | {"partition": "nowhere"}))
    with pytest.raises(SiteError, match=r"refused the job.*partition") as refused:
        submit(scheduler, wrong, run_dir_in(tmp_path / "other"))
    assert not isinstance(refused.value, SchedulerUnknown)


def test_a_connection_cut_mid_way_is_an_unknown_and_the_job_is_found_again(
    machine: Machine, server: sshd.Sshd, slurm_site: SlurmSite, tmp_path: Path
) -> None:
    host = server.host()
    scheduler = SlurmScheduler(machine, host=host)
    gate = tmp_path / "gate"
    job = job_of(
        shell(f"until [ -e {gate} ]; do sleep 0.1; done"), name="hanse-cut", machine="hansa",
        account=slurm_site.account, partition=slurm_site.machine.partitions[0].name,
    )  # fmt: skip
    job_id = submit(scheduler, job, run_dir_in(tmp_path / "run"))
    server.stop()
    try:
        with pytest.raises(SchedulerUnknown):
            scheduler.observe({job.name: job_id})
        with pytest.raises(SchedulerUnknown):
            scheduler.cancel([job_id])
    finally:
        server.start()
    gate.touch()

    def seen() -> JobReport | None:
        try:
            found = report(scheduler, job.name, job_id)
        except SchedulerUnknown:
            return None
        return found if found.state in FINAL_JOB_STATES else None

    done = until(seen, within_s=60, what="the job, found again")
    assert done is not None and done.state == "completed"
    host.close()


def test_a_script_for_elsewhere_never_names_the_interpreter_of_here(
    slurm_site: SlurmSite, host: SshHost, tmp_path: Path
) -> None:
    scheduler = SlurmScheduler(slurm_site.machine, host=host)
    with pytest.raises(SiteError, match="nothing says which Python"):
        submit(scheduler, job_of(shell("true"), machine="hansa"), run_dir_in(tmp_path / "run"))
