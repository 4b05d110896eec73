"""Watts from the files of a machine, the nearest to the whole node first."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.training.power import Power


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_whole_node_comes_before_its_gpus_and_these_before_its_cpus(tmp_path: Path) -> None:
    assert Power(tmp_path).watts() is None
    write(tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj", "1000000")
    counter = Power(tmp_path)
    assert counter.watts() is None
    write(tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj", "5000000")
    assert (counter.watts() or 0) > 0
    write(tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj", "3")
    assert counter.watts() is None, "the counter began anew"
    for card in (0, 1):
        write(tmp_path / f"sys/class/drm/card{card}/device/hwmon/hwmon3/power1_average", "250000000")
    assert Power(tmp_path).watts() == pytest.approx(500.0)
    write(tmp_path / "sys/cray/pm_counters/power", "1234 W 1700000000000000 us\n")
    assert Power(tmp_path).watts() == 1234.0
