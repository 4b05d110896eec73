"""Requests that are sent when they are due, whatever became of those before: agents' syncs and what users look at."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from benchmarks.chaos_world import packed
from hanse.client.agent import AgentClient
from hanse.contracts.agentapi import Hello, SyncRequest
from hanse.contracts.errors import HanseError
from hanse.contracts.spec import CommandSpec, TrainSpec, WhereSpec
from tests.stack import MACHINE, Stack

AGENTS, USERS = 100, 200
ENROLLED = 18
"""The service takes twenty enrolments a minute; each of these speaks as often as its share of the hundred would."""
AGENT_EVERY_S, USER_EVERY_S = 10.0, 5.0
RUNS = 50
"""There to be looked at: a page of them."""
AT_ONCE = 32
"""Requests under way at most; more would be this process's own queue, which counts as latency too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    p50_ms: float
    p99_ms: float
    count: int
    """Answered, well or not."""
    errors: int
    unsent: int
    """Still in this process's queue when the time was over: the service answers fewer a second than were due."""


class Load:
    """Agents of machines, and users who look at lists, runs and what they have left."""

    def __init__(self, hub: Stack) -> None:
        self._hub = hub
        self._syncs: list[Callable[[], object]] = []
        self._looks: list[Callable[[], object]] = []
        self._closing: list[Any] = []

    def __enter__(self) -> Load:
        token = (self._hub.home / "service" / "user.token").read_text().strip()
        with self._hub.client() as client:
            tokens = {f"load-{n}": client.enrol_agent(f"load-{n}", "this-machine").token for n in range(ENROLLED)}
        for name, secret in tokens.items():
            agent = AgentClient(self._hub.url, secret)
            machine = MACHINE.model_copy(update={"id": name, "name": name})
            welcome = agent.hello(Hello(machine=machine, software="load"))
            self._syncs.append(_syncing(agent, welcome.epoch))
            self._closing.append(agent)
        web = httpx.Client(base_url=self._hub.url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        self._closing.append(web)
        run = self._launched()
        for path in ("run-summaries", f"runs/{run}", "machines", "allocations", "me"):
            path = f"/api/v1/{path}"
            self._looks.append(lambda path=path: web.get(path).raise_for_status())
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._closing:
            one.close()

    def _launched(self) -> str:
        """The id of one of the runs that users will look at: all wait at a machine whose agent says no more."""
        token = (self._hub.home / "service" / "agent.token").read_text().strip()
        agent = AgentClient(self._hub.url, token)
        self._closing.append(agent)
        agent.hello(Hello(machine=MACHINE, software="load"))
        award = self._hub.grant(gpu_hours=RUNS)
        where = WhereSpec(machines=(MACHINE.id,), nodes=1, wall_time_s=600, max_gpu_hours=0.5)
        spec = TrainSpec(name="looked-at", purpose="Load.", command=CommandSpec(run="true"), where=where)
        with self._hub.client() as client:
            code = client.upload_code(packed({"README": b"Nothing.\n"})).sha256
            launched = [
                client.launch(spec, None, allocation=award.id, machine=MACHINE.id, code_sha256=code)
                for _ in range(RUNS)
            ]
        return launched[0].id

    @property
    def requests(self) -> Sequence[Callable[[], object]]:
        """In the mix of so many agents and users: of fifty a second ten are syncs."""
        looks_a_sync = round(USERS / USER_EVERY_S / (AGENTS / AGENT_EVERY_S))
        looks = itertools.cycle(self._looks)
        return [one for sync in self._syncs for one in (sync, *(next(looks) for _ in range(looks_a_sync)))]


def _syncing(agent: AgentClient, epoch: int) -> Callable[[], object]:
    """One that says, as agents do, what it knows already."""
    cursor = 0

    def sync() -> None:
        nonlocal cursor
        cursor = agent.sync(SyncRequest(epoch=epoch, cursor=cursor)).cursor

    return sync


def open_loop(
    requests: Sequence[Callable[[], object]], *, per_s: float, for_s: float, drop_late: bool = False
) -> Latency:
    """Send them in turn at that rate. `drop_late`: what is not sent when the time is over never is."""
    count = max(1, round(per_s * for_s))
    taken: list[float] = []
    errors = 0
    lock = threading.Lock()
    began = time.monotonic()

    def send(number: int, call: Callable[[], object]) -> None:
        nonlocal errors
        failed = False
        try:
            call()
        except (httpx.HTTPError, HanseError):
            failed = True
        with lock:
            taken.append(time.monotonic() - (began + number / per_s))
            errors += failed

    turn: Iterator[Callable[[], object]] = itertools.cycle(requests)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number in range(count):
            time.sleep(max(0.0, began + number / per_s - time.monotonic()))
            pool.submit(send, number, next(turn))
        pool.shutdown(cancel_futures=drop_late)
    ordered = sorted(taken)
    return Latency(
        p50_ms=round(1e3 * statistics.median(ordered), 1),
        p99_ms=round(1e3 * ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 1),
        count=len(taken),
        errors=errors,
        unsent=count - len(taken),
    )


def memory_bytes(hub: Stack) -> int:
    """Of the service, all its processes."""
    assert hub.service is not None
    first = psutil.Process(hub.service.pid)
    return sum(process.memory_info().rss for process in (first, *first.children(recursive=True)))
