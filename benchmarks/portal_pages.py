"""The pages and calls that are asked for: by which role, of which kind, and how many queries each needs.

`python -m benchmarks.portal_pages HOME` counts the queries in its own process with Django's test client, over the very
rows that the server serves; what `portal_world` printed comes on standard input.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Page(NamedTuple):
    """`role` is whose session or token is used; an address under /api/ is asked with a token."""

    name: str
    kind: str
    """list, detail or dashboard."""
    role: str
    address: str
    apart: bool = False
    """It takes seconds: asked by one client after the others, who would all be measured waiting for it."""

    @property
    def is_api(self) -> bool:
        return self.address.startswith("/api/")


PAGES = (
    Page("home, of much", "dashboard", "much", "/"),
    Page("home, of some", "dashboard", "some", "/"),
    Page("home, officer", "dashboard", "officer", "/"),
    Page("runs", "list", "much", "/runs/"),
    Page("runs, a late page", "list", "much", "/runs/?page=20"),
    Page("runs, of some", "list", "some", "/runs/"),
    Page("run", "detail", "much", "/runs/{much.run}/"),
    Page("run's report", "detail", "much", "/runs/{much.run}/report/"),
    Page("run under way, live part", "detail", "much", "/runs/{much.running}/live/"),
    Page("allocation", "detail", "much", "/allocations/{much.allocation}/"),
    Page("allocation's requests", "detail", "much", "/allocations/{much.allocation}/requests/"),
    Page("duty", "detail", "much", "/awards/duties/{much.duty}/"),
    Page("applications, officer", "list", "officer", "/applications/"),
    Page("applications", "list", "much", "/applications/"),
    Page("application, officer", "detail", "officer", "/applications/{waiting}/"),
    Page("application", "detail", "some", "/applications/{some.application}/"),
    Page("drafts", "list", "some", "/drafts/"),
    Page("calls", "list", "some", "/calls/"),
    Page("call", "detail", "some", "/calls/fast-lane/"),
    Page("notices", "list", "much", "/notices/"),
    Page("people", "list", "much", "/organisations/{much.organisation}/people/"),
    Page("federation", "dashboard", "much", "/federation/"),
    Page("federation, operator", "dashboard", "operator", "/federation/"),
    Page("operator's machine", "dashboard", "operator", "/operator/{machine}/"),
    Page("officers' figures", "dashboard", "officer", "/monitoring/"),
    Page("officers' figures, one mode", "dashboard", "officer", "/monitoring/?mode=fast-lane&from=2025-01&to=2026-06"),
    Page("public register", "list", "some", "/register/"),
    Page("public register, late page", "list", "some", "/register/?page=200"),
    Page("public register, one country", "list", "some", "/register/?country=FI&year={year}"),
    Page("awards", "dashboard", "officer", "/awards/"),
    Page("capacity", "list", "officer", "/awards/capacity/"),
    Page("statements", "list", "officer", "/awards/statements/"),
    Page("watch", "dashboard", "officer", "/watch/"),
    Page("who viewed what", "list", "officer", "/views/"),
    Page("review desk, officer", "dashboard", "officer", "/review/"),
    Page("review desk, operator", "dashboard", "operator", "/review/"),
    Page("review desk, reviewer", "dashboard", "reviewer", "/review/"),
    Page("reviewers", "list", "officer", "/review/reviewers/"),
    Page("round", "detail", "officer", "/review/rounds/{round}/"),
    Page("a ranking", "detail", "officer", "/review/rounds/{ranked}/"),
    Page("rounds", "list", "officer", "/review/rounds/"),
    Page("lane", "list", "officer", "/review/lanes/fast-lane/"),
    Page("step", "detail", "officer", "/review/steps/{waiting}/administrative/"),
    Page("redress", "detail", "some", "/review/redress/{some.application}/"),
    Page("application in a round, officer", "detail", "officer", "/applications/{in round}/"),
    Page("application granted, officer", "detail", "officer", "/applications/{granted}/"),
    Page("review sheet", "detail", "reviewer", "/review/sheets/{sheet}/"),
    Page("API runs", "list", "much", "/api/v1/runs?limit=25"),
    Page("API run summaries", "list", "much", "/api/v1/run-summaries?limit=50"),
    Page("API run", "detail", "much", "/api/v1/runs/{much.run}"),
    Page("API applications", "list", "officer", "/api/v1/applications?limit=25"),
    Page("API application", "detail", "some", "/api/v1/applications/{some.application}"),
    Page("API allocations", "list", "much", "/api/v1/allocations?limit=25"),
    Page("API allocation", "detail", "much", "/api/v1/allocations/{much.allocation}"),
    Page("API calls", "list", "some", "/api/v1/calls"),
    Page("API machines", "list", "some", "/api/v1/machines"),
    Page("API lane", "list", "officer", "/api/v1/lanes/fast-lane", apart=True),
)


def pages(about: Mapping[str, str]) -> list[Page]:
    """With what the world holds put in; a page about something that a small world lacks is left out."""
    found = []
    for page in PAGES:
        address = page.address
        for name, value in about.items():
            address = address.replace("{" + name + "}", value or "?missing?")
        if "?missing?" not in address:
            found.append(page._replace(address=address))
    return found


class Counted(NamedTuple):
    name: str
    status: int
    queries: int
    alone_ms: float
    """The second time, with no other client; Django's own time in this process."""
    slowest_query_ms: float
    slowest_query: str


def counted(who: Mapping[str, Any]) -> list[Counted]:
    """Each page once to warm up what a process keeps (but for the slow), then once counted. Needs Django set up."""
    from django.conf import settings
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    settings.ALLOWED_HOSTS.append("testserver")
    clients = {}
    for role, session in who["sessions"].items():
        clients[role] = Client(raise_request_exception=False)
        clients[role].cookies[settings.SESSION_COOKIE_NAME] = session
    found = []
    for page in pages(who["about"]):
        headers = {"authorization": f"Bearer {who['tokens'][page.role]}"} if page.is_api else {}
        client = Client(raise_request_exception=False) if page.is_api else clients[page.role]
        if not page.apart:
            client.get(page.address, headers=headers)
        began = time.perf_counter()
        with CaptureQueriesContext(connection) as asked:
            status = client.get(page.address, headers=headers).status_code
        took_ms = 1000 * (time.perf_counter() - began)
        slowest = max(asked.captured_queries, key=lambda one: float(one["time"]), default={"time": "0", "sql": ""})
        found.append(Counted(page.name, status, len(asked), took_ms, 1000 * float(slowest["time"]), slowest["sql"]))
    return found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="count the queries of every page")
    parser.add_argument("home", type=Path)
    given = parser.parse_args(arguments)
    os.environ |= {"HANSE_HOME": str(given.home), "DJANGO_SETTINGS_MODULE": "hanse.service.settings"}
    import django

    django.setup()
    print(json.dumps([one._asdict() for one in counted(json.load(sys.stdin))]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
