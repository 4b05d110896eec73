"""What is sent and too much: refused at once with one clear message, by the real server and before it is read."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import socket
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest
from django.db import connections
from django.test import Client, RequestFactory

from hanse.contracts.errors import UsageError
from hanse.service import uploads
from hanse.service.runs.code import MAX_HEADER_BYTES
from hanse.service.runs.models import CodeBundle
from tests.portal import seed
from tests.waiting import until

ROOT = Path(__file__).parents[2]
TWO_GB = 2 * 10**9
START = """
import pathlib, sys
from hanse.service.server import serve
serve(pathlib.Path(sys.argv[1]), port=int(sys.argv[2]))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A `hanse serve` of the test's own; several may share a home, as processes behind a proxy do."""

    def __init__(self, home: Path) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HANSE_", "DJANGO_", "DATABASE_"))}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(home), str(self.port)],
            env=kept | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])},
            stderr=subprocess.DEVNULL,
        )

    def up(self) -> Server:
        def answers() -> bool:
            assert self.process.poll() is None
            try:
                return httpx.get(f"{self.url}/healthz", trust_env=False).is_success
            except httpx.HTTPError:
                return False

        until(answers, within_s=120, what="the server")
        return self

    def sent(self, head: str, body: bytes = b"") -> str:
        """The answer to a request of which only the beginning is ever sent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as line:
            line.sendall(f"{head}\r\nHost: localhost\r\n".encode() + body)
            answer = b""
            while b"\n}" not in answer and b"</html>" not in answer:
                part = line.recv(65536)
                if not part:
                    break
                answer += part
        return answer.decode()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[list[Server]]:
    home, made = tmp_path_factory.mktemp("home"), list[Server]()
    # With the tables of the tests' own database: making them takes longer than all the rest.
    folder = home / "service"
    folder.mkdir(mode=0o700)
    source = sqlite3.connect(connections["default"].settings_dict["NAME"])
    with closing(source), closing(sqlite3.connect(folder / "hanse.sqlite3")) as copy:
        source.backup(copy)
    try:
        made += [Server(home), Server(home)]
        yield [server.up() for server in made]
    finally:
        for server in made:
            server.process.terminate()
            server.process.wait(30)


without_postgres = pytest.mark.skipif(
    os.environ.get("HANSE_TEST_DATABASE") == "postgres", reason="its servers keep a home of their own, in SQLite"
)


@without_postgres
def test_two_gigabytes_are_refused_before_a_byte_of_them_is_read(servers: list[Server]) -> None:
    server = servers[0]
    worker = psutil.Process(server.process.pid).children()[0]
    before = worker.memory_info().rss
    declared = f"Content-Length: {TWO_GB}\r\n\r\n".encode()
    for address in (f"/api/v1/code/{'0' * 64}", f"/api/agent/v1/parcels/prc-a/pieces/{'0' * 64}", "/api/v1/runs"):
        answer = server.sent(f"PUT {address} HTTP/1.1", declared + bytes(1000))
        assert answer.startswith("HTTP/1.1 413"), answer[:500]
        assert ("larger than 20 MB" if "/code/" in address else "GB are too much to send") in answer
    page = server.sent("POST /login/ HTTP/1.1", declared)
    assert page.startswith("HTTP/1.1 413") and "<h1>That was too much at once</h1>" in page
    endless = b"Transfer-Encoding: chunked\r\n\r\n" + b"100000\r\n" + bytes(0x100000) + b"\r\n"
    answer = server.sent(f"PUT /api/v1/code/{'0' * 64} HTTP/1.1", endless)
    assert answer.startswith("HTTP/1.1 411") and "does not say how long it is" in answer
    assert worker.memory_info().rss - before < 50 * 10**6
    assert httpx.get(f"{server.url}/healthz", trust_env=False).is_success


@without_postgres
def test_wrong_passwords_are_counted_over_all_processes_of_the_service(servers: list[Server]) -> None:
    token = "a" * 32
    given = {"login": "ida", "password": "wrong", "csrfmiddlewaretoken": token}
    said = []
    for number in range(12):
        url = servers[number % 2].url
        answer = httpx.post(f"{url}/login/", data=given, headers={"Cookie": f"csrftoken={token}"}, trust_env=False)
        assert answer.status_code in (200, 429)
        said.append("Too many" in answer.text)
    first = said.index(True)
    assert first <= 10, "ten a minute from one address, wherever they arrive; each process alone saw six"
    assert all(said[first:])


def test_each_address_says_how_much_it_takes(rf: RequestFactory) -> None:
    assert uploads.most_bytes("/api/v1/code/abc") == 20 * 2**20
    assert uploads.most_bytes("/api/agent/v1/parcels/prc-a/pieces/abc") == 8 * 2**20
    assert uploads.refused(rf.get("/")) is None
    odd = rf.post("/login/", headers={"Content-Length": "-1"})
    answer = uploads.refused(odd)
    assert answer is not None and answer.status_code == 413


def bundle(fill: tarfile.TarInfo, body: bytes) -> tuple[bytes, str]:
    file = io.BytesIO()
    with gzip.open(file, "wb", 1) as packed, tarfile.open(fileobj=packed, mode="w|") as archive:  # type: ignore[call-overload]
        archive.addfile(fill, io.BytesIO(body))
    return file.getvalue(), hashlib.sha256(file.getvalue()).hexdigest()


@pytest.mark.django_db
def test_a_bundle_that_unpacks_to_far_more_than_it_is_is_refused_wherever_it_hides_it() -> None:
    ida = seed.person("ida")
    zeros = bytes(4 * MAX_HEADER_BYTES)
    plain = tarfile.TarInfo("train.py")
    plain.size = 5
    data, sha = bundle(plain, b"pass\n")
    assert CodeBundle.receive(io.BytesIO(data), sha, by=ida).size_bytes == len(data)

    hidden = tarfile.TarInfo("train.py")
    hidden.pax_headers = {"comment": zeros.decode()}
    data, sha = bundle(hidden, b"")
    assert len(data) < 100_000
    with pytest.raises(UsageError, match="between two files"):
        CodeBundle.receive(io.BytesIO(data), sha, by=ida)

    for wrong in (b"PK\x03\x04 a zip", gzip.compress(b"no tar"), data[: len(data) // 2]):
        with pytest.raises(UsageError):
            CodeBundle.receive(io.BytesIO(wrong), hashlib.sha256(wrong).hexdigest(), by=ida)
    assert not list(CodeBundle.folder().glob(".incoming-*")), "what is refused leaves no file"
    large = tarfile.TarInfo("data.bin")
    large.size = 600 * 2**20
    head = large.tobuf() + bytes(512)
    bomb = gzip.compress(head)
    with pytest.raises(UsageError, match="500 MB"):
        CodeBundle.receive(io.BytesIO(bomb), hashlib.sha256(bomb).hexdigest(), by=ida)


@pytest.mark.django_db
def test_a_page_tells_it_in_the_portals_own_words() -> None:
    answer = Client().post("/login/", headers={"Content-Length": "99999999"})
    assert answer.status_code == 413 and "At most" in answer.content.decode()
