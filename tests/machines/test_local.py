"""This machine, with and without a calibration."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hanse.contracts.machine import Calibration, Curve
from hanse.machines.local import cores, local_machine


def calibration(ranks: int = 2) -> Calibration:
    return Calibration(
        measured_at=datetime(2026, 11, 22, tzinfo=UTC), software="a test", ranks=ranks,
        matmul=Curve(x=(1e6, 1e9), y=(1e9, 5e10), x_unit="FLOPs", y_unit="FLOP/s"), memory_bytes_per_s=9e9,
        all_reduce=Curve(x=(1e3, 1e8), y=(5e6, 2e9), x_unit="bytes", y_unit="bytes/s"),
    )  # fmt: skip


def test_without_a_calibration_rates_are_marked_as_estimates() -> None:
    machine = local_machine()
    assert machine.id == "local"
    assert machine.nodes == 2
    assert machine.accelerators_per_node == 1
    assert {source.part for source in machine.sources if source.confidence == "estimate"} == {
        "peak FLOP/s and memory bandwidth of a rank",
        "bandwidth between ranks",
    }
    assert machine.scheduler.environment["OMP_NUM_THREADS"] == str(max(1, cores() // 2))


def test_a_calibration_replaces_every_estimate() -> None:
    machine = local_machine(calibration())
    assert not [source for source in machine.sources if source.confidence == "estimate"]
    assert machine.accelerator.peak_flops == {"fp32": 5e10}
    assert machine.accelerator.memory_bytes_per_s == 9e9
    assert machine.between_nodes is not None
    assert machine.between_nodes.bytes_per_s == pytest.approx(2e9)
    assert machine.between_nodes.latency_s == pytest.approx(1e-4)


def test_a_calibration_made_with_other_ranks_does_not_count() -> None:
    assert local_machine(calibration(ranks=2), nodes=1).calibration is None


def test_the_same_calibration_gives_the_same_machine() -> None:
    assert local_machine(calibration()).digest() == local_machine(calibration()).digest()
