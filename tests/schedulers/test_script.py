"""The job script: golden files for three kinds of machine, and what must hold for every value put into it."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.errors import SiteError
from hanse.contracts.job import JobSpec, Step
from hanse.contracts.machine import Machine
from hanse.contracts.rundir import RunDir
from hanse.schedulers.environment import stop_signal_at_s
from hanse.schedulers.script import explain, render, time_limit
from tests.schedulers.jobs import job_of, shell
from tests.schedulers.machines import GENERIC, LEONARDO_LIKE, LUMI_LIKE

GOLDEN = Path(__file__).parent / "golden"
TRAINING = (
    Step(name="prepare", argv=("hanse", "train", "--prepare"), nodes=1),
    Step(name="train", argv=("hanse", "train"), nodes=16),
)
CASES: dict[str, tuple[JobSpec, Machine]] = {
    "generic": (job_of(shell("make 'it so'", name="command"), uses_code_bundle=True), GENERIC),
    "lumi-like": (
        job_of(
            *TRAINING, accelerators_per_node=8, wall_time_s=172800, stop_signal_before_s=300,
            account="project_465000001", partition="standard-g", exclude=("nid005001", "nid005002"),
            environment={"HIP_LAUNCH_BLOCKING": "0"},
        ),
        LUMI_LIKE,
    ),
    "leonardo-like": (
        job_of(
            *TRAINING, accelerators_per_node=4, wall_time_s=86399, account="EUHPC_A01_001", partition="boost_usr_prod",
            image="/leonardo_work/images/hanse.sif",
        ),
        LEONARDO_LIKE,
    ),
}  # fmt: skip
RUN = RunDir(Path("/scratch/hanse/runs/r1"))


@pytest.mark.parametrize("name", CASES)
def test_the_script_of_a_machine_is_the_one_on_record(name: str) -> None:
    job, machine = CASES[name]
    text = render(job, machine, RUN, ticket_key="a2V5", data_dir="/scratch/hanse/data")
    golden = GOLDEN / f"{name}.sh"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


@pytest.mark.parametrize("name", CASES)
def test_every_line_of_a_script_has_a_reason(name: str) -> None:
    job, machine = CASES[name]
    assert all(reason for line, reason in explain(job, machine) if line)


def test_a_site_that_takes_no_job_without_an_account_is_not_asked() -> None:
    with pytest.raises(SiteError, match="without an account"):
        explain(job_of(shell("true")), LUMI_LIKE)


def test_a_line_break_in_an_option_is_refused_because_the_rest_would_be_run() -> None:
    with pytest.raises(SiteError, match="line break"):
        explain(job_of(shell("true"), account="x\nrm -rf ~"), GENERIC)


def test_a_name_that_is_no_variable_is_refused() -> None:
    with pytest.raises(SiteError, match="no name for an environment variable"):
        explain(job_of(shell("true"), environment={"A;B": "1"}), GENERIC)


def test_compute_nodes_without_internet_get_offline_variables_and_others_do_not() -> None:
    offline = "export HF_HUB_OFFLINE=1"
    assert offline in [line for line, _ in explain(*CASES["leonardo-like"])]
    assert offline not in [line for line, _ in explain(*CASES["lumi-like"])]


def test_the_fast_networks_name_and_its_address_are_used_where_the_rule_says_so() -> None:
    facts = GENERIC.scheduler.model_copy(update={"rendezvous_host_rule": "suffix_i"})
    lines = [line for line, _ in explain(job_of(shell("true")), GENERIC.model_copy(update={"scheduler": facts}))]
    assert 'hanse_host="${hanse_host}i"' in lines
    assert any("getent ahostsv4" in line for line in lines)


@given(value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40))
def test_any_text_in_the_environment_arrives_as_it_was(value: str) -> None:
    lines = [line for line, _ in explain(job_of(shell("true"), environment={"X": value}), GENERIC)]
    export = next(line for line in lines if line.startswith("export X="))
    assert shlex.split(export, posix=True) == ["export", f"X={value}"]


@given(seconds=st.integers(1, 10**7))
def test_a_time_limit_reads_back_to_the_same_seconds(seconds: int) -> None:
    days, clock = time_limit(seconds).split("-")
    hours, minutes, rest = clock.split(":")
    assert int(days) * 86400 + int(hours) * 3600 + int(minutes) * 60 + int(rest) == seconds
    assert int(hours) < 24 and int(minutes) < 60 and int(rest) < 60


@given(wall=st.integers(1, 10**6), before=st.integers(0, 10**4))
def test_the_stop_signal_never_comes_in_the_first_half(wall: int, before: int) -> None:
    at = stop_signal_at_s(job_of(shell("true"), wall_time_s=wall, stop_signal_before_s=before))
    assert (at is None) == (before == 0)
    assert at is None or wall / 2 <= at <= wall
