"""`python -m benchmarks.portal_load --json [--small]`: how fast the portal answers over three years of a programme.

20,000 organisations, 50,000 applications and 200,000 runs; `hanse serve` as a team starts it; eight clients in the
roles of applicant, officer, operator and reviewer ask for lists, details and dashboards without a pause. ColdFront with
10,000 allocations is filled and asked in the same run. Queries are counted apart, over the same rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import portal_peer
from benchmarks.figures import Table, load
from benchmarks.portal_clients import Ask, asked, served
from benchmarks.portal_pages import Page, pages
from tests import postgres
from tests.daemons import free_ports

ROOT = Path(__file__).parents[1]
CLIENTS, ROUNDS, FOR_S = 8, 5, 600.0
SMALL = 100
"""1/100 of everything, for trying."""
TARGET_MS = {"list": 200.0, "detail": 200.0, "dashboard": 1000.0}
QUERIES = 15
BESIDE = {
    "runs": "allocation list", "applications, officer": "allocation list", "public register": "allocation list",
    "run": "project detail", "allocation": "allocation detail", "application": "project detail",
    "home, of much": "home",
}  # fmt: skip


def of_hanse(
    scratch: Path, database: str, *, divide: int, rounds: int, for_s: float, processes: int = 0
) -> dict[str, Any]:
    """`database` is a DATABASE_URL; empty: SQLite in the home, which is what `hanse serve` takes by itself.

    `processes` answer; 0: as many as `hanse serve` starts by itself.
    """
    unset = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE")
    environment = {
        name: value for name, value in os.environ.items() if name not in unset and not name.startswith("HANSE_")
    }
    environment |= {"HANSE_HOME": str(scratch), "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT)))}
    environment |= {"DATABASE_URL": database} if database else {}
    environment |= {"HANSE_PROCESSES": str(processes)} if processes else {}

    def run(module: str, *arguments: str, given: str = "") -> Any:
        command = [sys.executable, "-m", f"benchmarks.{module}", str(scratch), *arguments]
        done = subprocess.run(command, env=environment, check=True, input=given, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout.splitlines()[-1])

    known = scratch / "world.json"
    if not known.exists():
        known.write_text(json.dumps(run("portal_world", "--divide", str(divide))))
    world = json.loads(known.read_text())
    counts = {one["name"]: one for one in run("portal_pages", given=json.dumps(world))}
    every, port = pages(world["about"]), free_ports(1)[0]
    command = [sys.executable, "-m", "hanse", "serve", "--port", str(port)]
    with served(command, port, environment, scratch / "serve.log"):
        together = [_ask(page, world) for page in every if not page.apart]
        asked(port, together, clients=1, rounds=1, for_s=for_s)  # what a process keeps is warm
        before = load()
        seen = asked(port, together, clients=CLIENTS, rounds=rounds, for_s=for_s)
        alone = asked(port, [_ask(page, world) for page in every if page.apart], clients=1, rounds=2, for_s=for_s)
    found = {}
    for page in every:
        took = alone[page.name] if page.apart else seen[page.name]
        one = counts[page.name]
        found[page.name] = {
            "kind": page.kind, "p50_ms": took.percentile(0.5), "p95_ms": took.percentile(0.95),
            "requests": len(took.took_ms), "wrong": len(took.wrong), "queries": one["queries"],
            "alone_ms": round(one["alone_ms"], 1), "clients": 1 if page.apart else CLIENTS,
        }  # fmt: skip
    return {"rows": world["rows"], "filled_in_s": world["seconds"], "load": before, "pages": found}


def _ask(page: Page, world: dict[str, Any]) -> Ask:
    if page.is_api:
        return Ask(page.name, page.address, {"Authorization": f"Bearer {world['tokens'][page.role]}"})
    return Ask(page.name, page.address, {"Cookie": f"sessionid={world['sessions'][page.role]}"})


def figures(
    scratch: Path, *, databases: tuple[str, ...], divide: int = 1, rounds: int = ROUNDS, for_s: float = FOR_S,
    beside: bool = True, processes: int = 0,
) -> dict[str, Any]:  # fmt: skip
    found: dict[str, Any] = {}
    for wanted in databases:
        name = "postgresql" if "://" in wanted else wanted
        home = scratch / name
        home.mkdir(exist_ok=True)
        url = "" if name == "sqlite" else wanted if "://" in wanted else postgres.up()
        found[name] = of_hanse(home, url, divide=divide, rounds=rounds, for_s=for_s, processes=processes)
    if beside:
        home = Path(tempfile.mkdtemp(prefix="coldfront-", dir=scratch))
        found["coldfront"] = portal_peer.measure(
            home, allocations=max(100, portal_peer.ALLOCATIONS // divide), clients=CLIENTS, rounds=rounds, for_s=for_s
        )
        found["over_coldfront"] = {
            name: _ratios(found[name]["pages"], found["coldfront"]) for name in found if name != "coldfront"
        }
    return found


def _ratios(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    """p95 with eight clients over ColdFront's; the officers' figures, kept a minute, alone over its summary."""
    over = {
        f"{one} / {other}": round(ours[one]["p95_ms"] / theirs[other]["p95_ms"], 2)
        for one, other in BESIDE.items()
        if one in ours
    }
    dashboard = ours["officers' figures"]["alone_ms"] / theirs["summary, not kept"]["alone_ms"]
    return {**over, "officers' figures, kept / summary, not kept": round(dashboard, 3)}


def measure(scratch: Path) -> Table:
    """For `benchmarks.run`: PostgreSQL, as a team serves it, and ColdFront beside it."""
    return table(figures(scratch, databases=("postgresql",)), "postgresql")


def table(told: dict[str, Any], database: str) -> Table:
    every = told[database]["pages"]
    late = [name for name, one in every.items() if one["p95_ms"] > TARGET_MS[one["kind"]]]
    many = [name for name, one in every.items() if one["queries"] > QUERIES]
    rows = [
        (name, one["kind"], f"{one['p50_ms']:.0f}", f"**{one['p95_ms']:.0f}**", f"{one['queries']}",
         f"{one['alone_ms']:.0f}")
        for name, one in sorted(every.items(), key=lambda item: -item[1]["p95_ms"])
    ] + [
        (f"ColdFront: {name}", "peer", f"{one.get('p50_ms', 0):.0f}", f"{one.get('p95_ms', 0):.0f}",
         f"{one['queries']}", f"{one['alone_ms']:.0f}")
        for name, one in told["coldfront"].items()
    ]  # fmt: skip
    verdict = (
        f"Target: p95 under 200 ms (dashboards 1 s), {QUERIES} queries. {len(every) - len(late)} of {len(every)} pages "
        f"in time{_but(late)}; {len(every) - len(many)} within the queries{_but(many)}. "
        f"Load {told[database]['load']}. p95 over ColdFront's: "
        + ", ".join(f"{name} {ratio:g}" for name, ratio in told["over_coldfront"][database].items())
    )
    header = ("page", "kind", "p50, ms", "p95, ms", "queries", "alone, ms")
    return Table(header, rows, verdict + ".")


def _but(names: list[str]) -> str:
    return f" (not: {', '.join(names)})" if names else ""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="how fast the portal answers, beside ColdFront")
    parser.add_argument("--small", action="store_true", help=f"1/{SMALL} of everything, for trying")
    parser.add_argument("--divide", type=int, default=1, help="1/N of everything")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often each of {CLIENTS} clients asks a page")
    parser.add_argument("--seconds", type=float, default=FOR_S, help="at most, for a database")
    parser.add_argument(
        "--database", default="sqlite", help="sqlite, postgresql (started here), or its URL; several with a comma"
    )
    parser.add_argument("--processes", type=int, default=0, help="that answer; as many as it takes itself")
    parser.add_argument("--alone", action="store_true", help="without ColdFront")
    parser.add_argument("--keep", type=Path, help="a folder whose homes are used again, and filled where they are not")
    parser.add_argument("--json", action="store_true", help="as JSON, which is how it is printed anyhow")
    given = parser.parse_args(arguments)
    names = {"postgres": "postgresql"}
    databases = tuple(names.get(name, name) for name in given.database.split(",") if name)
    with tempfile.TemporaryDirectory(prefix="hanse-portal-") as home:
        if given.keep:
            given.keep.mkdir(parents=True, exist_ok=True)
        found = figures(
            given.keep or Path(home), databases=databases, divide=SMALL if given.small else given.divide,
            rounds=given.rounds, for_s=given.seconds, beside=not given.alone, processes=given.processes,
        )  # fmt: skip
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
