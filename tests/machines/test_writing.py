"""Machine files as text: what is written is read again, and new curves leave every other line alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.machine import Calibration, Collectives, Curve
from hanse.machines import accelerators, catalogue, writing

FILES = Path(catalogue.__file__).with_name("catalogue")


def calibration(rate: float = 5e10) -> Calibration:
    curve = Curve(x=(1e3, 1e8), y=(5e6, rate), x_unit="bytes", y_unit="bytes/s")
    return Calibration(
        measured_at=datetime(2026, 11, 22, tzinfo=UTC), software="a test", ranks=4, nodes=2,
        matmul=Curve(x=(1e6, 1e9), y=(1e9, 5e10), x_unit="FLOPs", y_unit="FLOP/s"), memory_bytes_per_s=9e9,
        all_reduce=curve, between_nodes=Collectives(ranks=2, all_to_all=curve), products={"bf16": curve},
    )  # fmt: skip


@pytest.mark.parametrize("machine_id", catalogue.ids())
def test_a_machine_written_as_a_file_is_read_as_the_same(machine_id: str, tmp_path: Path) -> None:
    machine = catalogue.load(machine_id)
    path = tmp_path / f"{machine_id}.yaml"
    writing.write(path, writing.as_yaml(machine))
    assert catalogue.check(path) == machine


@settings(deadline=None)
@given(name=st.sampled_from(accelerators.names()), count=st.integers(1, 10**6))
def test_factories_too_survive_being_written(name: str, count: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    machine = catalogue.load(f"factory-{count}-{name}")
    path = tmp_path_factory.mktemp("factory") / f"{machine.id}.yaml"
    writing.write(path, writing.as_yaml(machine))
    assert catalogue.check(path) == machine


@pytest.mark.parametrize("path", sorted(FILES.iterdir()), ids=lambda path: path.stem)
def test_curves_go_into_a_file_and_leave_its_lines_alone(path: Path, tmp_path: Path) -> None:
    before = path.read_text()
    once = writing.with_calibration(before, calibration())
    assert once.startswith(before)
    twice = writing.with_calibration(once, calibration(7e10))
    assert twice == writing.with_calibration(before, calibration(7e10))
    copy = tmp_path / path.name
    copy.write_text(before)
    writing.write_calibration(copy, calibration())
    assert catalogue.check(copy).calibration == calibration()


def test_an_old_calibration_in_the_middle_goes_and_what_follows_stays() -> None:
    text = "id: x\ncalibration:\n  ranks: 2\n  # ours\n\n  matmul: {x: [1], y: [1]}\nnotes:\n- kept\n"
    made = writing.with_calibration(text, calibration())
    assert made.startswith("id: x\nnotes:\n- kept\ncalibration:\n")
    assert "ours" not in made and made.count("calibration:") == 1
