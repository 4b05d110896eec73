"""Trainings for the benchmarks: specs, folders of runs, prepared data, and launchers as an executor starts them."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import sysconfig
from pathlib import Path

from hanse.contracts import jobenv
from hanse.contracts.layout import Layout
from hanse.contracts.plan import Plan
from hanse.contracts.rundir import RunDir
from hanse.contracts.spec import TrainSpec
from hanse.contracts.workload import ModelShape
from hanse.workloads.load import dump_spec, load_spec

RANKS = 2
TEXTS = f"{sysconfig.get_paths()['stdlib']}/asyncio/*.py"
"""What is read does not change how long a step takes; a megabyte of it is tokenised in seconds."""
EXAMPLE = Path(__file__).parent.parent / "examples" / "stdlib-lm" / "train.yaml"
WIDE = ModelShape(layers=3, hidden=256, heads=8, kv_heads=8, ffn=704, vocab=2048, context=128)
LONG = ModelShape(layers=2, hidden=128, heads=4, kv_heads=2, ffn=352, vocab=2048, context=256)


def spec(name: str, shape: ModelShape | None = None, *, batch: int = 16, steps: int = 100_000) -> TrainSpec:
    """The example of the README, or another shape trained the same way."""
    example = load_spec(EXAMPLE, check_files=False)
    assert example.model is not None and example.model.shape is not None
    chosen = shape or example.model.shape
    data = [{"name": "asyncio", "source": TEXTS, "licence": "PSF-2.0"}]
    changes = {
        "name": name, "model": {"shape": chosen.model_dump()}, "data": data, "batch": batch,
        "tokens": steps * batch * chosen.context,
    }  # fmt: skip
    return TrainSpec.model_validate(example.model_dump() | changes)


def make_run(root: Path, training: TrainSpec, *, layout: Layout | None = None, plan: Plan | None = None) -> RunDir:
    """The run's folder with its data prepared."""
    run = RunDir(root)
    root.mkdir(parents=True)
    run.spec.write_text(dump_spec(training.model_copy(update={"layout": layout})))
    if plan is not None:
        run.plan.write_text(plan.to_json())
    _launch(run, 0, free_port(), "--prepare", nodes=1).wait(60)
    return run


def variables(run: RunDir, *, node: int, nodes: int, port: int, attempt: int = 1) -> dict[str, str]:
    return {
        jobenv.RUN_DIR: str(run.root), jobenv.ATTEMPT: str(attempt), jobenv.JOB_ID: "benchmark",
        jobenv.NODES: str(nodes), jobenv.NODE_RANK: str(node), jobenv.ACCELERATORS_PER_NODE: "1",
        jobenv.RDZV_HOST: "127.0.0.1", jobenv.RDZV_PORT: str(port), jobenv.RDZV_ID: run.root.name,
        jobenv.DATA_DIR: str(run.root.parent / "data"),
    }  # fmt: skip


def train(run: RunDir, *, within_s: float = 120.0) -> None:
    """The whole training by `RANKS` launchers of one rank each, as on two nodes."""
    port = free_port()
    launchers = [_launch(run, node, port, nodes=RANKS) for node in range(RANKS)]
    try:
        codes = [each.wait(within_s) for each in launchers]
    finally:
        for each in launchers:
            if each.poll() is None:
                each.kill()
                each.wait()
    if any(codes):
        raise RuntimeError(f"the launchers ended with {codes}:\n{(run.root / 'log').read_text()}")


def step_times_s(run: RunDir, attempt: int = 1) -> list[float]:
    """Of every step of one attempt, its slowest rank's."""
    rows = run.attempt(attempt).steps.read_text().splitlines()
    return [float(json.loads(row)["step_s"]["max"]) for row in rows]


def median_step_s(run: RunDir, *, warm_up: int = 5) -> float:
    return statistics.median(step_times_s(run)[warm_up:])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _launch(run: RunDir, node: int, port: int, *arguments: str, nodes: int) -> subprocess.Popen[bytes]:
    start = "import sys; from hanse.training.launch import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, **variables(run, node=node, nodes=nodes, port=port)}
    with (run.root / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", start, *arguments, "--no-ticket"], env=environment, stdout=log, stderr=log
        )
