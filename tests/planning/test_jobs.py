"""From spec, plan and machine to the job."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.contracts.layout import Layout
from hanse.machines import catalogue
from hanse.planning import jobs
from tests.planning import plans
from tests.training.hands import make_spec

LEONARDO = catalogue.load("leonardo-booster")


@pytest.mark.parametrize(("nodes", "qos"), [(8, "normal"), (64, "normal"), (128, "boost_qos_bprod")])
def test_a_job_asks_for_the_first_qos_that_gives_it_its_nodes(nodes: int, qos: str, tmp_path: Path) -> None:
    plan = plans.plan(Layout(nodes=nodes, fsdp=4 * nodes), partition="boost_usr_prod")
    shape = jobs.shape_of(make_spec(tmp_path), plan, LEONARDO)
    assert (shape.partition, shape.nodes, shape.held) == ("boost_usr_prod", nodes, 4 * nodes)
    job = jobs.job_of(
        make_spec(tmp_path), LEONARDO, shape, run_id="20261122-a-run", attempt_id="20261122-a-run-1", number=1,
        wall_time_s=3600, account="project",
    )  # fmt: skip
    assert job.qos == qos
