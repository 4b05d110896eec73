"""`hanse launch --dry-run`: what would be run, line by line, is still the script that would be run."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from hanse.cli import dryrun, script_views
from hanse.cli.machine import resolve
from hanse.schedulers.script import explain
from hanse.workloads.load import load_spec
from tests.cli.conftest import Hanse

COMMAND = """\
name: fold
command: {run: python fold.py, accelerators_per_node: 4}
where: {machines: [leonardo-booster, local], nodes: 2, max_gpu_hours: 100, wall_time_s: 2h}
"""


@pytest.fixture
def spec_path(tmp_path: Path) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(COMMAND)
    return path


def test_the_annotated_script_is_the_script_with_comments(spec_path: Path) -> None:
    machine = resolve("leonardo-booster")
    job = dryrun.job_for(load_spec(spec_path), None, machine)
    lines = explain(job, machine)
    shown = list(script_views.annotated(lines))
    assert [line for is_reason, line in shown if not is_reason] == [line for line, _ in lines]
    assert all(line.lstrip().startswith("# ") for is_reason, line in shown if is_reason)
    if shutil.which("bash"):
        text = "\n".join(line for _, line in shown)
        assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


def test_every_line_of_the_script_has_its_reason(hanse: Hanse, spec_path: Path) -> None:
    answer = hanse("launch", str(spec_path), "--dry-run", "--json")
    facts = json.loads(answer.out)
    assert answer.code == 0
    assert facts["job"]["nodes"] == 2
    assert facts["plan"] is None
    assert all(entry["reason"] for entry in facts["script"] if entry["line"].strip())


def test_a_dry_run_needs_no_service_and_leaves_nothing(hanse: Hanse, spec_path: Path, own_home: Path) -> None:
    answer = hanse("launch", str(spec_path), "--dry-run", "--machine", "local")
    assert answer.code == 0
    assert "python fold.py" in answer.out
    assert "optimizer" not in answer.out
    assert "Nothing was run" in answer.err
    assert not own_home.exists()
