"""A machine is measured by a job of its own scheduler: the script that `hanse machines calibrate` writes, submitted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hanse.cli.main import app
from hanse.machines import catalogue
from tests.slurm_site import ACCOUNT, SlurmSite
from tests.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.torch, pytest.mark.timeout(200)]


def test_the_script_calibrate_writes_measures_two_nodes_as_a_slurm_job_and_leaves_the_curves_in_the_machines_file(
    slurm_site: SlurmSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANSE_HOME", str(tmp_path / "home"))
    given, measured = tmp_path / "hansa.yaml", tmp_path / "measured.yaml"
    given.write_text(slurm_site.machine.model_copy(update={"status": "reference"}).to_json())

    hanse = CliRunner()
    asked = ["machines", "calibrate", "--machine", str(given), "--account", ACCOUNT, "--nodes", "2"]
    written = hanse.invoke(app, [*asked, "--out", str(measured), "--json"])
    assert written.exit_code == 0, written.output
    assert catalogue.check(measured).calibration is None, "the file is there, the curves come with the job"

    script = Path(json.loads(written.stdout)["script"])
    job_id = slurm_site.run("sbatch", "--parsable", str(script)).strip()
    ended = until(lambda: _end_of(slurm_site, job_id), within_s=150, what="the job that measures", every_s=0.3)
    log = "\n".join(path.read_text() for path in script.parent.glob("attempts/*/job.log"))
    assert ended == ["COMPLETED", "2"], log

    found = catalogue.check(measured).calibration
    assert found is not None and found.nodes == 2 and found.ranks == slurm_site.machine.accelerators_per_node
    assert found.between_nodes is not None and found.between_nodes.all_reduce is not None
    assert len(found.matmul.x) > 1 and all(rate > 0 for rate in found.matmul.y)
    shown = hanse.invoke(app, ["machines", "show", str(measured)])
    assert shown.exit_code == 0 and "between 2 nodes: all-reduce" in shown.stdout, shown.output


def _end_of(site: SlurmSite, job_id: str) -> list[str]:
    """The job's last state and its nodes; empty while it waits or runs."""
    told = site.run("sacct", "-X", "-P", "-n", "-j", job_id, "-o", "State,NNodes,End").strip()
    return told.split("|")[:2] if told and not told.endswith("|Unknown") else []
