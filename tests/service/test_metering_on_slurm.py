"""On a real Slurm: an award becomes account, limit, QoS and users; strangers' jobs are metered to the second."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hanse.agent import provision
from hanse.agent.meter import Meter
from hanse.agent.provision import Policy
from hanse.client.usage import UsageReport
from hanse.contracts.base import now
from hanse.contracts.errors import SchedulerUnknown
from hanse.contracts.job import JobReport
from hanse.contracts.programme import Allocation as AllocationContract
from hanse.contracts.site import SiteBudget, SiteJob
from hanse.schedulers import accounting
from hanse.service.access.models import Allocation
from hanse.service.runs import metering, reckoning
from hanse.service.runs.models import UsageEntry
from tests import daemons, needs, slurm_site
from tests.service.fixtures import World, a_machine
from tests.slurm_site import SlurmSite
from tests.waiting import until

pytestmark = pytest.mark.slurm

ACCOUNT, AWARDED = "hanse-one", "hanse-two"
LIMITS = """
AccountingStorageEnforce=associations,limits,qos,safe
PriorityType=priority/multifactor
PriorityDecayHalfLife=0
PriorityUsageResetPeriod=MONTHLY
PriorityCalcPeriod=1
"""


@pytest.fixture(scope="module")
def site() -> Iterator[SlurmSite]:
    """A site that enforces limits and whose usage starts anew each month."""
    if reasons := slurm_site.missing():
        needs.lacking("no Slurm here: " + "; ".join(reasons))
    root = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))
    try:
        (site,) = slurm_site.up(root)
        file = site.configuration
        kept = [line for line in file.read_text().splitlines() if not line.startswith("AccountingStorageEnforce=")]
        file.write_text("\n".join(kept) + LIMITS)
        site.kill_controller()
        site.start_controller()
        yield site
    finally:
        slurm_site.down(root)


def an_allocation(**changes: object) -> AllocationContract:
    today = datetime.now(UTC).date()
    return AllocationContract(
        id="alc-one", project="prj-one", machine="hansa", granted_accelerator_seconds=20 * 60,
        used_accelerator_seconds=0, reserved_accelerator_seconds=0, starts=today - timedelta(days=1),
        ends=date(2099, 1, 1),
    ).model_copy(update=changes)  # fmt: skip


@dataclass
class Desk:
    """Slurm's accounting as an agent's scheduler reads it."""

    site: SlurmSite

    def ask(self, argv: Sequence[str]) -> str:
        words = ("env", "TZ=UTC", "SLURM_TIME_FORMAT=standard", *argv)
        try:
            return self.site.run(*words)
        except RuntimeError as error:
            raise SchedulerUnknown(str(error)) from error

    def accounting(self, accounts: Sequence[str], since: datetime) -> tuple[SiteJob, ...]:
        return accounting.read_jobs(self.ask(accounting.sacct_arguments(accounts, since)), 1)

    def budgets(self, accounts: Sequence[str], at: datetime) -> tuple[SiteBudget, ...]:
        return accounting.ask_budgets(self.ask, accounts, 1, at=at, cpus_per_node=None)


def submit(site: SlurmSite, account: str, seconds: int, *more: str) -> str:
    command = ("sbatch", "--parsable", "-A", account, "-o", "/dev/null", "-D", "/tmp", "--wrap", f"sleep {seconds}")
    return site.run(*command[:2], *more, *command[2:]).strip()


def reason_of(site: SlurmSite, job: str) -> str:
    return site.run("squeue", "-h", "-j", job, "-o", "%r").strip()


def test_an_award_becomes_objects_of_slurm_once_and_its_limit_holds(site: SlurmSite, tmp_path: Path) -> None:
    hook = tmp_path / "make-folder"
    hook.write_text('#!/bin/sh\nmkdir -p "$2" && echo "$1" > "$2/account"\n')
    hook.chmod(0o755)
    policy = Policy(qos="hanse-two", folder=f"{tmp_path}/{{account}}", folder_hook=(str(hook),))
    desk = Desk(site)

    def lacking(**changes: object) -> tuple[provision.Command, ...]:
        found = provision.look(desk.ask, AWARDED, policy)
        return provision.commands(an_allocation(id="alc-two", **changes), ["root"], site.machine, found, policy)

    first = lacking()
    assert [" ".join(command.argv[2:5]) for command in first[:2]] == ["add account hanse-two", "add qos hanse-two"]
    for command in first:
        subprocess.run(command.argv, env=daemons.surroundings(site.environment), check=True, capture_output=True)
    assert lacking() == (), "a second run finds nothing to do"
    assert (tmp_path / AWARDED / "account").read_text().strip() == AWARDED
    known = provision.look(desk.ask, AWARDED, policy)
    assert known.enforced and known.forgets and "root" in known.users and known.account_qos >= {"hanse-two"}
    assert known.limits == known.qos_limits == {"gres/gpu": 20} and "NoDecay" in known.qos_flags

    over = submit(site, AWARDED, 1, "-t", "21", "--gres=gpu:1")
    until(lambda: "GrpGRES" in reason_of(site, over), within_s=60, what="a reason from the limit")
    assert "Minutes" in reason_of(site, over), reason_of(site, over)
    site.run("scancel", over)

    more = lacking(granted_accelerator_seconds=40 * 60)
    assert [command.argv[-1] for command in more] == ["GrpTRESMins=gres/gpu=40"] * 2, (
        "an extension changes the limits only"
    )

    running = submit(site, AWARDED, 600, "-t", "15", "--gres=gpu:1")
    until(lambda: site.run("squeue", "-h", "-j", running, "-o", "%T").strip() == "RUNNING", within_s=60)
    for running_still in (True, False):
        found = provision.look(desk.ask, AWARDED, policy)
        closing = provision.close(an_allocation(id="alc-two"), site.machine, found, policy)
        for command in closing:
            subprocess.run(command.argv, env=daemons.surroundings(site.environment), check=True, capture_output=True)
        expected = "GrpSubmitJobs=0" if running_still else "GrpTRESMins=gres/gpu=0"
        assert [command.argv[-1] for command in closing] == [expected]
        assert not running_still or site.run("squeue", "-h", "-j", running, "-o", "%T").strip() == "RUNNING"
        site.run("scancel", running, check=False)
        until(lambda: not site.run("squeue", "-h", "-A", AWARDED).strip(), within_s=60, what="an empty queue")
    with pytest.raises(RuntimeError):
        submit(site, AWARDED, 1)
    reopened = lacking()
    assert {command.argv[-1] for command in reopened} == {"GrpSubmitJobs=-1", "GrpTRESMins=gres/gpu=20"}
    for command in reopened:
        subprocess.run(command.argv, env=daemons.surroundings(site.environment), check=True, capture_output=True)


@pytest.mark.django_db
def test_strangers_jobs_are_in_the_ledger_to_the_second(site: SlurmSite, world: World, tmp_path: Path) -> None:
    desk = Desk(site)
    found = provision.look(desk.ask, ACCOUNT, Policy())
    for command in provision.commands(an_allocation(), ["root"], site.machine, found, Policy()):
        subprocess.run(command.argv, env=daemons.surroundings(site.environment), check=True, capture_output=True)
    Allocation.objects.filter(pk=world.allocation.pk).update(account=ACCOUNT)
    short = [submit(site, ACCOUNT, seconds, "-t", "2", "-N", str(nodes)) for seconds, nodes in ((1, 1), (2, 2), (3, 1))]
    again = submit(site, ACCOUNT, 300, "-t", "6", "--requeue")
    until(lambda: site.run("squeue", "-h", "-j", again, "-o", "%T").strip() == "RUNNING", within_s=60)
    meter = Meter(desk, tmp_path / "meter.sqlite3", ask_every=timedelta(0))

    def metered() -> set[str]:
        seen = meter.look(metering.accounts_of(world.machine), now())
        metering.take_jobs(world.machine, seen)
        metering.take_jobs(world.machine, reversed(seen))
        meter.told(seen)
        return set(UsageEntry.objects.values_list("site_job__job_id", flat=True))

    until(lambda: again in metered(), within_s=60, every_s=0.5, what="the running job in the ledger")
    site.run("scontrol", "requeue", again)
    until(lambda: "RUNNING" not in site.run("squeue", "-h", "-j", again, "-o", "%T"), within_s=60)
    site.run("scancel", again)
    until(lambda: not site.run("squeue", "-h", "-A", ACCOUNT).strip(), within_s=60, what="an empty queue")

    def by_sacct() -> int:
        rows = site.run("sacct", "-aXDnP", "-A", ACCOUNT, "-S", "now-1days", "-o", "ElapsedRaw,AllocNodes,State")
        cells = [row.split("|") for row in rows.splitlines()]
        return -1 if any(c[2] == "RUNNING" for c in cells) else sum(int(c[0]) * int(c[1]) for c in cells)

    def equal() -> bool:
        metered()
        balance = Allocation.objects.with_balance().get(pk=world.allocation.pk)
        return bool(balance.used == by_sacct() > 0)

    until(equal, within_s=60, every_s=1.0, what="a ledger equal to sacct")
    assert {*short, again} <= metered()
    metering.take_budgets(world.machine, meter.budgets((ACCOUNT,), now()))
    row = Allocation.objects.with_balance().select_related("machine", "project").get(pk=world.allocation.pk)
    drift = reckoning.drift(row)
    assert drift is not None and drift.ledger_accelerator_seconds == drift.jobs_accelerator_seconds == by_sacct()
    assert drift.counter.endswith("minutes") and drift.since is not None
    meter.close()


@pytest.mark.django_db(transaction=True)
def test_an_administrator_sees_the_commands_before_they_are_run_and_a_team_what_it_used(
    site: SlurmSite, shared_world: World, live_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = shared_world
    world.agent.hello(a_machine(scheduler=site.machine.scheduler))
    for name, value in daemons.surroundings(site.environment).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HANSE_URL", live_server.url)
    monkeypatch.setenv("HANSE_TOKEN", world.token(world.operator))
    id = world.allocation.public_id

    def hanse(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "hanse", *words], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    command = ("site", "provision", id, "--user", "root", "--tres", "node")
    account = f"hanse-{id.removeprefix('alc-')}"
    planned = hanse(*command)
    assert f"add account {account}" in planned and "GrpTRESMins=node=6000" in planned
    assert account not in site.run("sacctmgr", "-nP", "show", "account", "format=account")
    hanse(*command, "--apply")
    assert f"{account}|root" in site.run("sacctmgr", "-nP", "show", "assoc", "format=account,user")
    world.allocation.refresh_from_db()
    assert world.allocation.account == account, "and jobs of the account are metered from now on"
    assert "Nothing to do" in hanse(*command, "--apply")

    began = now() - timedelta(hours=2)
    report = JobReport(
        job_id="7", name="theirs", state="completed", raw_state="COMPLETED", submitted_at=began, started_at=began,
        ended_at=now(), elapsed_s=7200, accelerators=4,
    )  # fmt: skip
    metering.take_jobs(world.machine, [SiteJob(report=report, account=account, user="ada")])
    monkeypatch.setenv("HANSE_TOKEN", world.token(world.founder))
    said = hanse("usage").replace("\N{NO-BREAK SPACE}", " ")
    assert "Other jobs of the account  8 GPU-hours" in said or "8.00 GPU-hours" in said, said
    assert "job 7 of ada" in said and "100 GPU-hours" in said
    assert UsageReport.model_validate_json(hanse("usage", id, "--json")).by_kind == {"site": 8 * 3600}


def test_what_sacctmgr_is_told_is_a_name_and_nothing_else(site: SlurmSite) -> None:
    assert shutil.which("sacctmgr", path=daemons.surroundings(site.environment)["PATH"])
    existing = provision.Existing(cluster="hansa")
    with pytest.raises(provision.UsageError):
        provision.commands(an_allocation(account="a,b"), [], site.machine, existing, Policy())
    with pytest.raises(provision.UsageError):
        provision.commands(an_allocation(), ["root;reboot"], site.machine, existing, Policy())
