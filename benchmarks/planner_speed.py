"""Layouts that the planner weighs (time and memory) in a second of one core, and what a whole plan takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.figures import Table, load
from hanse.contracts.spec import TrainSpec
from hanse.machines import catalogue
from hanse.planning import plan, search, space
from hanse.workloads.presets import PRESETS
from hanse.workloads.shapes import workload_of

MACHINE, PRESET, BATCH, NODES, BLOCK = "leonardo-booster", "llama-3-70b", 2304, 768, 32_768
REPEATS = 7
PEER = "62–97 (published elsewhere, not run here)"
HEADER = ("what", "layouts", f"CPU time, median of {REPEATS} (least–most)", "layouts/s on a core", "load")


def measure(scratch: Path) -> Table:  # noqa: ARG001 - all benchmarks are called alike
    machine, shape = catalogue.load(MACHINE), PRESETS[PRESET]
    large = TrainSpec.model_validate(
        {
            "name": "large", "model": {"preset": PRESET}, "data": [{"name": "d", "source": "d", "licence": "CC0-1.0"}],
            "batch": BATCH, "tokens": 10**12, "where": {"max_gpu_hours": 1e9},
        }
    )  # fmt: skip
    workload = workload_of(large)
    everything = space.enumerate_layouts(
        range(1, NODES + 1), machine.accelerators_per_node, BATCH, shape, executable_only=False
    )
    block = everything.take(np.resize(np.arange(len(everything)), BLOCK))

    def weigh(layouts: space.Layouts) -> int:
        return len(search.weigh(workload, shape, machine, layouts, search.Limits()).layouts)

    rows = [
        _row("weigh every layout on 1–768 nodes", lambda: weigh(everything)),
        _row(f"weigh {BLOCK:,} at once", lambda: weigh(block)),
        _row(
            "a whole plan: enumerate, weigh, choose, explain",
            lambda: plan.make(workload, machine, executable_only=False).searched,
        ),
        ("peer: Calculon, one evaluation after another", "", "", PEER, ""),
    ]
    return Table(HEADER, rows, f"{PRESET} on {MACHINE}, batch {BATCH}: dp, fsdp, tp, pp, micro-batch, recompute.")


def _row(what: str, task: Callable[[], int]) -> tuple[str, ...]:
    task()
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        layouts = task()
        times.append(time.process_time() - began)
    middle = statistics.median(times)
    spread = f"{middle * 1e3:.1f} ms ({min(times) * 1e3:.1f}–{max(times) * 1e3:.1f})"
    return what, f"{layouts:,}", spread, f"**{layouts / middle:,.0f}**", load()
