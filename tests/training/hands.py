"""Doing by hand what an executor does: a run's folder, a signed ticket, one launcher a node."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from hanse.contracts import jobenv
from hanse.contracts.base import now
from hanse.contracts.layout import Layout
from hanse.contracts.rundir import RunDir
from hanse.contracts.spec import DatasetSpec, TrainSpec
from hanse.contracts.ticket import Ticket, TicketDataset
from hanse.contracts.workload import ModelShape
from hanse.tickets import keys, signing
from hanse.training.job import Job
from hanse.workloads.load import dump_spec

PRIVATE_KEY = bytes(range(32))
TINY = ModelShape(layers=2, hidden=32, heads=4, kv_heads=2, ffn=64, vocab=300, context=16)


def write_texts(folder: Path, files: int = 6, lines: int = 120) -> Path:
    """Small made-up text files with some structure to learn."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        rows = (f"line {n} of file {number} says {n * number % 17} and then {n % 5}\n" for n in range(lines))
        (folder / f"text-{number}.txt").write_text("".join(rows))
    return folder


def make_spec(texts: Path, **changes: object) -> TrainSpec:
    """A training of a tiny model that takes milliseconds a step."""
    fields: dict[str, object] = {
        "name": "tiny", "model": {"shape": TINY.model_dump()}, "tokenizer": {"vocab": 300}, "batch": 8,
        "tokens": 8 * 16 * 12, "precision": "fp32", "seed": 3, "optimizer": {"lr": 0.01},
        "data": [DatasetSpec(name="lines", source=str(texts), licence="CC0-1.0").model_dump()],
        "checkpoint": {"every_steps": 4}, "where": {"max_gpu_hours": 1.0},
    }  # fmt: skip
    return TrainSpec.model_validate(fields | changes)


def make_run(root: Path, spec: TrainSpec) -> RunDir:
    run = RunDir(root)
    run.root.mkdir(parents=True)
    run.spec.write_text(dump_spec(spec))
    return run


def make_job(
    run: RunDir, data_dir: Path, *, nodes: int = 1, ranks_per_node: int = 1, layout: Layout | None = None
) -> Job:
    spec = Job.from_environment(variables(run, data_dir)).spec
    if layout is not None:
        spec = spec.model_copy(update={"layout": layout})
    return Job(
        run=run, attempt_number=1, spec=spec, plan=None, data_dir=data_dir, nodes=nodes, node_rank=0,
        ranks_per_node=ranks_per_node,
    )  # fmt: skip


def write_ticket(run: RunDir, attempt: int, spec: TrainSpec, *, max_nodes: int = 8, age_s: float = 0.0) -> None:
    datasets = (TicketDataset(name=d.name, source=d.source, licence=d.licence) for d in spec.data)
    ticket = Ticket(
        run_id="run-1", attempt_id=f"run-1-{attempt}", machine="local", spec_hash=spec.digest(), max_nodes=max_nodes,
        max_wall_time_s=600, max_accelerator_seconds=6000, datasets=tuple(datasets),
        issued_at=now() - timedelta(seconds=age_s), expires_at=now() - timedelta(seconds=age_s) + timedelta(hours=1),
    )  # fmt: skip
    path = run.attempt(attempt).ticket
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(signing.sign(ticket, PRIVATE_KEY).to_json())


def variables(
    run: RunDir, data_dir: Path, *, attempt: int = 1, nodes: int = 1, node: int = 0, ranks: int = 1, port: int = 29500
) -> dict[str, str]:
    return {
        jobenv.RUN_DIR: str(run.root), jobenv.ATTEMPT: str(attempt), jobenv.JOB_ID: "by-hand",
        jobenv.NODES: str(nodes), jobenv.NODE_RANK: str(node), jobenv.ACCELERATORS_PER_NODE: str(ranks),
        jobenv.RDZV_HOST: "127.0.0.1", jobenv.RDZV_PORT: str(port), jobenv.RDZV_ID: f"{run.root.name}-{attempt}",
        jobenv.TICKET_KEY: keys.public_key_b64(PRIVATE_KEY), jobenv.DATA_DIR: str(data_dir),
    }  # fmt: skip


class Launchers:
    """The launchers of one attempt, one a node, writing into the attempt's job.log."""

    def __init__(self, run: RunDir, data_dir: Path, *arguments: str, attempt: int = 1, nodes: int = 1) -> None:
        run.attempt(attempt).root.mkdir(parents=True, exist_ok=True)
        self.log = run.attempt(attempt).log
        port = free_port()
        self.processes = [
            self._start(variables(run, data_dir, attempt=attempt, nodes=nodes, node=node, port=port), arguments)
            for node in range(nodes)
        ]

    def _start(self, environment: Mapping[str, str], arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
        start = "import sys; from hanse.training.launch import main; sys.exit(main(sys.argv[1:]))"
        paths = os.pathsep.join(path for path in sys.path if path)
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environment}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", start, *arguments], env=environment, stdout=log, stderr=log
            )  # fmt: skip

    def wait(self, within_s: float = 180.0) -> list[int]:
        try:
            return [each.wait(within_s) for each in self.processes]
        finally:
            self.kill()

    def kill(self) -> None:
        for each in self.processes:
            if each.poll() is None:
                each.send_signal(signal.SIGKILL)
                each.wait()

    @property
    def text(self) -> str:
        return self.log.read_text()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
