"""The embedded service as a process: it starts, says where it is, is alone, survives kills and ends cleanly."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from hanse.client.agent import AgentClient
from hanse.client.api import Client
from hanse.contracts.agentapi import Hello
from hanse.contracts.errors import UsageError
from hanse.service.server import serve
from tests.service.fixtures import a_machine
from tests.waiting import until

pytestmark = [
    pytest.mark.crash,
    pytest.mark.skipif(
        os.environ.get("HANSE_TEST_DATABASE") == "postgres", reason="embedded is SQLite; it runs in the other pass"
    ),
]
ROOT = Path(__file__).parents[2]
START = """
import pathlib, sys
from hanse.service.server import serve
serve(pathlib.Path(sys.argv[1]), port=0, embedded=True)
"""

READY_AGAIN = """
import os, pathlib, sys
home = pathlib.Path(sys.argv[1])
os.environ.update(HANSE_HOME=str(home), DJANGO_SETTINGS_MODULE="hanse.service.settings")
import django
django.setup()
from hanse.service import bootstrap, server
print("set up", flush=True)
sys.stdin.readline()
server._prepare(home / "service", False)
"""


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HANSE_", "DJANGO_", "DATABASE_"))}
    return kept | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}


class Service:
    """A `hanse serve --embedded` of the test's own."""

    def __init__(self, home: Path) -> None:
        self.home, self.processes = home, []
        self.endpoint = home / "service" / "endpoint.json"

    def start(self) -> subprocess.Popen[bytes]:
        self.log = self.home / f"log-{len(self.processes)}"
        process = subprocess.Popen(
            [sys.executable, "-c", START, str(self.home)], env=_environment(), stderr=self.log.open("wb"), cwd=self.home
        )
        self.processes.append(process)
        return process

    def up(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        def announced() -> Any:
            assert process.poll() is None, self.log.read_text()
            if not self.endpoint.exists():
                return None
            facts = json.loads(self.endpoint.read_text())
            return facts if facts["pid"] == process.pid else None

        return until(announced, within_s=180, what="endpoint.json")

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
                process.wait(20)


@pytest.fixture
def new_service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def prepared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose tables are made: making them takes longer than all the rest of a start."""
    home = tmp_path_factory.mktemp("home")
    command = [sys.executable, "-m", "hanse.service.manage", "migrate", "-v", "0"]
    subprocess.run(command, env=_environment() | {"HANSE_HOME": str(home)}, check=True, cwd=home)
    return home


@pytest.fixture
def service(new_service: Service, prepared_home: Path) -> Service:
    shutil.copytree(prepared_home / "service", new_service.home / "service")
    return new_service


def test_it_starts_from_nothing_says_where_it_is_and_takes_its_own_tokens(new_service: Service) -> None:
    service = new_service
    process = service.start()
    facts = service.up(process)
    me = Client(facts["url"], facts["token"]).me()
    assert me.officer and me.organisations[0].role == "operator"
    assert Client(facts["url"], facts["token"]).calls()
    hello = AgentClient(facts["url"], facts["agent_token"]).hello(Hello(machine=a_machine(), software="test"))
    assert hello.epoch == 1
    for name in ("endpoint.json", "user.token", "agent.token", "secret.key", "ticket.key"):
        assert stat.S_IMODE((service.home / "service" / name).stat().st_mode) == 0o600, name
    link = Client(facts["url"], facts["token"]).login_link()
    assert httpx.get(link.url).headers["location"] == "/"
    process.terminate()
    assert process.wait(20) == 0 and not service.endpoint.exists()


def test_a_second_service_on_the_same_home_is_refused_and_the_first_goes_on(service: Service) -> None:
    first = service.start()
    facts = service.up(first)
    second = service.start()
    assert second.wait(30) != 0 and "already runs here" in service.log.read_text()
    assert Client(facts["url"], facts["token"]).me()


def test_first_starts_at_once_on_one_home_make_it_ready_together(prepared_home: Path, tmp_path: Path) -> None:
    """Each turns the database's write-ahead log on and publishes the calls: SQLite refuses two at once."""
    shutil.copytree(prepared_home / "service", tmp_path / "service")
    database = tmp_path / "service" / "hanse.sqlite3"
    command = [sys.executable, "-c", READY_AGAIN, str(tmp_path)]
    for _turn in range(4):
        with closing(sqlite3.connect(database)) as tables, tables:
            tables.execute("DELETE FROM access_call")
        with closing(sqlite3.connect(database)) as tables:
            assert tables.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
        several = [
            subprocess.Popen(
                command, env=_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            for _ in range(4)
        ]
        for process in several:
            assert process.stdout and process.stdout.readline() == b"set up\n"
        for process in several:
            assert process.stdin
            process.stdin.write(b"now\n")
            process.stdin.flush()
        for process in several:
            _, said = process.communicate(timeout=120)
            assert process.returncode == 0, said.decode()


def test_killed_at_once_and_started_at_once_it_serves_again_with_the_same_tokens(service: Service) -> None:
    first = service.start()
    before = service.up(first)
    AgentClient(before["url"], before["agent_token"]).hello(Hello(machine=a_machine(), software="test"))
    first.kill()
    first.wait(10)
    after = service.up(service.start())
    assert (after["token"], after["agent_token"]) == (before["token"], before["agent_token"])
    assert AgentClient(after["url"], after["agent_token"]).hello(Hello(machine=a_machine(), software="x")).epoch == 2


def test_a_worker_that_is_killed_is_replaced_and_the_address_stays(service: Service) -> None:
    process = service.start()
    facts = service.up(process)
    [worker] = psutil.Process(process.pid).children()
    os.kill(worker.pid, signal.SIGKILL)

    def answers_again() -> bool:
        others = [child.pid for child in psutil.Process(process.pid).children() if child.pid != worker.pid]
        try:
            return bool(others) and httpx.get(f"{facts['url']}/healthz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    until(answers_again, within_s=30, what="a new worker")


def test_an_embedded_service_listens_to_this_machine_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="this machine only"):
        serve(tmp_path, host="0.0.0.0", port=0, embedded=True)


def test_a_port_that_is_taken_is_said_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"{port} cannot be listened on"):
            serve(tmp_path / "home", port=port, embedded=True)
    assert not (tmp_path / "home").exists()
