"""A plan as `hanse plan` and `hanse launch` make it from train.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.cli.planning import plan_for
from hanse.contracts.errors import PlanError
from hanse.contracts.spec import WhereSpec
from hanse.machines import catalogue
from tests.contracts.examples import SPEC

LEONARDO = catalogue.load("leonardo-booster")


def spec_within(wall_time_s: int, attempts: int):
    where = WhereSpec(
        machines=(LEONARDO.id,), nodes=1, wall_time_s=wall_time_s, max_gpu_hours=1e6, max_attempts=attempts
    )
    return SPEC.model_copy(update={"tokens": 20_000_000_000, "precision": "bf16", "where": where})


def test_a_training_longer_than_one_job_is_planned_over_as_many_as_it_may_take() -> None:
    whole_s = plan_for(spec_within(10**8, 1), Path("train.yaml"), LEONARDO).wall_time_s.expected
    half = int(whole_s * 0.6)
    assert plan_for(spec_within(half, 2), Path("train.yaml"), LEONARDO).wall_time_s.expected <= 2 * half
    with pytest.raises(PlanError, match="wall time"):
        plan_for(spec_within(half, 1), Path("train.yaml"), LEONARDO)
