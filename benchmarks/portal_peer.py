"""ColdFront beside Hanse: installed by pip into an environment of its own, filled, counted and asked as Hanse is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from benchmarks.portal_clients import Ask, Seen, asked, served
from tests.daemons import free_ports

VERSION, ALLOCATIONS, THREADS = "1.1.10", 10_000, 8
HERE = Path(__file__).parent
PAGES = {
    "allocation list": ("center", "/allocation/?show_all_allocations=on"),
    "project list": ("center", "/project/?show_all_projects=on"),
    "own projects": ("user", "/project/"),
    "project detail": ("user", "/project/{project}/"),
    "allocation detail": ("user", "/allocation/{allocation}/"),
    "home": ("user", "/"),
}
SUMMARY = "/allocation-summary"
"""Kept for a quarter of an hour once it was asked for; how long it takes then is counted apart."""


def interpreter() -> Path:
    """Of an environment that holds ColdFront; made once, under the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "hanse-bench" / f"coldfront-{VERSION}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", f"coldfront=={VERSION}"], check=True, stdout=sys.stderr)
        (folder / "ready").touch()
    return python


def measure(scratch: Path, *, allocations: int, clients: int, rounds: int, for_s: float) -> dict[str, Any]:
    python, script = interpreter(), HERE / "portal_peer_world.py"
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("DJANGO_SETTINGS_MODULE", "PYTHONPATH")},
        "DB_URL": f"sqlite:///{scratch / 'coldfront.sqlite3'}", "SECRET_KEY": "benchmark",
    }  # fmt: skip

    def run(*arguments: str, **more: str) -> Any:
        command = [str(python), str(script), *arguments]
        done = subprocess.run(
            command, env=environment | more, cwd=scratch, check=True, stdout=subprocess.PIPE, text=True
        )
        return json.loads(done.stdout.splitlines()[-1])

    world = run("fill", str(allocations))
    pages = {
        name: (role, address.format(project=world["project"], allocation=world["allocation"]))
        for name, (role, address) in PAGES.items()
    }
    counts: dict[str, Any] = {}
    for role, session in world["sessions"].items():
        mine = [address for one, address in pages.values() if one == role] + ([SUMMARY] if role == "center" else [])
        for address, status, queries, alone_ms in run("count", *mine, COLDFRONT_SESSION=session):
            counts[address] = {"status": status, "queries": queries, "alone_ms": round(alone_ms, 1)}
    port = free_ports(1)[0]
    command = [str(python), "-m", "gunicorn", "coldfront.config.wsgi", "--bind", f"127.0.0.1:{port}",
               "--worker-class", "gthread", "--workers", str(os.cpu_count() or 1), "--threads", str(THREADS),
               "--log-level", "warning"]  # fmt: skip
    asks = [
        Ask(name, address, {"Cookie": f"sessionid={world['sessions'][role]}"})
        for name, (role, address) in pages.items()
    ]
    with served(command, port, environment, scratch / "coldfront.log"):
        asked(port, asks, clients=1, rounds=1, for_s=for_s)  # what a process keeps is warm
        one = asked(port, asks, clients=1, rounds=rounds, for_s=for_s)
        many = asked(port, asks, clients=clients, rounds=rounds, for_s=for_s)
    found = {name: {**counts[address], **_timed(one[name], many[name])} for name, (_, address) in pages.items()}
    return {**found, "summary, not kept": counts[SUMMARY]}


def _timed(one: Seen, many: Seen) -> dict[str, Any]:
    return {"one_p95_ms": one.percentile(0.95), "p50_ms": many.percentile(0.5), "p95_ms": many.percentile(0.95),
            "requests": len(many.took_ms), "wrong": len(many.wrong)}  # fmt: skip
