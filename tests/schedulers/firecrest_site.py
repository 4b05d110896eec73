"""A web server that answers as FirecREST v2 and its identity provider do, from recorded answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hanse.schedulers.firecrest_call import Access

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "recorded" / "firecrest-v2.json").read_text())


@dataclass
class Site:
    """`answers` maps 'METHOD /path' to status, body (a recorded answer's name, or bytes) and headers."""

    url: str = ""
    answers: dict[str, tuple[int, str | bytes, dict[str, str]]] = field(default_factory=dict)
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    """Each request's 'METHOD /path?query' and its body."""
    tokens: int = 0
    seen_tokens: list[str] = field(default_factory=list)
    token_lives_s: int = 300
    version: str = "2.6.0"

    def answer(self, what: str, status: int, body: str | bytes = b"", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[what] = (status, body, named)

    def access(self, system: str = "alpha", secret: str = "s3cret") -> Access:
        return Access(
            url=self.url, system=system, token_url=f"{self.url}/token", client_id="hanse", client_secret=secret
        )

    def asked(self, start: str) -> list[str]:
        return [line for line, _ in self.heard if line.startswith(start)]


@contextmanager
def firecrest() -> Iterator[Site]:
    site = Site()
    site.answer("GET /status/systems", 200, "systems")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            site.heard.append((f"{self.command} {self.path}", body))
            if path == "/token":
                self._token(body)
                return
            site.seen_tokens.append(self.headers.get("Authorization", ""))
            status, recorded, headers = site.answers.get(f"{self.command} {path}", (404, b"no such page", {}))
            content = recorded if isinstance(recorded, bytes) else json.dumps(RECORDED[recorded]).encode()
            self._say(status, content, headers)

        def _token(self, body: bytes) -> None:
            if b"client_secret=s3cret" not in body:
                self._say(401, b'{"error": "invalid_client"}', {})
                return
            site.tokens += 1
            given = RECORDED["token"] | {"access_token": f"token-{site.tokens}", "expires_in": site.token_lives_s}
            self._say(200, json.dumps(given).encode(), {})

        def _say(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            self.send_header("F7T-AppVersion", site.version)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if status != 204:
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the server's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
