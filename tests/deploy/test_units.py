"""What deploy/ holds: units that systemd reads, and the service started on PostgreSQL by the unit's own lines."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests import needs, postgres
from tests.deploy.proxy import NAME, nginx
from tests.waiting import until

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
INSTALLED = "/opt/hanse/bin/"
UNITS = sorted(path.name for path in DEPLOY.iterdir() if path.suffix in (".service", ".timer"))
TOKEN = "a-token-for-scrapes"


class _Unit(configparser.RawConfigParser):
    def __init__(self, name: str) -> None:
        super().__init__(strict=False, comment_prefixes=("#",), inline_comment_prefixes=None)
        self.optionxform = str  # type: ignore[assignment,method-assign]
        self.read(DEPLOY / name)

    def command(self, key: str) -> list[str]:
        return shlex.split(self["Service"][key].replace(INSTALLED, f"{Path(sys.executable).parent}/"))


def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    needs.program("systemd-analyze", package="systemd")
    for name in UNITS:
        program = f"{Path(sys.executable).parent}/"
        (tmp_path / name).write_text((DEPLOY / name).read_text().replace(INSTALLED, program))
    for name in UNITS:
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True
        )
        mine = [line for line in done.stderr.splitlines() if "hanse" in line]
        assert done.returncode == 0 and not mine, (name, done.stderr)


def test_the_container_starts_what_the_unit_starts_and_nothing_is_root() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    (line,) = re.findall(r"^CMD \[(.*)\]$", text, re.MULTILINE)
    container = [word.strip().strip('"') for word in line.split(",")]
    unit = _Unit("hanse.service").command("ExecStart")

    def chosen(words: list[str]) -> list[str]:
        where = words.index("--bind")
        return words[1:where] + words[where + 2 :]

    assert container[0] == "gunicorn" and chosen(container) == chosen(unit)
    assert text.index("USER hanse") < text.index("CMD [")
    for name in UNITS:
        if name.endswith(".service"):
            assert _Unit(name)["Service"]["User"] == "hanse"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("deployed")


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    """As service.env.example has it, on a database and in folders of these tests."""
    lines = (DEPLOY / "service.env.example").read_text().splitlines()
    told = dict(line.split("=", 1) for line in lines if line)
    (folder / "metrics").mkdir()
    (folder / "home").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HANSE_", "DATABASE_"))}
    return kept | told | {
        "DATABASE_URL": postgres.up(), "HANSE_HOME": str(folder / "home"), "HANSE_METRICS_TOKEN": TOKEN,
        "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics"),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip


@pytest.fixture(scope="module")
def service(environment: Mapping[str, str], folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Started by the unit's lines; only the port is another."""
    unit = _Unit("hanse.service")
    for command in (unit.command("ExecStartPre"), _Unit("hanse-tick.service").command("ExecStart")):
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300, cwd=folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [word.replace(":8000", f":{port}") for word in unit.command("ExecStart")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        with suppress(httpx.HTTPError):
            return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
        return False

    try:
        until(ready, within_s=180, what="the service", every_s=0.2)
        yield url, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.mark.timeout(600)
def test_the_units_own_lines_start_several_processes_on_postgresql(
    service: tuple[str, subprocess.Popen[bytes]], folder: Path
) -> None:
    url, process = service
    asked = int(re.search(r"--workers (\d+)", (DEPLOY / "hanse.service").read_text())[1])  # type: ignore[index]
    assert len(psutil.Process(process.pid).children()) == asked > 1
    proxied = {"X-Forwarded-Proto": "https", "Host": "hanse.example.eu"}

    def ask(number: int) -> int:
        path = ("/healthz", "/readyz", "/api/v1/me", "/login/")[number % 4]
        return httpx.get(f"{url}{path}", headers=proxied, timeout=60).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(40)))
    assert answers == [200, 200, 401, 200] * 10
    assert httpx.get(f"{url}/login/", headers={"Host": "hanse.example.eu"}).status_code == 301, "without TLS"
    assert httpx.get(f"{url}/login/", headers=proxied | {"Host": "other.example"}).status_code == 400
    assert httpx.get(f"{url}/metrics", headers=proxied).status_code in (401, 403, 404)
    said = httpx.get(f"{url}/metrics", headers=proxied | {"Authorization": f"Bearer {TOKEN}"})
    counted = re.findall(r'^hanse_request_duration_seconds_count\{kind="api"\} ([\d.]+)', said.text, re.MULTILINE)
    assert (said.status_code, counted) == (200, ["10.0"]), "of all processes together"
    assert "Traceback" not in (folder / "log").read_text()


@pytest.mark.timeout(600)
def test_behind_nginx_all_is_tls_secrets_stay_out_of_its_log_and_nothing_large_comes_through(
    service: tuple[str, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    url, _ = service
    with nginx(tmp_path, url) as (plain, secure, access_log):

        def ask(path: str, **more: Any) -> httpx.Response:
            headers = {"Host": NAME, **more.pop("headers", {})}
            with httpx.Client(verify=False) as client:  # its name is not this machine's
                method = more.pop("method", "GET")
                return client.request(method, f"https://127.0.0.1:{secure}{path}", headers=headers, **more)

        redirected = httpx.get(f"http://127.0.0.1:{plain}/login/", headers={"Host": NAME})
        assert (redirected.status_code, redirected.headers["location"]) == (301, f"https://{NAME}/login/")
        page = ask("/login/")
        assert page.status_code == 200 and "max-age=31536000" in page.headers["strict-transport-security"]
        cookie = page.headers["set-cookie"].lower()
        assert "secure" in cookie and "samesite=lax" in cookie
        assert ask("/api/v1/me").status_code == 401 and ask("/readyz").status_code == 200
        assert ask("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 404
        assert ask("/in/a-secret-of-somebodys/").status_code == 302, "a link that is none leads to signing in"
        large = ask("/api/v1/code/" + "0" * 64, method="PUT", content=b"0" * (25 << 20))
        assert large.status_code == 413
    written = access_log.read_text()
    assert "/login/" in written and "a-secret-of-somebodys" not in written
