"""The load benchmark at a small scale: it measures what it says, with real parts. No judgement on figures here."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.federation_load import service_under_load, submissions
from tests.federation_site import Federation

pytestmark = pytest.mark.timeout(200)


def test_the_service_answers_agents_and_users_in_an_open_loop_and_its_memory_is_watched(tmp_path: Path) -> None:
    figures = service_under_load(tmp_path / "sqlite", "", seconds=4, minutes=0.05)
    assert figures["errors"] == 0 and figures["requests"] == 200, figures
    assert len(figures["memory_mb"]) == 2, figures


@pytest.mark.slurm
def test_runs_over_two_clusters_are_queued_by_their_agents_and_compared_with_a_bare_loop(
    federation: Federation, tmp_path: Path
) -> None:
    figures = submissions(federation, tmp_path, runs=24)
    assert figures["submissions_over_bare"] > 0, figures
    for site in federation.sites:
        assert not site.run("squeue", "-h", "-t", "PD,R").strip(), "nothing is left in the queue"
