"""Chaos in short: seeded deaths and cuts while runs pass over both clusters. `benchmarks/chaos.py` is the long one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.chaos import rage
from benchmarks.chaos_world import world
from tests.federation_site import Federation

pytestmark = [pytest.mark.slurm, pytest.mark.crash, pytest.mark.timeout(300)]
SEED = 20261123


def test_whatever_dies_or_is_cut_each_run_finishes_once_and_costs_what_slurm_says(
    federation: Federation, tmp_path: Path
) -> None:
    with world(federation, tmp_path / "chaos", random.Random(SEED)) as passing:
        figures = rage(
            passing, runs=8, trainings=0, own_disks=2, kills=12, steps=30, step_s=0.1, within_s=150,
        )  # fmt: skip
    assert figures["finished_once"] == figures["runs"] == 8, figures
    assert (figures["lost"], figures["doubled"], figures["ledger_minus_sacct_s"]) == (0, 0, 0), figures
    assert figures["kills"] == 12
