"""A start-up uses its own hours: `hanse connect` over a jump host, `hanse launch`, and nothing else but the laptop.

What the laptop knows of the machine goes through two real sshds; the certificate ends in mid-run.
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from hanse.cli import connections
from hanse.cli.connections import Connection
from hanse.cli.home import Home
from hanse.client.api import Client
from hanse.contracts.machine import Source
from hanse.contracts.run import AttemptState, Run, RunState
from hanse.machines import writing
from tests import sshd
from tests.slurm_site import SlurmSite
from tests.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(400)]
SOURCE = str(Path(connections.__file__).parents[2])
TRAIN = """
name: own-hours
purpose: See that one's own hours can be used.
command:
  run: while [ ! -e {go} ]; do echo waiting; sleep 0.2; done; cat greeting.txt
where:
  machines: [{machine}]
  nodes: 2
  wall_time_s: 600
  max_gpu_hours: 5
"""


@dataclass
class Laptop:
    home: Path
    jump: sshd.Sshd
    front: sshd.Sshd
    known_hosts: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "HANSE"))}
        return kept | {"HANSE_HOME": str(self.home / "hanse"), "PYTHONPATH": SOURCE}

    def hanse(self, *arguments: object, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "hanse", *map(str, arguments)], capture_output=True, text=True, timeout=240,
            cwd=self.home, check=False, env=self.environment,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def typed(self, text: str, *arguments: str) -> str:
        """What a terminal shows when `text` is typed into a command that opens a shell."""
        screen, theirs = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-m", "hanse", *arguments], stdin=theirs, stdout=theirs, stderr=theirs, cwd=self.home,
            env=self.environment, start_new_session=True,
        ) as shell:  # fmt: skip
            os.close(theirs)
            os.write(screen, text.encode())
            shown = b""
            with suppress(OSError):  # a terminal that nobody holds any more
                while piece := os.read(screen, 1000):
                    shown += piece
            shell.wait(60)
        os.close(screen)
        return shown.decode(errors="replace")

    def run(self, run_id: str) -> Run:
        facts = json.loads((self.home / "hanse" / "service" / "endpoint.json").read_text())
        with Client(facts["url"], facts["token"]) as client:
            return client.run(run_id)


@pytest.fixture
def laptop(slurm_site: SlurmSite, tmp_path: Path) -> Iterator[Laptop]:
    front = sshd.up(tmp_path / "front", slurm_site.environment)
    jump = sshd.up(tmp_path / "jump")
    shutil.copy(front.authority.with_name("ca.pub"), jump.root / "ca.pub")  # both take the site's certificates
    jump.stop()
    jump.start()
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(front.known_hosts.read_text() + jump.known_hosts.read_text())
    (tmp_path / "laptop").mkdir()
    made = Laptop(tmp_path / "laptop", jump, front, known_hosts)
    yield made
    made.hanse("serve", "--stop")
    front.stop()
    jump.stop()


def test_own_hours_are_used_from_a_laptop_and_a_certificate_that_ends_costs_nothing_but_news(
    laptop: Laptop, slurm_site: SlurmSite, tmp_path: Path
) -> None:
    site = slurm_site.machine
    facts = site.scheduler.model_copy(update={"environment": {**site.scheduler.environment, "PYTHONPATH": SOURCE}})
    read = Source(part="nodes", url="https://example.org/hansa", confidence="official", read_on="2026-11-22")
    described = laptop.home / "hansa.yaml"
    described.write_text(writing.as_yaml(site.model_copy(update={"scheduler": facts, "sources": (read,)})))
    key = laptop.front.certified("own", "-1m:+1h")
    far = tmp_path / "over-there"
    far.mkdir()
    said = laptop.hanse(
        "connect", described, "--account", slurm_site.account, "--host", laptop.front.login,
        "--port", laptop.front.port, "--key", key, "--jump", f"{laptop.jump.login}:{laptop.jump.port}",
        "--known-hosts", laptop.known_hosts, "--work", far, "--python", sys.executable, "--renew", "renew-it now",
    )  # fmt: skip
    assert f"Ready: jobs of {slurm_site.account} can run on {site.id}." in said
    saved = laptop.home / "hanse" / "connections" / f"{site.id}.json"
    assert saved.stat().st_mode & 0o777 == 0o600
    assert slurm_site.account in laptop.hanse("connect", "--list")

    (laptop.home / "greeting.txt").write_text("hello from the nodes\n")
    (laptop.home / "train.yaml").write_text(TRAIN.format(machine=site.id, go=tmp_path / "go"))
    run_id = json.loads(laptop.hanse("launch", "train.yaml", "--json"))["id"]

    def is_(state: AttemptState, words: str = "") -> bool:
        attempt = laptop.run(run_id).legs[0].attempts[0]
        return attempt.state is state and words in attempt.reason

    until(lambda: is_(AttemptState.RUNNING), within_s=120, what="the run", every_s=0.3)
    assert not (laptop.home / "hanse" / "work" / "runs" / run_id).exists()
    assert (far / "runs" / run_id / "code" / "greeting.txt").exists()

    job_id = laptop.run(run_id).legs[0].attempts[0].job_id or ""
    assert f"in-job-{job_id}" in laptop.typed("echo in-job-$SLURM_JOB_ID; exit\n", "shell", run_id)

    _certify(laptop, key, "-2h:-1h")
    laptop.front.stop()
    laptop.front.start()
    until(lambda: is_(AttemptState.UNKNOWN, "the certificate ended at"), within_s=120, what="the news", every_s=0.3)
    assert "Run 'renew-it now'" in laptop.run(run_id).legs[0].attempts[0].reason
    assert slurm_site.run("squeue", "-h", "-j", job_id, "-o", "%T").strip() == "RUNNING"
    (tmp_path / "go").touch()
    _certify(laptop, key, "-1m:+1h")
    until(lambda: is_(AttemptState.FINISHED), within_s=180, what="the end", every_s=0.3)

    assert "hello from the nodes" in laptop.hanse("logs", run_id)
    charged = laptop.run(run_id).legs[0].attempts[0]
    assert len(laptop.run(run_id).legs[0].attempts) == 1, "nothing was submitted twice"
    assert laptop.run(run_id).used_accelerator_seconds == slurm_site.held()[charged.job_id or ""]
    _follow_and_cancel(laptop, tmp_path / "go", slurm_site)
    laptop.hanse("connect", "--forget", site.id)
    assert Home(laptop.home / "hanse").connected() == ()


def _follow_and_cancel(laptop: Laptop, go: Path, slurm_site: SlurmSite) -> None:
    """Its log is followed as it grows over there, and it is ended from here."""
    go.unlink()
    run_id = json.loads(laptop.hanse("launch", "train.yaml", "--json"))["id"]
    command = [sys.executable, "-u", "-m", "hanse", "logs", "-f", run_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=laptop.home, env=laptop.environment) as logs:
        assert logs.stdout is not None
        assert any("waiting" in line for line in logs.stdout), "it ended before it had begun"
        job_id = laptop.run(run_id).legs[0].attempts[0].job_id or ""
        laptop.hanse("cancel", run_id, "--reason", "Seen enough.")
        rest = logs.stdout.read()
        assert logs.wait(120) in (0, 1), rest
    assert laptop.run(run_id).state is RunState.CANCELLED
    until(
        lambda: slurm_site.run("squeue", "-h", "-j", job_id, "-o", "%T", check=False).strip() in ("", "CANCELLED"),
        within_s=60, what="the job's end",
    )  # fmt: skip


def _certify(laptop: Laptop, key: Path, valid: str) -> None:
    import getpass

    sshd.keygen(
        "-s", laptop.front.authority, "-I", "own", "-n", getpass.getuser(), "-V", valid, key.with_name("own.pub")
    )  # fmt: skip


def test_a_terminal_reaches_the_machine_through_the_same_jump_with_the_same_key(laptop: Laptop) -> None:
    key = laptop.front.certified("own", "-1m:+1h")
    made = Connection.model_construct(
        login=laptop.front.login, port=laptop.front.port, key=str(key), known_hosts=str(laptop.known_hosts),
        jump=f"{laptop.jump.login}:{laptop.jump.port}",
    )  # fmt: skip
    done = subprocess.run(
        [*made.ssh(), "echo", "reached"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        check=False,
    )  # fmt: skip
    assert "reached" in done.stdout, done.stderr
