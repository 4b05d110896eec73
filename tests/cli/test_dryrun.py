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


def test_a_terminals_columns_break_no_line_of_the_script(spec_path: Path) -> None:
    machine = resolve("jupiter-booster")
    lines = explain(dryrun.job_for(load_spec(spec_path), None, machine), machine)
    rows = list(script_views.columns(lines, 100))
    assert [script.rstrip() for script, _ in rows if script.strip()] == [line for line, _ in lines if line]
    assert all(len(script) + len(reason) <= 100 for script, reason in rows if reason)
    said = " ".join(reason for _, reason in rows)
    assert all(reason in said for _, reason in lines)


def test_a_machine_without_a_service_is_shown_with_what_it_cannot_do(hanse: Hanse, spec_path: Path) -> None:
    answer = hanse("launch", str(spec_path), "--dry-run", "-m", "leonardo")
    assert answer.code == 0, answer.err
    assert "#SBATCH --gres=gpu:4" in answer.out
    assert "reach the internet from jobs" in answer.out
    assert "Seen in other users' job scripts" in answer.out


def test_what_nobody_published_is_called_a_guess(hanse: Hanse, spec_path: Path) -> None:
    answer = hanse("launch", str(spec_path), "--dry-run", "-m", "arrhenius")
    assert "Guessed, not published: request for GPUs" in answer.out
    facts = json.loads(hanse("launch", str(spec_path), "--dry-run", "-m", "arrhenius", "--json").out)
    assert "scheduler.gpu_request" in facts["guessed"]
    assert facts["unknown"] and facts["cannot"] == []


def test_an_image_that_jobs_cannot_fetch_is_refused_before_anything_is_run(hanse: Hanse, spec_path: Path) -> None:
    spec_path.write_text(
        COMMAND.replace("accelerators_per_node: 4", "image: docker://python, accelerators_per_node: 4")
    )
    answer = hanse("launch", str(spec_path), "--dry-run", "-m", "leonardo")
    assert answer.code == 1
    assert "reach no registry" in answer.err and "Traceback" not in answer.err


def test_with_several_machines_and_no_service_each_is_shown_and_nothing_is_claimed_of_hours(
    hanse: Hanse, spec_path: Path, own_home: Path
) -> None:
    spec_path.write_text(COMMAND.replace("[leonardo-booster, local]", "[leonardo-booster, local, nowhere]"))
    answer = hanse("launch", str(spec_path), "--dry-run")
    assert answer.code == 0, answer.err
    said = " ".join(answer.out.split())
    assert "leonardo-booster is the first of where.machines that could take it." in said
    assert "No service was asked" in said and "Not nowhere: There is no machine 'nowhere'" in said
    assert "# The job for Leonardo" in said and not own_home.exists()
    placement = json.loads(hanse("launch", str(spec_path), "--dry-run", "--json").out)["placement"]
    assert [each["machine"] for each in placement["options"]] == ["leonardo-booster", "local"]
    assert [each["free_accelerator_seconds"] for each in placement["options"]] == [None, None]


def test_a_dry_run_of_several_machines_of_which_none_can_take_it_says_why_each(hanse: Hanse, spec_path: Path) -> None:
    spec_path.write_text(COMMAND.replace("nodes: 2", "nodes: 200000"))
    answer = hanse("launch", str(spec_path), "--dry-run")
    assert answer.code == 2 and "None of the machines" in answer.err
    assert "leonardo-booster: It takes 200000 nodes" in " ".join(answer.err.split())
