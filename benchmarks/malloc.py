"""Whether glibc's allocator, told to keep memory, makes CPU steps shorter: two groups of ranks take turns.

By default glibc gives freed blocks back to the kernel, and every step faults the same pages in again.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from benchmarks.figures import Table, alternate, load, ratios
from benchmarks.ranks import Ranks
from benchmarks.trainings import RANKS, make_run, spec
from hanse.contracts.layout import Layout

STEPS = 9
LAYOUT = Layout(nodes=RANKS, dp=RANKS, micro_batch=8)
NAMES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")
KEEPING = dict(zip(NAMES, (str(32 << 20), str(1 << 30), str(64 << 20)), strict=True))
WORTH_IT = 0.95
BUDGET_S = 20.0
HEADER = ("model", "step, memory kept", "step, glibc's defaults", "kept / default", "same by CPU time a step", "load")


def measure(scratch: Path) -> Table:
    rows, medians = [], []
    for training in (spec("stdlib-lm"),):
        kept, given = (make_run(scratch / f"{training.name}-{which}", training, layout=LAYOUT) for which in "kd")
        with Ranks(KEEPING) as keeping, Ranks(without=NAMES) as default:
            pairs = alternate(
                (lambda: keeping.hanse(kept, STEPS), lambda: default.hanse(given, STEPS)),  # noqa: B023 - called here
                budget_s=BUDGET_S,
            )
        wall, cpu = (ratios((ours[at], theirs[at]) for ours, theirs in pairs) for at in (0, 1))
        medians += [wall.median, cpu.median]
        kept_s, given_s = (statistics.median(turn.step_s for turn in each) for each in zip(*pairs, strict=True))
        rows.append(
            (training.name, f"{kept_s * 1e3:.0f} ms", f"{given_s * 1e3:.0f} ms", str(wall), str(cpu), load())
        )  # fmt: skip
    worth = "yes" if max(medians) <= WORTH_IT else "no"
    return Table(HEADER, rows, f"Worth setting if both medians are {WORTH_IT:.2f} or less: {worth}.")
