"""The agent's token and the users it acts as: kept to itself, renewed in time, sent over TLS, used for its commands."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import stat
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from hanse.agent import credentials
from hanse.agent.credentials import Credentials
from hanse.agent.identity import Schedulers, command_as, lay_folder, sudoers
from hanse.agent.main import run
from hanse.agent.parts import schedulers_of
from hanse.client.answers import NewToken
from hanse.client.http import TokenRefused
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, SiteError, UsageError
from hanse.contracts.policy import IdentityMap
from tests.agent.hands import Cluster
from tests.agent.test_loop import ROUND, WELCOME, answering
from tests.contracts.examples import AT, MACHINE

HELD = Credentials(url="https://h", machine="local", token="t", issued_at=AT, expires_at=AT + timedelta(days=90))


def test_a_token_is_due_for_renewal_in_the_last_third_of_its_life() -> None:
    assert not HELD.is_due(AT + timedelta(days=59))
    assert HELD.is_due(AT + timedelta(days=60))
    assert not HELD.model_copy(update={"expires_at": None}).is_due(AT + timedelta(days=999))


def test_credentials_are_kept_for_their_owner_only_and_come_back(tmp_path: Path) -> None:
    assert credentials.read(tmp_path) is None
    credentials.keep(HELD, tmp_path)
    kept = tmp_path / credentials.NAME
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and credentials.read(tmp_path) == HELD
    kept.chmod(0o640)
    with pytest.raises(UsageError, match="others may read"):
        credentials.read(tmp_path)
    kept.chmod(0o600)
    kept.write_text("{")
    with pytest.raises(UsageError, match="damaged"):
        credentials.read(tmp_path)


@pytest.mark.parametrize("url", ["http://hanse.example", "ftp://hanse.example", "hanse.example"])
def test_a_token_is_sent_over_tls_or_stays_on_this_machine(url: str) -> None:
    for safe in ("https://hanse.example", "http://127.0.0.1:8000", "http://localhost:1"):
        credentials.require_safe(safe, insecure=False)
    with pytest.raises(UsageError):
        credentials.require_safe(url, insecure=False)
    credentials.require_safe("http://hanse.example", insecure=True)


def test_a_token_in_its_last_third_is_renewed_and_kept_before_it_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "agent" / "local"
    old = HELD.model_copy(update={"issued_at": now() - timedelta(days=61), "expires_at": now() + timedelta(days=29)})
    credentials.keep(old, folder)
    given = NewToken(token="fresh", name="agent", expires_at=AT + timedelta(days=3650))
    taken_over = (409, {"what": "a newer agent speaks", "where": "local", "fix": ""})
    renewal = (201, given.model_dump(mode="json"))
    with answering(WELCOME, ROUND, renewal, taken_over) as url, pytest.raises(Conflict, match="newer agent"):
        run(url, "t", MACHINE, Cluster(), tmp_path, every_s=0.01, kept=old)
    kept = credentials.read(folder)
    assert kept is not None and kept.token == "fresh"


def test_an_agent_whose_token_was_revoked_says_so_once_ends_and_keeps_its_jobs(tmp_path: Path) -> None:
    revoked = (401, {"what": "this agent's token was revoked on 2026-11-23", "where": "", "fix": ""})
    cluster = Cluster()
    with answering(WELCOME, ROUND, revoked) as url, pytest.raises(TokenRefused) as caught:
        run(url, "t", MACHINE, cluster, tmp_path, every_s=0.01)
    assert "was revoked on 2026-11-23; this agent ends, its jobs go on" in caught.value.what
    assert "--enrol" in caught.value.fix and cluster.cancelled == []


def test_an_agent_enrolled_anew_while_it_runs_takes_the_new_token_up(tmp_path: Path) -> None:
    refused = (401, {"what": "revoked", "where": "", "fix": ""})
    credentials.keep(HELD.model_copy(update={"token": "newer"}), tmp_path / "agent" / "local")
    with answering(WELCOME, refused, ROUND, refused) as url, pytest.raises(TokenRefused):
        run(url, "t", MACHINE, Cluster(), tmp_path, every_s=0.01)


MAP = IdentityMap(mode="sudo", users={"anna": "anna1", "bo": "bo2"}, projects={"p": "anna1"}, group="hanse")


def test_the_sudo_rule_names_those_users_and_those_commands_only() -> None:
    text = sudoers("hanse", MAP, lambda name: f"/opt/slurm/bin/{name}")
    rule = [line for line in text.splitlines() if not line.startswith("#")]
    assert rule[0].startswith("Cmnd_Alias HANSE = /opt/slurm/bin/sbatch, /opt/slurm/bin/scancel, /usr/bin/install -d ")
    assert rule[-1] == "hanse ALL=(anna1, bo2) NOPASSWD: HANSE"
    assert command_as("anna1", ["/usr/bin/sbatch", "x"]) == ["sudo", "-n", "-u", "anna1", "--", "/usr/bin/sbatch", "x"]


def test_a_local_machine_has_no_users_to_act_as() -> None:
    with pytest.raises(SiteError, match="only Slurm knows users"):
        Schedulers(Cluster()).of("anna1")


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")


@as_root
def test_a_run_folder_is_its_users_and_the_agents_group_can_work_in_it(tmp_path: Path) -> None:
    user, group = pwd.getpwnam("nobody"), grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    own = IdentityMap(mode="sudo", users={"anna": "nobody"}, group=group)
    run_dir = tmp_path / "runs" / "run-1"
    for _ in range(2):
        lay_folder(run_dir / "attempts" / "0001", run_dir, "nobody", own)
    facts = (run_dir / "attempts" / "0001").stat()
    assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (user.pw_uid, user.pw_gid, 0o2770)
    assert (tmp_path / "runs").stat().st_uid == os.geteuid()
    with pytest.raises(SiteError, match="no Unix group"):
        lay_folder(tmp_path / "x" / "y", tmp_path / "x", "nobody", own.model_copy(update={"group": "no-such-group"}))


@as_root
def test_what_submits_is_run_as_the_user_and_what_looks_as_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With commands that say who runs them, found as Slurm's are."""
    tools = Path("/var/tmp") / f"hanse-test-{os.getpid()}"  # a folder that the other user may enter
    tools.mkdir(mode=0o755)
    try:
        for name in ("sbatch", "scancel", "squeue", "sacct"):
            (tools / name).write_text("#!/bin/sh\nid -un\n")
            (tools / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        slurm = MACHINE.model_copy(update={"scheduler": MACHINE.scheduler.model_copy(update={"kind": "slurm"})})
        made: list[dict[str, str]] = []
        monkeypatch.setattr("hanse.agent.parts.make", lambda _m, _f, environment: made.append(environment) or Cluster())
        schedulers_of(slurm, Cluster(), tmp_path).of("nobody")
        says = {
            name: subprocess.run(
                [shutil.which(name, path=made[0]["PATH"]) or "?"], capture_output=True, text=True, check=True, cwd="/"
            ).stdout.strip()
            for name in ("sbatch", "scancel", "squeue")
        }
        assert says == {"sbatch": "nobody", "scancel": "nobody", "squeue": "root"}
    finally:
        shutil.rmtree(tools)


def cli(home: Path, *arguments: str) -> tuple[int, str]:
    from hanse.cli.main import load
    from hanse.cli.registry import BY_NAME

    environment = {"HANSE_HOME": str(home), "HANSE_URL": ""}
    done = CliRunner().invoke(load(BY_NAME["agent"]), list(arguments), env=environment)
    return done.exit_code, done.output or str(done.exception)


def test_the_switch_is_pulled_and_lifted_by_hand(tmp_path: Path) -> None:
    assert "was ever started" in cli(tmp_path, "--stop", "leonardo")[1]
    (tmp_path / "agent" / "leonardo").mkdir(parents=True)
    assert cli(tmp_path, "--stop", "leonardo", "--because", "smoke")[0] == 0
    assert (tmp_path / "agent" / "leonardo" / "STOP").read_text() == "smoke\n"
    assert "is off" in cli(tmp_path, "--resume", "leonardo")[1]
    assert "was not on" in cli(tmp_path, "--resume", "leonardo")[1]


def test_a_policy_is_checked_and_its_sudo_rule_printed_without_a_service(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("max_nodes: 2\nidentity: {mode: sudo, group: hanse, users: {anna: anna1}}\n")
    code, said = cli(tmp_path, "--machine", "leonardo-booster", "--policy", str(path), "--check-policy")
    assert code == 0 and "At most 2 nodes a job." in said
    code, said = cli(tmp_path, "--machine", "leonardo-booster", "--policy", str(path), "--sudoers")
    assert code == 0 and "ALL=(anna1) NOPASSWD: HANSE" in said
    path.write_text("max_nodes: two\n")
    code, said = cli(tmp_path, "--machine", "leonardo-booster", "--policy", str(path))
    assert code != 0 and "policy.yaml:1" in said and "max_nodes" in said


def test_enrolling_keeps_the_token_and_refuses_plain_http(tmp_path: Path) -> None:
    given = NewToken(token="hanse_a_x", name="agent", expires_at=AT + timedelta(days=90))
    with answering((201, given.model_dump(mode="json"))) as url:
        code, said = cli(tmp_path, "--machine", "leonardo-booster", "--enrol", "ABCDE", "--url", url)
    assert code == 0 and "hanse_a_x" not in said
    assert json.loads((tmp_path / "agent" / "leonardo-booster" / "credentials").read_text())["token"] == "hanse_a_x"
    code, said = cli(tmp_path, "--machine", "leonardo-booster", "--enrol", "A", "--url", "http://hanse.example")
    assert code != 0 and "clear text" in said
