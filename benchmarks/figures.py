"""Ratios of pairs, tables, and the blocks of RESULTS.md that `benchmarks.run` replaces. No measurement of its own."""

from __future__ import annotations

import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")

PACKAGES = ("hanse", "torch", "numpy", "pydantic", "typer", "django")


class Ratios(NamedTuple):
    """Of pairs: how the first of each compares with the second."""

    low: float
    median: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"**{self.median:.2f}** ({self.low:.2f}–{self.high:.2f}, {self.pairs} pairs)"


class Table(NamedTuple):
    """What a benchmark measured: a row a case, and one sentence on whether its target was met."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    verdict: str

    def markdown(self) -> str:
        lines = [_row(self.header), _row(["---"] * len(self.header)), *map(_row, self.rows)]
        return "\n".join([*lines, "", self.verdict])


def ratios(pairs: Iterable[tuple[float, float]]) -> Ratios:
    each = [first / second for first, second in pairs]
    return Ratios(min(each), statistics.median(each), max(each), len(each))


def alternate(turns: Sequence[Callable[[], T]], *, budget_s: float, at_least: int = 4) -> list[tuple[T, T]]:
    """Two turns a pair, who begins changing from pair to pair, for `budget_s`; a first pair warms up and is dropped."""
    pairs: list[tuple[T, T]] = []
    for number in count():
        first = number % 2
        answers = {which: turns[which]() for which in (first, 1 - first)}
        if number == 0:
            ends_at = time.monotonic() + budget_s
            continue
        pairs.append((answers[0], answers[1]))
        if len(pairs) >= at_least and time.monotonic() >= ends_at:
            break
    return pairs


def load() -> str:
    """Load averages, to be read against the number of cores."""
    one, five, _ = os.getloadavg()
    return f"{one:.1f} / {five:.1f}"


def machine() -> str:
    """This machine and its software on two lines."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    model = found.group(1) if found else platform.machine()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores ({model}), {memory_gib:.0f} GiB, {platform.system()}\n" + (
        f"Python {platform.python_version()}, {versions}, {' '.join(platform.libc_ver())}"
    )


def replace_block(text: str, name: str, content: str) -> str:
    """`text` with what stands between the marks of `name` replaced; the marks must be there."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"no block {name!r} in the text")
    return f"{before}{begin}\n{content}\n{end}{after}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
