"""Clients of a web service: each keeps one connection and asks for all pages in its own order, without a pause."""

from __future__ import annotations

import http.client
import math
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen
from typing import NamedTuple

from tests.waiting import until

PATIENCE_S = 300.0


class Ask(NamedTuple):
    name: str
    address: str
    headers: Mapping[str, str]


@dataclass
class Seen:
    """What became of a page's requests, in milliseconds."""

    took_ms: list[float] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)
    """Answers other than 200."""

    def percentile(self, share: float) -> float:
        ordered = sorted(self.took_ms)
        return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 1) if ordered else math.nan


def asked(port: int, pages: Sequence[Ask], *, clients: int, rounds: int, for_s: float) -> dict[str, Seen]:
    """Until every client has asked for all pages `rounds` times, or `for_s` is over."""
    seen: dict[str, Seen] = defaultdict(Seen)
    ends_at, lock = time.monotonic() + for_s, threading.Lock()

    def client(number: int) -> None:
        dice = random.Random(number)
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        for _ in range(rounds):
            for page in dice.sample(pages, len(pages)):
                if time.monotonic() > ends_at:
                    return
                began = time.perf_counter()
                line.request("GET", page.address, headers=dict(page.headers))
                answer = line.getresponse()
                answer.read()
                took_ms = 1000 * (time.perf_counter() - began)
                with lock:
                    seen[page.name].took_ms.append(took_ms)
                    if answer.status != 200:
                        seen[page.name].wrong.append(answer.status)
        line.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


@contextmanager
def served(command: Sequence[str], port: int, environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """A server that is up; it is ended with the block."""
    with log.open("ab") as output:
        process = Popen(command, stdin=DEVNULL, stdout=output, stderr=STDOUT, env=dict(environment), cwd=log.parent)
    try:
        until(lambda: process.poll() is not None or _answers(port), within_s=120, what="an answer", every_s=0.2)
        if process.poll() is not None:
            raise RuntimeError(f"{' '.join(command)} ended: {log.read_text(errors='replace')[-2000:]}")
        yield
    finally:
        process.terminate()
        process.wait(30)


def _answers(port: int) -> bool:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        line.request("GET", "/healthz")
        return line.getresponse().status < 500
    except OSError:
        return False
    finally:
        line.close()
