"""What a Waldur 8.1 answers, in the keys of its API: two customers, three projects, resources of every kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

API = "https://waldur.example.eu/api"


def component(type: str, unit: str, **more: Any) -> dict[str, Any]:
    return {"type": type, "name": type.upper(), "billing_type": "limit", "measured_unit": unit, "unit_factor": 1,
            "limit_period": "total"} | more  # fmt: skip


def resource(number: int, **changes: Any) -> dict[str, Any]:
    uuid = f"{number:032x}"
    return {
        "uuid": uuid, "url": f"{API}/marketplace-resources/{uuid}/", "name": f"alloc-{number}", "state": "OK",
        "offering_uuid": "a" * 32, "offering_slug": "booster", "offering_name": "Booster",
        "project": f"{API}/projects/{'b' * 32}/", "project_uuid": "b" * 32, "project_name": "Delivery notes",
        "project_description": "Reading them.", "project_end_date": None, "customer_uuid": "c" * 32,
        "customer_name": "Brick AI", "backend_id": f"hpc_{number}", "created": "2026-11-02T10:00:00Z",
        "end_date": "2099-12-31", "limits": {"gpu": 5000}, "current_usages": {"gpu": 12},
        "offering_components": [component("gpu", "GPU Hours")], "creation_order": {"start_date": None},
    } | changes  # fmt: skip


CUSTOMER = {"uuid": "c" * 32, "name": "Brick AI", "country": "BE", "vat_code": "", "email": "office@example.eu"}
USERS = (
    {"user_email": "m@example.eu", "user_full_name": "Em", "role_name": "PROJECT.MEMBER", "expiration_time": None},
    {"user_email": "f@example.eu", "user_full_name": "Ef", "role_name": "PROJECT.MANAGER", "expiration_time": None},
)


class Speaking(BaseHTTPRequestHandler):
    """A small server that speaks as a Waldur does: its token, its states as a filter, its pages and their headers."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        there: Any = self.server
        there.asked.append(self.path)
        url = urlsplit(self.path)
        if self.headers.get("Authorization") != f"Token {there.token}":
            self._answer(401, {"detail": "Invalid token."})
            return
        items = there.answers.get(url.path)
        if items is None:
            self._answer(404, {"detail": "Not found."})
        elif isinstance(items, dict):
            self._answer(200, items)
        else:
            self._page(url.path, parse_qs(url.query), list(items))

    def _page(self, path: str, query: dict[str, list[str]], items: list[dict[str, Any]]) -> None:
        items = [one for one in items if "state" not in query or one["state"] in query["state"]]
        size = min(int(query.get("page_size", ["10"])[0]), self.server.largest_page)  # type: ignore[attr-defined]
        number = int(query.get("page", ["1"])[0])
        pages = max(1, -(-len(items) // size))
        here = f"http://{self.headers['Host']}{path}"

        def link(page: int, rel: str) -> str:
            kept = {name: each for name, each in query.items() if name != "page"}
            return f'<{here}?{urlencode({**kept, "page": page} if page > 1 else kept, doseq=True)}>; rel="{rel}"'

        links = [link(1, "first"), *([link(number - 1, "prev")] if number > 1 else []),
                 *([link(number + 1, "next")] if number < pages else []), link(pages, "last")]  # fmt: skip
        self._answer(
            200,
            items[(number - 1) * size : number * size],
            {"X-Result-Count": str(len(items)), "Link": ", ".join(links)},
        )

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_told: Any) -> None:
        """Nothing: a test's output is its own."""


class SmallWaldur(ThreadingHTTPServer):
    """`answers`: by path, a list that is paged or an object."""

    daemon_threads = True

    def __init__(self, *resources: dict[str, Any], largest_page: int = 300) -> None:
        super().__init__(("127.0.0.1", 0), Speaking)
        self.token, self.largest_page = "a-token", largest_page
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {
            "/api/marketplace-resources/": list(resources),
            f"/api/customers/{'c' * 32}/": CUSTOMER,
            f"/api/projects/{'b' * 32}/list_users/": USERS,
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def a_waldur(*resources: dict[str, Any], **more: Any) -> Iterator[SmallWaldur]:
    server = SmallWaldur(*resources, **more)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
