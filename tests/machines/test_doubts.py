"""What a careful reader asks about a description: slips of unit, peaks with sparsity, values without a source."""

from __future__ import annotations

import pytest

from hanse.contracts.machine import Link, Machine, Partition
from hanse.machines import catalogue
from hanse.machines.doubts import doubts

H100 = catalogue.load("dgx-h100")
CASES = {
    "a peak with sparsity does not count": H100.model_copy(
        update={"accelerator": H100.accelerator.model_copy(update={"peak_flops": {"bf16": 1979e12}})}
    ),
    "was TFLOP/s meant": H100.model_copy(
        update={"accelerator": H100.accelerator.model_copy(update={"peak_flops": {"bf16": 989}})}
    ),
    "were bits meant": H100.model_copy(
        update={"between_nodes": Link(name="NDR", bytes_per_s=400e9, latency_s=1e-5)}
    ),
    "microseconds are written 5e-6": H100.model_copy(
        update={"between_nodes": Link(name="NDR", bytes_per_s=50e9, latency_s=10)}
    ),
    "no source names accelerators_per_node": H100.model_copy(update={"sources": ()}),
    "max_nodes is 9": H100.model_copy(update={"nodes": 8, "partitions": (Partition(name="all", max_nodes=9),)}),
    "not in the table of accelerators": H100.model_copy(
        update={"accelerator": H100.accelerator.model_copy(update={"name": "Abacus", "best_matmul": {}})}
    ),
    "less than half of what its accelerators may draw": H100.model_copy(update={"node_watts": 1000.0}),
    "the table has 85.9": H100.model_copy(
        update={"accelerator": H100.accelerator.model_copy(update={"memory_bytes": 40 * 2**30})}
    ),
}  # fmt: skip


@pytest.mark.parametrize(("said", "machine"), CASES.items())
def test_an_odd_description_is_asked_about(said: str, machine: Machine) -> None:
    assert any(said in one for one in doubts(machine)), doubts(machine)


def test_a_catalogued_node_leaves_no_doubt() -> None:
    assert doubts(H100) == ()
