"""`python -m benchmarks.federation_load --json`: what a federation of two Slurms bears.

1. Submissions: runs launched over both, handed on by an agent each, against a bare loop of `sbatch` measured beside it.
2. An agent's cycle with 100 and with all of its runs open, nothing changing.
3. The service under 50 requests a second, sent when they are due whatever became of those before (an open loop):
   100 agents each 10 s, 200 users each 5 s; SQLite and PostgreSQL. Latency counts from when a request was due.
4. The service's memory over `--minutes` at six times that rate.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.chaos_world import packed
from benchmarks.open_loop import Load, memory_bytes, open_loop
from hanse.agent.cycle import Agent
from hanse.agent.store import Store
from hanse.client.agent import AgentClient
from hanse.contracts.errors import ServiceError
from hanse.contracts.programme import Allocation
from hanse.contracts.spec import CommandSpec, TrainSpec, WhereSpec
from hanse.schedulers.make import make
from tests import daemons, federation_site, postgres
from tests.federation_site import Federation
from tests.slurm_site import SlurmSite
from tests.stack import Outpost, Stack

RUNS, FEW = 5_000, 100
RATE_PER_S, TIMES = 50, 6
BARE = 200
"""Submissions of the bare loop, on each cluster."""
LAUNCHERS = 4


class Member:
    """A cluster with an agent in this process, whose cycles can be timed."""

    def __init__(self, hub: Stack, site: SlurmSite, home: Path) -> None:
        self.site = site
        self.post = Outpost(home / site.cluster.name, site.machine, site.environment, hub=hub)
        self.post.home.mkdir(parents=True)
        with hub.client() as client:
            token = client.enrol_agent(site.machine.id, "this-machine").token
        self._store = Store(self.post.home / "agent.sqlite3")
        scheduler = make(site.machine, self.post.home / "work", site.environment)
        self.agent = Agent(AgentClient(hub.url, token), site.machine, scheduler, self._store, self.post.home / "work")
        self.award: Allocation = self.post.grant(gpu_hours=5_000)

    def launch(self, count: int) -> None:
        where = WhereSpec(
            machines=(self.site.machine.id,), nodes=1, wall_time_s=600, max_gpu_hours=1, account=self.site.account,
            partition=self.site.cluster.default_partition,
        )  # fmt: skip
        ranks = self.site.machine.accelerators_per_node
        command = CommandSpec(run="true", accelerators_per_node=ranks)
        with self.post.client() as client:
            code = client.upload_code(packed({"README": b"Nothing.\n"})).sha256

        def one(number: int) -> None:
            spec = TrainSpec(name=f"load-{number}", purpose="Load.", command=command, where=where)
            with self.post.client() as client:
                client.launch(spec, None, allocation=self.award.id, machine=self.site.machine.id, code_sha256=code)

        with ThreadPoolExecutor(LAUNCHERS) as pool:
            list(pool.map(one, range(count)))

    def bare_per_s(self, count: int) -> float:
        """A loop of sbatch over scripts such as the agent wrote, in a queue as long."""
        scripts = sorted(self.post.home.glob("work/runs/*/attempts/0001/job.sh"))
        environment = daemons.surroundings(self.site.environment)
        began = time.monotonic()
        for number in range(count):
            command = ["sbatch", "--parsable", "--job-name=bare", str(scripts[number % len(scripts)])]
            subprocess.run(command, env=environment, check=True, capture_output=True)
        return count / (time.monotonic() - began)

    def submit_all(self, count: int) -> float:
        """Cycles until `count` more jobs are in the queue; how many a second."""
        goal = self.queued() + count
        began = time.monotonic()
        while self.queued() < goal:
            with suppress(ServiceError):  # as an agent's own loop does: it says the same again
                self.agent.cycle()
        return count / (time.monotonic() - began)

    def queued(self) -> int:
        return sum(1 for record in self._store.open() if record.job_id is not None)

    def cycle_s(self, times: int = 7) -> float:
        """The median of some cycles in which nothing changes: what was new is told first."""
        while self.agent.cycle():
            pass
        taken = []
        for _ in range(times):
            began = time.monotonic()
            self.agent.cycle()
            taken.append(time.monotonic() - began)
        return statistics.median(taken)

    def close(self) -> None:
        self._store.close()


def submissions(federation: Federation, home: Path, runs: int) -> dict[str, object]:
    """Partitions are down meanwhile, so that everything stays queued and no job's own work is measured."""
    with _service(home / "hub") as hub:
        members = [Member(hub, site, home) for site in federation.sites]
        for site in federation.sites:
            site.set_partition(site.cluster.default_partition, "DOWN")
        try:
            share = runs // len(members)
            few = min(FEW, share)
            for member in members:
                member.launch(few)
                member.submit_all(few)
            cycle_few_s = [member.cycle_s() for member in members]
            rates, bare = [], []
            for member in members:
                if share > few:
                    member.launch(share - few)
                count = min(BARE, share)
                bare_before = member.bare_per_s(count)
                rates.append(member.submit_all(share - few) if share > few else bare_before)
                bare.append(statistics.mean((bare_before, member.bare_per_s(count))))
            cycle_all_s = [member.cycle_s() for member in members]
        finally:
            for member in members:
                member.close()
            for site in federation.sites:
                site.run("scancel", "--user=root", check=False)
                site.set_partition(site.cluster.default_partition, "UP")
    return {
        "runs": runs,
        "submissions_per_s": [round(rate, 1) for rate in rates],
        "bare_sbatch_per_s": [round(rate, 1) for rate in bare],
        "submissions_over_bare": round(min(a / b for a, b in zip(rates, bare, strict=True)), 2),
        f"cycle_s_at_{few}_each": round(max(cycle_few_s), 3),
        f"cycle_s_at_{share}_each": round(max(cycle_all_s), 3),
    }


def service_under_load(home: Path, database: str, seconds: float, minutes: float) -> dict[str, object]:
    with _service(home, database) as hub, Load(hub) as load:
        latency = open_loop(load.requests, per_s=RATE_PER_S, for_s=seconds)
        series, parts = [memory_bytes(hub)], []
        for _ in range(max(1, round(minutes * 2))):
            part_s = minutes * 60 / max(1, round(minutes * 2))
            many = open_loop(load.requests, per_s=RATE_PER_S * TIMES, for_s=part_s, drop_late=True)
            parts.append(many)
            series.append(memory_bytes(hub))
    half = series[len(series) // 2]
    return {
        "p50_ms": latency.p50_ms, "p99_ms": latency.p99_ms,
        "requests": latency.count, "errors": latency.errors, "unsent": latency.unsent,
        "six_times_p99_ms": many.p99_ms, "six_times_errors": sum(part.errors for part in parts),
        "six_times_answered_per_s": round(sum(part.count for part in parts) / max(1e-9, minutes * 60), 1),
        "memory_mb": [round(size / 1e6, 1) for size in series],
        "memory_growth_second_half": round(series[-1] / half - 1, 3), "load_average": os.getloadavg(),
    }  # fmt: skip


@contextmanager
def _service(home: Path, database: str = "") -> Iterator[Stack]:
    home.mkdir(parents=True)
    hub = Stack(home, database=database)
    try:
        hub.start_service()
        yield hub
    finally:
        hub.stop()


def measure(home: Path, *, runs: int, seconds: float, minutes: float, databases: tuple[str, ...]) -> dict[str, object]:
    urls: dict[str, Callable[[], str]] = {"sqlite": lambda: "", "postgresql": postgres.up}
    figures: dict[str, object] = {
        name: service_under_load(home / name, urls[name](), seconds, minutes) for name in databases
    }
    if runs:
        root = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))
        federation = federation_site.up(root)
        try:
            figures["submissions"] = submissions(federation, home / "runs", runs)
        finally:
            federation_site.down(root)
    return figures


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="what a federation of two Slurms bears")
    parser.add_argument("--runs", type=int, default=RUNS, help="0 leaves the clusters out")
    parser.add_argument("--seconds", type=float, default=60, help=f"at {RATE_PER_S} requests a second")
    parser.add_argument("--minutes", type=float, default=10, help="at six times that")
    parser.add_argument("--databases", default="sqlite,postgresql", help="empty leaves the service alone")
    parser.add_argument("--json", action="store_true", help="as JSON, which is how it is printed anyhow")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="hanse-load-") as home:
        figures = measure(
            Path(home), runs=given.runs, seconds=given.seconds, minutes=given.minutes,
            databases=tuple(filter(None, given.databases.split(","))),
        )  # fmt: skip
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
