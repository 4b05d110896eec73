"""A team around a service of its own: people in a browser's place, and computers with environments of their own."""

from __future__ import annotations

import os
import re
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

from tests.codes import code_of

ROOT = Path(__file__).parents[1]
CSRF = r'csrfmiddlewaretoken" value="([^"]+)"'
PASSWORD = "three ships from Visby"


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

    def check(self, application: str, step: str) -> None:
        """Pass a step of its review, on that step's page."""
        said = self.post(
            f"/review/steps/{application}/{step}/", reason="Looked at with the applicant.", **{"pass": "1"}
        )
        assert ": passed" in said, said

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
