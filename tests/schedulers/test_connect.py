"""`hanse connect` through a real sshd on the front of a real Slurm: ready, or exactly what is missing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from typer.testing import CliRunner

from hanse.cli.verbs import connect
from hanse.contracts.machine import Source
from hanse.machines import writing
from tests import sshd
from tests.slurm_site import SlurmSite

pytestmark = pytest.mark.slurm


class Front(NamedTuple):
    server: sshd.Sshd
    description: Path
    account: str

    def connect(self, *more: str, **changes: object) -> tuple[int, dict[str, dict[str, str]], str]:
        """Exit code, findings by name, and all that was printed."""
        given = {"account": self.account, "host": self.server.login, "port": self.server.port,
                 "key": self.server.key, "known-hosts": self.server.known_hosts} | changes  # fmt: skip
        options = [part for name, value in given.items() for part in (f"--{name}", str(value))]
        app = typer.Typer(pretty_exceptions_enable=False)
        app.command()(connect.run)
        done = CliRunner().invoke(app, [str(self.description), *options, "--look-only", "--json", *more])
        assert done.stdout, done.exception or done.output
        facts = json.loads(done.stdout)
        assert facts["ready"] == (done.exit_code == 0)
        return done.exit_code, {one["name"]: one for one in facts["findings"]}, done.stdout


@pytest.fixture(scope="module")
def front(slurm_site: SlurmSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    root = tmp_path_factory.mktemp("front")
    source = str(Path(connect.__file__).parents[3])
    server = sshd.up(root / "sshd", {**slurm_site.environment, "PYTHONPATH": source})
    facts = slurm_site.machine.scheduler.model_copy(update={"python": sys.executable})
    description = root / "hansa.yaml"
    read = Source(part="nodes", url="https://example.org/hansa", confidence="official", read_on="2026-11-22")
    machine = slurm_site.machine.model_copy(update={"scheduler": facts, "sources": (read,)})
    description.write_text(writing.as_yaml(machine))
    yield Front(server, description, slurm_site.account)
    server.stop()


def test_a_machine_where_all_is_well_is_ready(front: Front) -> None:
    code, found, said = front.connect(key=front.server.certified("welcome", "-1m:+1h"))
    assert code == 0, said
    assert "the certificate ends at" in found["connection"]["found"]
    assert found["account"]["found"].startswith(front.account)
    assert found["a job"]["found"].startswith("Slurm would take it, to start at")
    assert {name: one["state"] for name, one in found.items() if one["state"] == "missing"} == {}


@pytest.mark.parametrize(
    ("case", "finding", "words"),
    [
        ("another account", "account", "is not in proj-of-others"),
        ("no such partition", "partition", "there is no nowhere among"),
        ("expired certificate", "connection", "the certificate ended at"),
        ("unknown host key", "connection", "its host key is not the one in known_hosts"),
        ("no folder", "work folder", "is not there or not writable"),
    ],
)
def test_what_is_missing_is_named_with_what_to_do(
    front: Front, tmp_path: Path, case: str, finding: str, words: str
) -> None:
    (tmp_path / "empty").touch()
    changes: dict[str, dict[str, object]] = {
        "another account": {"account": "proj-of-others"},
        "no such partition": {"partition": "nowhere"},
        "unknown host key": {"known-hosts": tmp_path / "empty"},
        "no folder": {"work": tmp_path / "no"},
    }
    if case == "expired certificate":
        changes[case] = {"key": front.server.certified("late", "-2h:-1h")}
    code, found, said = front.connect(**changes[case])
    assert code == 1
    assert found[finding]["state"] == "missing" and words in found[finding]["found"], said
    assert found[finding]["fix"]


def test_a_host_without_slurm_is_told_so_and_the_rest_is_looked_at_all_the_same(front: Front, tmp_path: Path) -> None:
    plain = tmp_path / "bin"
    plain.mkdir()
    for name in ("sh", "env", "id", "df", "test", "date"):
        (plain / name).symlink_to(Path("/bin") / name)
    bare = sshd.up(tmp_path / "sshd", {"PATH": str(plain)})
    try:
        code, found, _ = Front(bare, front.description, front.account).connect()
    finally:
        bare.stop()
    assert code == 1
    assert found["Slurm"]["found"] == "no sbatch, squeue, sacct, scancel on PATH"
    assert found["Python"]["state"] == "good" and found["work folder"]["state"] == "good"
