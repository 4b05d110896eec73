"""Layouts the planner weighs in a second of one core, whole searches, and `hanse plan` from start to finish.

`python -m benchmarks.planner_speed --json` prints one object. "In full" means memory and step time of every layout,
whether it fits or not; searches leave out what cannot win and say of how many layouts they computed the memory. CPU
time counts all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import peers
from benchmarks.figures import Table, load
from hanse.contracts.machine import Machine
from hanse.contracts.workload import Experts, ModelShape, Workload
from hanse.machines import catalogue
from hanse.planning import across, bounds, memory, plan, search, space, steptime
from hanse.planning.weigh import BLOCK
from hanse.workloads import shapes
from hanse.workloads.presets import PRESETS

REPEATS = 7
PER_S, GPT_S, TRILLION_S, MACHINES_S, COMMAND_S = 2_000_000, 0.5, 5.0, 3.0, 1.5
"""Targets: at least so many layouts a second, at most so many seconds."""

GPT_3 = ModelShape(
    family="decoder", layers=96, hidden=12288, heads=96, kv_heads=96, ffn=49152, vocab=51200, context=2048, gated=False,
    norm="layer", biases="all", positions="learned",
)  # fmt: skip
TRILLION = GPT_3.model_copy(update={"layers": 128, "hidden": 25600, "heads": 160, "kv_heads": 160, "ffn": 102400})
MIXTURE = ModelShape(
    family="decoder", layers=60, hidden=5120, heads=64, kv_heads=8, ffn=12288, vocab=102400, context=32768,
    tied_head=False, experts=Experts(count=128, active=8, ffn=1536, shared_ffn=3072, dense_layers=1),
)  # fmt: skip
SPEC = """\
name: planned
model: {preset: llama-3-8b}
data: [{name: d, source: python-stdlib, licence: PSF-2.0}]
batch: 512
tokens: 100_000_000_000
where: {machines: [leonardo-booster], nodes: 64, wall_time_s: 86400, max_gpu_hours: 500_000}
"""


class Timed(NamedTuple):
    """CPU seconds of one turn, over REPEATS turns, and the layouts of the turn."""

    median_s: float
    least_s: float
    most_s: float
    layouts: int

    @property
    def per_s(self) -> float:
        return self.layouts / self.median_s


def workload_of(shape: ModelShape, batch: int) -> Workload:
    return Workload(
        name="benchmark", shape=shape, context=shape.context, vocab=shape.vocab, global_batch=batch,
        total_tokens=10**12, parameters=shapes.parameters(shape), flops_per_token=shapes.flops_per_token(shape),
        embedding_parameters=shapes.embedding_parameters(shape),
    )  # fmt: skip


def timed(turn: Callable[[], int], clock: Callable[[], float] = time.process_time, repeats: int = REPEATS) -> Timed:
    turn()
    found = []
    layouts = 0
    for _ in range(repeats):
        began = clock()
        layouts = turn()
        found.append(clock() - began)
    return Timed(statistics.median(found), min(found), max(found), layouts)


def in_full(shape: ModelShape, machine: Machine, batch: int, nodes: list[int]) -> dict[str, Any]:
    """Every layout of a space, written out and weighed, and the shares of that time."""
    work = workload_of(shape, batch)
    rules = bounds.rules(work, machine, executable_only=False)

    def written() -> Iterator[space.Layouts]:
        return space.whole(nodes, shape, rules).blocks(BLOCK)

    def each(turn: Callable[..., Any]) -> Callable[[], int]:
        return lambda: sum(len(turn(work, shape, machine, block).total) for block in written())

    def whole() -> int:
        return sum(len(search.weigh(work, shape, machine, block).step_s) for block in written())

    total = timed(whole)
    writing_s = timed(lambda: sum(map(len, written()))).median_s
    shares = {
        "enumerate": writing_s,
        "memory": timed(each(memory.footprint)).median_s - writing_s,
        "step_time": timed(each(steptime.step_times)).median_s - writing_s,
    }
    return {
        "layouts": total.layouts,
        "seconds": total.median_s,
        "least": total.least_s,
        "most": total.most_s,
        "per_s": total.per_s,
        "ns_a_layout": {name: seconds / total.layouts * 1e9 for name, seconds in shares.items()},
    }


def sought(shape: ModelShape, machine: Machine, batch: int, nodes: int | None) -> dict[str, Any]:
    """A whole plan over the whole space: enumerate, weigh, choose, explain."""
    work = workload_of(shape, batch)
    rules = bounds.rules(work, machine, executable_only=False)
    counts = [nodes] if nodes else space.node_counts(bounds.most_nodes(machine, None), batch, rules.ranks_per_node)
    made: list[Any] = []

    def turn() -> int:
        made[:] = [plan.make(work, machine, nodes=nodes, executable_only=False)]
        return int(made[0].searched)

    found = timed(turn)
    return {
        "space": len(space.whole(counts, shape, rules)),
        "weighed": found.layouts,
        "seconds": found.median_s,
        "least": found.least_s,
        "most": found.most_s,
        "chosen": made[0].layout.describe(),
    }


def everywhere() -> dict[str, Any]:
    """One model on every catalogued machine and every number of nodes."""
    machines = [catalogue.load(each) for each in catalogue.ids()]
    work = workload_of(PRESETS["llama-3-70b"], 2304)
    made: list[across.Survey] = []

    def turn() -> int:
        made[:] = [across.survey(work, machines, limits=search.Limits(), executable_only=False)]
        return made[0].weighed

    found = timed(turn, repeats=3)
    return {
        "machines": len(machines),
        "options": len(made[0].options),
        "weighed": found.layouts,
        "seconds": found.median_s,
        "least": found.least_s,
        "most": found.most_s,
    }


def command(scratch: Path) -> dict[str, Any]:
    """`hanse plan` as typed, seconds on the clock."""
    spec = scratch / "train.yaml"
    spec.write_text(SPEC, encoding="utf-8")

    def turn() -> int:
        argv = [sys.executable, "-m", "hanse", "plan", str(spec)]
        subprocess.run(argv, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        return 1

    found, used = timed(turn, time.perf_counter), timed(turn, _children_s)
    return {"seconds": found.median_s, "least": found.least_s, "most": found.most_s, "cpu_seconds": used.median_s}


def _children_s() -> float:
    """CPU seconds of processes that were started here and ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def results(scratch: Path) -> dict[str, Any]:
    a100 = catalogue.load("dgx-a100")
    factory = catalogue.load("dgx-h100").model_copy(update={"nodes": 12_500})
    found: dict[str, Any] = {
        "weighed_in_full": {
            "gpt3_175b": in_full(GPT_3, a100, 1536, space.node_counts(1024, 1536, 8)),
            "llama_3_70b": in_full(
                PRESETS["llama-3-70b"], catalogue.load("leonardo-booster"), 2304, list(range(1, 385))
            ),
            "mixture": in_full(MIXTURE, factory, 1024, [32, 128]),
        },
        "gpt3_175b_on_4096_a100": sought(GPT_3, a100, 1536, 512),
        "1t_on_100000": sought(TRILLION, factory, 25_000, 12_500),
        "1t_on_up_to_100000": sought(TRILLION, factory, 25_000, None),
        "all_machines": everywhere(),
        "hanse_plan": command(scratch),
    }
    ours = min(each["per_s"] for each in found["weighed_in_full"].values())
    found["peers"] = {
        name: {"per_s": rate, "ratio": ours / rate} if rate else "not installed" for name, rate in peers.rates().items()
    }
    found["summary"] = {
        "layouts_per_s": ours,
        "gpt3_175b_on_4096_a100_s": found["gpt3_175b_on_4096_a100"]["seconds"],
        "1t_on_100000_s": found["1t_on_up_to_100000"]["seconds"],
        "all_machines_s": found["all_machines"]["seconds"],
        "hanse_plan_s": found["hanse_plan"]["seconds"],
    }
    found["met"] = {
        "layouts_per_s": ours >= PER_S,
        "gpt3_175b_on_4096_a100": found["gpt3_175b_on_4096_a100"]["seconds"] < GPT_S,
        "1t_on_100000": found["1t_on_up_to_100000"]["seconds"] < TRILLION_S,
        "all_machines": found["all_machines"]["seconds"] < MACHINES_S,
        "hanse_plan": found["hanse_plan"]["seconds"] < COMMAND_S,
    }
    return found


def measure(scratch: Path) -> Table:
    found = results(scratch)
    rows: list[tuple[str, ...]] = []
    for name, each in found["weighed_in_full"].items():
        shares = ", ".join(f"{part.replace('_', ' ')} {spent:.0f}" for part, spent in each["ns_a_layout"].items())
        rows.append(
            (
                f"weighed in full: {name}",
                f"{each['layouts']:,}",
                _spread(each),
                f"**{each['per_s']:,.0f}**/s; ns each: {shares}",
            )
        )
    for name in ("gpt3_175b_on_4096_a100", "1t_on_100000", "1t_on_up_to_100000"):
        each = found[name]
        rows.append((name, f"{each['weighed']:,} of {each['space']:,}", _spread(each), each["chosen"]))
    each = found["all_machines"]
    said = f"{each['machines']} machines, {each['options']} options"
    rows.append(("llama-3-70b on all machines and numbers of nodes", f"{each['weighed']:,}", _spread(each), said))
    rows.append(
        (
            "`hanse plan` from start to finish (on the clock)",
            "",
            _spread(found["hanse_plan"]),
            f"{found['hanse_plan']['cpu_seconds']:.3f} of CPU",
        )
    )
    for name, peer in found["peers"].items():
        said = peer if isinstance(peer, str) else f"{peer['per_s']:,.0f}/s; ours over it **{peer['ratio']:,.0f}**"
        rows.append((f"peer: {name}", "", "", said))
    missed = [name for name, met in found["met"].items() if not met]
    verdict = f"Targets missed: {', '.join(missed)}." if missed else "Every target is met."
    header = ("what", "layouts", f"CPU seconds, median of {REPEATS} (least–most)", "")
    return Table(header, rows, f"{verdict} Load over 1 / 5 minutes: {load()}.")


def _spread(each: dict[str, Any]) -> str:
    return f"{each['seconds']:.3f} ({each['least']:.3f}–{each['most']:.3f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hanse-bench-") as scratch:
        if wanted.json:
            print(json.dumps(results(Path(scratch)), indent=2))
        else:
            print(measure(Path(scratch)).markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
