"""A team's service on PostgreSQL, a real Slurm machine that joins it, a user's run on it: as the how-to pages say."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from hanse.contracts.base import now
from hanse.rules.gate import questions
from tests import needs, postgres
from tests.codes import code_of
from tests.docs.test_docs import DOCS, ROOT, commands
from tests.slurm_site import ACCOUNT, SlurmSite
from tests.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]
GOOD = ("civilian-purpose", "data-rights")
CSRF = r'csrfmiddlewaretoken" value="([^"]+)"'
PASSWORD = "three ships from Visby"
TEAM, SLURM = (DOCS / "how-to" / name for name in ("serve-a-team.md", "use-a-slurm-machine.md"))


@dataclass
class Portal:
    """A person in a browser: fills forms in, follows where they lead."""

    url: str
    name: str
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.url, follow_redirects=True, headers={"Referer": self.url}, timeout=30)
        self.post("/login/", login=self.name, password=PASSWORD)
        page = self.http.get("/applications/")
        if "factor" in page.url.path:  # an officer's first page: their second factor is set up
            self._set_up_a_second_factor(page)

    def _set_up_a_second_factor(self, page: httpx.Response) -> None:
        secret, key = (re.search(shape, page.text) for shape in (r"<code>([A-Z2-7]+)</code>", CSRF))
        assert secret is not None and key is not None, page.text
        self.http.post(page.url.path, data={"csrfmiddlewaretoken": key.group(1), "code": code_of(secret.group(1))})
        assert self.http.get("/applications/").url.path == "/applications/"

    def post(self, path: str, **given: Any) -> str:
        """Send the form of the page at `path`."""
        key = re.search(CSRF, self.http.get(path).text)
        assert key is not None, path
        answer = self.http.post(path, data={"csrfmiddlewaretoken": key.group(1), **given})
        assert answer.status_code == 200, (path, answer.text)
        return answer.text

    def record(self, table: str, memberships: str = "", /, **given: Any) -> str:
        """Make one in the admin; its number there."""
        form = {f"{memberships}-{count}": "0" for count in ("TOTAL_FORMS", "INITIAL_FORMS")} if memberships else {}
        said = self.post(f"/admin/{table}/add/", **(form | given))
        found = re.search(rf"/admin/{table}/(\d+)/change/", said)
        assert found is not None, re.findall(r"errorlist.*?</ul>", said, re.DOTALL) or said
        return found.group(1)

    def token(self, name: str) -> str:
        said = re.search(r"HANSE_TOKEN=(hanse_u_[\w-]+)", self.post("/tokens/", name=name, days="30"))
        assert said is not None
        return said.group(1)


@dataclass
class Host:
    """One computer with an environment of its own."""

    home: Path
    more: dict[str, str]

    def environment(self) -> dict[str, str]:
        rest = {
            name: value for name, value in os.environ.items() if not name.startswith(("HANSE_", "SLURM_", "DJANGO"))
        }
        rest.pop("DATABASE_URL", None)
        places = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}
        return rest | places | {"HANSE_HOME": str(self.home)} | self.more

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.home, env=self.environment(), capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, command: str) -> subprocess.Popen[bytes]:
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self.home, env=self.environment(), stdout=log, stderr=log
            )


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Any]:
    def make(name: str, **more: str) -> Host:
        (tmp_path / name).mkdir()
        return Host(tmp_path / name, more)

    yield make
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("HANSE_HOME", "").startswith(str(tmp_path)):
                process.kill()


def the(page: Path, beginning: str) -> str:
    return next(command for command in commands(page) if command.startswith(beginning))


def test_a_team_serves_itself_joins_a_slurm_machine_and_runs_on_it(host: Any, slurm_site: SlurmSite) -> None:
    if not postgres.BINARIES:
        needs.lacking("PostgreSQL is not installed (apt-get install postgresql)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"

    (alone,) = set(re.findall(r"HANSE_AWARDS_BY=1", TEAM.read_text()))  # as the page sets it for a lonely officer
    server = host(
        "server", DATABASE_URL=postgres.up(), DJANGO_SUPERUSER_PASSWORD=PASSWORD, **dict([alone.split("=")])
    )  # fmt: skip
    server.run(the(TEAM, "hanse manage prepare"))
    server.run(f"{the(TEAM, 'hanse manage createsuperuser')} --noinput --username=admin --email=admin@example.eu")
    server.start(the(TEAM, "hanse serve").replace("8000", str(port)))

    def serves() -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{url}/login/").status_code == 200
        return False

    until(serves, within_s=60, what=f"the service; its log: {(server.home / 'log').read_text()}", every_s=0.2)

    admin = Portal(url, "admin")
    people = {}
    for name in ("olga", "ida"):
        people[name] = admin.record(
            "access/person",
            "memberships",
            username=name,
            password1=PASSWORD,
            password2=PASSWORD,
            usable_password="true",
        )
    for name, kind, person, role in (("Centre", "public", "olga", "operator"), ("Norrlyd", "start-up", "ida", "owner")):
        member = {"memberships-TOTAL_FORMS": "1", "memberships-0-person": people[person], "memberships-0-role": role}
        number = admin.record(
            "access/organisation", "memberships", name=name, kind=kind, country="SE", **{"public_id": "", **member}
        )
        if role == "operator":
            admin.record("runs/site", public_id="my-site", name="The centre", organisation=number)

    operator = host("operator", HANSE_URL=url, HANSE_TOKEN=Portal(url, "olga").token("enrolment"))
    enrolled = json.loads(operator.run(the(SLURM, "curl")))
    login_node = host("login", HANSE_URL=url, HANSE_TOKEN=enrolled["token"], **slurm_site.environment)
    (login_node.home / "hansa.yaml").write_text(slurm_site.machine.model_copy(update={"status": "reference"}).to_json())
    login_node.start(the(SLURM, "hanse agent"))

    user = host("user", HANSE_URL=url, HANSE_TOKEN=Portal(url, "ida").token("laptop"))
    shutil.copytree(ROOT / "examples" / "any-command", user.home / "mine")
    spec = user.home / "mine" / "train.yaml"
    changes = {
        "[local]": "[hansa]",
        "where:\n": f"where:\n  account: {ACCOUNT}\n",
        "--points 2000000 ": "--points 20000000 ",  # some seconds, as Slurm counts whole ones only
    }
    text = spec.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    spec.write_text(text)
    shutil.copy(login_node.home / "hansa.yaml", spec.parent)
    dry = user.run(
        the(SLURM, "hanse launch").replace("train.yaml", "mine/train.yaml").replace("hansa.yaml", "mine/hansa.yaml")
    )
    assert "#SBATCH" in dry and ACCOUNT in dry

    until(lambda: "hansa" in admin.http.get("/admin/runs/machine/").text, within_s=60, what="the machine")
    answers = " ".join(f"--answer {one.id}={'yes' if one.id in GOOD else 'no'}" for one in questions(now().date()))
    sent = json.loads(user.run(
        "hanse apply --call playground --organisation Norrlyd --kind start-up --country SE --title Lights --purpose "
        f"'A small test.' --machine hansa --gpu-hours 10 --months 1 --email ida@example.eu {answers} --json"
    ))  # fmt: skip
    told = admin.post(f"/applications/{sent['id']}/decision/", grant="", gpu_hours="10", reason="A fine small test.")
    assert "is granted" in told
    user.run("hanse launch mine/train.yaml --watch")
    (run,) = json.loads(user.run("hanse status --json"))
    assert run["state"] == "finished"
    jobs = [attempt["job_id"] for leg in run["legs"] for attempt in leg["attempts"]]
    held = slurm_site.held()
    assert run["used_accelerator_seconds"] == sum(held[job] for job in jobs) > 0
    assert "pi" in user.run("hanse logs any-command")
