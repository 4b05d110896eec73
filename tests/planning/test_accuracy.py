"""The shipped step-time model meets the published runs of the repository as `benchmarks/RESULTS.md` says."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from benchmarks import planner_accuracy, published
from benchmarks.published_hardware import name, network_bytes_per_s
from hanse.contracts.layout import Layout
from hanse.machines import catalogue
from hanse.planning import error, stacks
from tests.planning.worlds import LLAMA_8B, SMALL, calibrated, workload

RUNS = Path(planner_accuracy.__file__).parent / "data" / "published_runs.csv"


@cache
def found() -> dict[str, Any]:
    runs = published.read(RUNS)
    return planner_accuracy.figures(runs, planner_accuracy.predict(runs), *planner_accuracy.stated(runs))


def test_families_are_met_as_stated() -> None:
    assert found()["headline_median"] <= 0.06
    assert found()["headline_p90"] <= 0.16
    assert found()["expressible"] / found()["rows"] > 0.95


def test_layouts_are_ordered_as_stated() -> None:
    assert found()["pairwise_ordering"] >= 0.93
    assert found()["ordering_same_workload"] >= 0.88
    assert found()["regret_median"] <= 0.01


def test_the_interval_holds_for_about_four_in_five() -> None:
    assert 0.75 <= found()["interval80_coverage"] <= 0.87


def test_every_row_that_is_not_predicted_has_a_reason() -> None:
    assert found()["expressible"] + sum(found()["inexpressible"].values()) == found()["rows"]


def test_rows_with_anything_blank_are_predicted_or_refused_with_a_reason(tmp_path: Path) -> None:
    with RUNS.open(newline="") as file:
        rows = list(csv.DictReader(file))[::97]
    path = tmp_path / "runs.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerows(row | {column: blank} for column in row for blank in ("", "n/a", "-1"))
    runs = published.read(path)
    assert len(runs.runs) + sum(runs.inexpressible.values()) == runs.rows
    figures = planner_accuracy.figures(runs, planner_accuracy.predict(runs), *planner_accuracy.stated(runs))
    assert figures["all"]["n"] == len(runs.runs)


@pytest.mark.parametrize(
    ("said", "per_node", "bytes_per_s"),
    [
        ("8x HDR200 InfiniBand/node", 8, 25e9), ("RoCE 1600 Gbps/node", 8, 25e9), ("400Gb/s RDMA per GPU", 8, 50e9),
        ("4x OmniPath 100Gb/s per node", 8, 6.25e9), ("4x Slingshot-11 200Gb/s per node", 8, 12.5e9),
        ("200 GB/s per node", 8, 25e9), ("NVLink (single node)", 8, None), ("NVL72", 4, None), ("", 8, None),
    ],
)  # fmt: skip
def test_interconnects_are_read_as_people_write_them(said: str, per_node: int, bytes_per_s: float | None) -> None:
    assert network_bytes_per_s(said, per_node) == (pytest.approx(bytes_per_s) if bytes_per_s else None)


def test_accelerators_are_found_with_words_of_their_own_around_them() -> None:
    assert name("H100 SXM5 (Eos)") == "h100-sxm-80gb"
    assert name("A100-80GB-SXM") == name("NVIDIA A100 SXM4 80 GB node")
    assert name("FooChip") is None


def test_unknown_software_is_usual_and_its_interval_wider() -> None:
    machine = catalogue.load("dgx-h100")
    work, layout = workload(LLAMA_8B, batch=64), Layout(nodes=8, fsdp=64)
    assert not stacks.find("something else").known
    low, high = error.interval(work, machine, layout, stack="something else")
    near, far = error.interval(work, machine, layout, stack="megatron-core")
    assert low < near < 1 < far < high
    assert any("something else" in each for each in error.outside(work, machine, layout, stack="something else"))


def test_a_calibrated_machine_states_the_spread_of_its_measurements() -> None:
    low, high = error.interval(workload(SMALL, precision="fp32"), calibrated(), Layout(nodes=2, dp=2))
    assert 0.85 < low < 1 < high < 1.15
