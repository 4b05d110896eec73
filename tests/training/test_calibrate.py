"""The calibration of this machine: complete, plausible and quick."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hanse.contracts import jobenv
from hanse.contracts.machine import Calibration
from hanse.machines import catalogue, writing

pytestmark = pytest.mark.torch


def test_two_ranks_measure_all_the_planner_asks_for(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hanse.training.calibrate", "--ranks", "2", "--out", str(tmp_path / "c.json")]
    paths = os.pathsep.join(path for path in sys.path if path)
    subprocess.run(command, check=True, timeout=150, env={**os.environ, "PYTHONPATH": paths})
    found = Calibration.from_json((tmp_path / "c.json").read_text())
    assert found.ranks == 2 and found.all_reduce is not None and found.all_gather is not None
    assert found.reduce_scatter is not None and found.all_to_all is not None and found.p2p is not None
    assert found.nodes == 1 and found.between_nodes is None
    assert 1e8 < max(found.matmul.y) < 1e13 and found.matmul.x == tuple(sorted(found.matmul.x))
    assert 1e8 < found.memory_bytes_per_s < 1e12 and 1e-8 < found.launch_overhead_s < 1e-3
    assert 0.2 < found.block_scale < 10 and 0 <= found.exchange_overhead_s < 0.5


def test_two_nodes_measure_what_lies_between_them_and_write_it_into_the_machines_file(tmp_path: Path) -> None:
    machine = tmp_path / "ours.yaml"
    writing.write(machine, writing.as_yaml(catalogue.load("dgx-a100").model_copy(update={"id": "ours"})))
    command = [sys.executable, "-m", "hanse.training.calibrate", "--ranks", "1", "--out", str(tmp_path / "c.json")]
    command += ["--into", str(machine), "--seconds-a-figure", "0.001"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {jobenv.NODES: "2", jobenv.RDZV_HOST: "127.0.0.1", jobenv.RDZV_PORT: port, "GLOO_SOCKET_IFNAME": "lo"}
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    nodes = [
        subprocess.Popen(command, env={**os.environ, **paths, **meeting, jobenv.NODE_RANK: str(rank)})
        for rank in range(2)
    ]
    try:
        assert [node.wait(240) for node in nodes] == [0, 0]
    finally:
        for node in nodes:
            node.kill()
    found = catalogue.check(machine).calibration
    assert found == Calibration.from_json((tmp_path / "c.json").read_text())
    assert found.nodes == 2 and found.all_reduce is None and found.between_nodes is not None
    assert found.between_nodes.ranks == 2
    for name in ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "p2p"):
        curve = getattr(found.between_nodes, name)
        assert curve.x == tuple(sorted(curve.x)) and min(curve.y) > 0


def test_ranks_that_cannot_measure_are_an_error_that_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hanse.training.calibrate", "--ranks", "1", "--out", str(tmp_path / "no" / "c")]
    paths = os.pathsep.join(path for path in sys.path if path)
    # The launcher's own environment decides what ranks may import; without torch they fail at once.
    hidden = tmp_path / "torch.py"
    hidden.write_text("raise ImportError('no torch here')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), paths])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 1 and "the calibration failed: ImportError: no torch here" in done.stderr
