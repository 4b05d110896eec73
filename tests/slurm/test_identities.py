"""Jobs run as the people they are of: an agent under a user of its own, the sudo rule it prints, a real Slurm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.chaos_world import packed
from hanse.contracts.machine import Source
from hanse.contracts.programme import Allocation
from hanse.contracts.run import AttemptState, Run, RunState
from hanse.contracts.spec import CommandSpec, TrainSpec, WhereSpec
from hanse.machines import writing
from tests import needs
from tests.slurm import identities
from tests.slurm.identities import GROUP, People
from tests.slurm_site import SlurmSite
from tests.stack import Outpost, Stack
from tests.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(400)]
RULE = Path("/etc/sudoers.d/hanse-t")
AGENT = """
import os, sys
from pathlib import Path
from hanse.agent.main import run
from hanse.agent.parts import schedulers_of
from hanse.agent.policy_file import PolicyFile
from hanse.agent.setting import Setting
from hanse.cli.machine import resolve
from hanse.schedulers.make import make

home, machine = Path(os.environ["HANSE_HOME"]), resolve(sys.argv[1])
scheduler = make(machine, home / "work" / machine.id)
setting = Setting(
    policy=PolicyFile(home / "policy.yaml"), schedulers=schedulers_of(machine, scheduler, home / "agent" / machine.id)
)
run(os.environ["HANSE_URL"], os.environ["HANSE_TOKEN"], machine, scheduler, home, every_s=0.3, setting=setting)
"""
"""As `hanse agent` puts it together, but it looks three times a second."""
WAITS = "id -un > who; echo it is $(id -un); while [ ! -e {go} ]; do sleep 0.2; done"


@dataclass
class Site:
    slurm: SlurmSite
    people: People
    post: Outpost
    home: Path
    token: str

    def hanse(self, *arguments: str) -> list[str]:
        return identities.command_of(self.people.agent, [sys.executable, "-m", "hanse", *arguments])

    @property
    def environment(self) -> dict[str, str]:
        return identities.surroundings(self.people.agent, self.home, self.slurm.environment) | {
            "HANSE_URL": self.post.url, "HANSE_TOKEN": self.token,
        }  # fmt: skip

    def as_agent(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            identities.command_of(self.people.agent, argv), env=self.environment, cwd="/", capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip

    def is_known(self) -> bool:
        """Whether its agent has said hello."""
        with self.post.client() as client:
            return bool(client.agent_status(self.slurm.machine.id).epoch)

    @property
    def described(self) -> Path:
        return self.home / f"{self.slurm.machine.id}.yaml"


@pytest.fixture
def site(slurm_site: SlurmSite, tmp_path: Path) -> Iterator[Site]:
    needs.program("sudo", package="sudo")
    hub = Stack(tmp_path)
    home = slurm_site.root / "agents-home"  # where every user may enter
    with identities.people() as people:
        try:
            hub.start_service()
            post = Outpost(tmp_path / "post", slurm_site.machine, slurm_site.environment, hub=hub)
            with hub.client() as client:
                token = client.enrol_agent(slurm_site.machine.id, "this-machine").token
                launcher = client.me().username
            home.mkdir(mode=0o755)
            shutil.chown(home, people.agent, people.agent)
            on = (f"Cluster={slurm_site.cluster.name}",)
            slurm_site.run("sacctmgr", "-i", "add", "user", people.anna, f"Account={slurm_site.account}", *on)
            read = Source(part="nodes", url="https://example.org/hansa", confidence="official", read_on="2026-11-22")
            made = Site(slurm_site, people, post, home, token)
            made.described.write_text(writing.as_yaml(slurm_site.machine.model_copy(update={"sources": (read,)})))
            (home / "policy.yaml").write_text(
                f"identity:\n  mode: sudo\n  group: {GROUP}\n  users: {{{launcher}: {people.anna}}}\n"
            )
            yield made
        finally:
            hub.stop()
            RULE.unlink(missing_ok=True)
            shutil.rmtree(home, ignore_errors=True)
            with suppress(RuntimeError):
                slurm_site.run("scancel", f"--user={people.anna}", check=False)
                slurm_site.run("sacctmgr", "-i", "delete", "user", people.anna, check=False)


def launched(site: Site, award: Allocation, name: str, line: str) -> Run:
    where = WhereSpec(
        machines=(site.slurm.machine.id,), nodes=1, wall_time_s=600, max_gpu_hours=1, account=site.slurm.account,
        partition=site.slurm.cluster.default_partition,
    )  # fmt: skip
    command = CommandSpec(run=line, accelerators_per_node=1)
    spec = TrainSpec(name=name, purpose="See whose it is.", command=command, where=where)
    with site.post.client() as client:
        code = client.upload_code(packed({"README": b"Nothing.\n"})).sha256
        return client.launch(spec, None, allocation=award.id, machine=site.slurm.machine.id, code_sha256=code)


def grant_the_rule(site: Site) -> None:
    """What `hanse agent --sudoers` prints, put where the page says, after visudo's check."""
    asked = site.hanse("agent", "--machine", str(site.described), "--policy", str(site.home / "policy.yaml"))
    printed = subprocess.run([*asked, "--sudoers"], env=site.environment, capture_output=True, text=True, check=False)
    assert printed.returncode == 0, printed.stderr
    RULE.write_text(printed.stdout)
    RULE.chmod(0o440)
    checked = subprocess.run(["visudo", "-c", "-f", str(RULE)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_an_agent_of_its_own_user_submits_reads_and_ends_jobs_as_the_person_they_are_of(
    site: Site, tmp_path: Path
) -> None:
    grant_the_rule(site)
    people, slurm = site.people, site.slurm
    # The rule allows three commands as that person, nothing as anybody else, and nothing as root.
    for argv in (
        ("sudo", "-n", "-u", people.anna, "/bin/sh", "-c", "true"), ("sudo", "-n", "sbatch", "--version"),
        ("sudo", "-n", "-u", people.bert, shutil.which("sbatch") or "sbatch", "--version"),
        ("sudo", "-n", "-u", people.anna, "/usr/bin/install", "-d", "-m", "4777", "/tmp/hanse-t"),
    ):  # fmt: skip
        assert site.as_agent(*argv).returncode != 0, argv

    go = slurm.root / "go"
    award = site.post.grant(gpu_hours=50, account=slurm.account)
    asked = identities.command_of(people.agent, [sys.executable, "-c", AGENT, str(site.described)])
    with (tmp_path / "agent.log").open("wb") as log:
        agent = subprocess.Popen(asked, env=site.environment, cwd="/", stdout=log, stderr=log)

    def said() -> str:
        return (tmp_path / "agent.log").read_text()

    def attempt_is(run: Run, state: AttemptState) -> bool:
        assert agent.poll() is None, said()
        attempt = site.post.run(run.id).legs[0].attempts[0]
        assert state is AttemptState.FAILED or attempt.state is not AttemptState.FAILED, f"{attempt.reason}\n{said()}"
        return attempt.state is state

    try:
        until(site.is_known, within_s=60, what=said, every_s=0.3)
        finishes = launched(site, award, "finishes", WAITS.format(go=go))
        cancelled = launched(site, award, "cancelled", WAITS.format(go=slurm.root / "never"))
        for run in (finishes, cancelled):
            until(lambda run=run: attempt_is(run, AttemptState.RUNNING), within_s=120, what=said, every_s=0.3)
        users = {
            line.split("|")[1] for line in slurm.run("squeue", "-h", "-o", "%j|%u").splitlines() if "hanse-" in line
        }
        assert users == {people.anna}
        with site.post.client() as client:
            client.cancel(cancelled.id, reason="Seen enough.")
        until(lambda: attempt_is(cancelled, AttemptState.CANCELLED), within_s=120, what=said, every_s=0.3)
        slurm_touch(go)
        ended = site.post.finish(finishes.id)
        assert ended.state is RunState.FINISHED, said()
    finally:
        agent.terminate()
        agent.wait(30)
    run_dir = site.home / "work" / "runs" / finishes.id
    charged = ended.legs[0].attempts[0].accelerator_seconds
    assert charged == slurm.held()[ended.legs[0].attempts[0].job_id or ""] > 0, "its measure is accounting's own"
    (who,) = run_dir.rglob("who")
    assert who.read_text().strip() == people.anna == who.owner()
    with site.post.client() as client:
        assert f"it is {people.anna}" in client.log(finishes.id).text
    inside = subprocess.run(["setpriv", f"--reuid={people.bert}", f"--regid={people.bert}", "--init-groups", "ls",
                             str(who.parent)], capture_output=True, check=False)  # fmt: skip
    assert inside.returncode != 0, "a stranger reads nothing of it"


def slurm_touch(path: Path) -> None:
    path.touch()
    os.chmod(path, 0o644)  # noqa: PTH101 - whatever the umask


def test_without_the_rule_the_attempt_is_refused_with_the_reason_and_nothing_is_left(
    site: Site, tmp_path: Path
) -> None:
    award = site.post.grant(gpu_hours=50, account=site.slurm.account)
    asked = site.hanse("agent", "--machine", str(site.described), "--policy", str(site.home / "policy.yaml"), "--once")
    run: Run | None = None
    for _ in range(3):  # a hello; the attempt, and its refusal; telling of it
        if run is None and site.is_known():
            run = launched(site, award, "no-rule", "true")
        subprocess.run(asked, env=site.environment, cwd="/", capture_output=True, text=True, timeout=120, check=False)
    assert run is not None
    attempt = site.post.run(run.id).legs[0].attempts[0]
    assert attempt.state is AttemptState.FAILED and "sudo" in attempt.reason, attempt
    assert not (site.home / "work" / "runs" / run.id).exists()
