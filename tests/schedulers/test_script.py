"""The job script: golden files for every machine, and what must hold for every value put into it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.errors import SiteError
from hanse.contracts.job import JobSpec, Step
from hanse.contracts.machine import Inability, Machine
from hanse.contracts.rundir import RunDir
from hanse.schedulers.environment import stop_signal_at_s
from hanse.schedulers.script import explain, render, time_limit
from tests.schedulers.golden_cases import FOLDER, machines, scripts
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


SCRIPTS = scripts()


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_script_of_every_catalogued_machine_is_the_one_on_record(name: str) -> None:
    assert SCRIPTS[name] == (FOLDER / name).read_text(), "run tools/golden_scripts.py and read the difference"
    assert subprocess.run(["bash", "-n"], input=SCRIPTS[name], text=True, check=False).returncode == 0


def test_no_script_on_record_is_of_a_machine_that_left() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(SCRIPTS) | {f"{name}.sh" for name in CASES}


def test_one_launcher_a_node_is_never_bound_to_the_cores_of_one_rank() -> None:
    for machine in machines():
        assert "mask" not in (machine.scheduler.cpu_bind or ""), machine.id
        assert len(machine.scheduler.rank_cpu_masks) in (0, machine.accelerators_per_node)


def test_cores_follow_the_ratio_a_machine_insists_on() -> None:
    for machine in machines():
        facts = machine.scheduler
        if facts.cpus_per_gpu:
            assert facts.cpus_per_node == facts.cpus_per_gpu * machine.accelerators_per_node
    lines = _lines(job_of(shell("true")), cpus_per_gpu=3, change={"accelerators_per_node": 4})
    assert "#SBATCH --cpus-per-task=12" in lines and "export SRUN_CPUS_PER_TASK=12" in lines


def test_a_machine_without_internet_in_jobs_says_so_among_what_it_cannot_do() -> None:
    for machine in machines():
        if machine.status == "operational":
            said = machine.scheduler.inability("internet-on-compute") is not None
            assert said == (machine.internet_on_compute is False), machine.id


def test_a_link_of_a_chain_waits_until_the_one_before_has_ended() -> None:
    lines = [line for line, _ in explain(job_of(shell("true")), GENERIC, after="4711")]
    assert "#SBATCH --dependency=afterany:4711" in lines
    with pytest.raises(SiteError, match="no job id of Slurm"):
        explain(job_of(shell("true")), GENERIC, after="4711,singleton")


def test_a_job_asks_for_as_few_switches_as_hold_it() -> None:
    def asked(nodes: int) -> list[str]:
        return [line for line in _lines(job_of(shell("true"), nodes=nodes), nodes_per_switch=16) if "switches" in line]

    assert asked(1) == []
    assert asked(16) == ["#SBATCH --switches=1@00:10:00"]
    assert asked(17) == ["#SBATCH --switches=2@00:10:00"]


def test_the_name_on_the_fast_network_is_tried_before_the_plain_one() -> None:
    lines = _lines(job_of(shell("true")), rendezvous_host_rule="interconnect_dns", interconnect_name="ib-{node}x.site")
    script = "\n".join(line for line in lines if line.startswith(("hanse_node", "hanse_host", "[ -n", '[ "$SLURM')))
    fake = """
        scontrol() { printf 'n1\\nn2\\n'; }
        getent() { case "$2" in ib-n1x.site) echo "${fast:+$fast STREAM}";; n1) echo "10.0.0.1 STREAM";; esac; }
    """
    for fast, nodes, expected in (("10.9.9.9", 2, "10.9.9.9"), ("", 2, "10.0.0.1"), ("10.9.9.9", 1, "127.0.0.1")):
        text = f'{fake}\nfast={fast} SLURM_JOB_NODELIST=n SLURM_JOB_NUM_NODES={nodes}\n{script}\necho "$hanse_host"'
        found = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True).stdout.split()
        assert found == [expected]


def test_plugins_of_slurm_take_the_image_as_an_option_of_the_step() -> None:
    job = job_of(shell("true"), image="/images/a b.sqsh")
    pyxis = "\n".join(_lines(job, container_runtime="pyxis", container_binds=("/work",)))
    assert "--container-image=/images/a b.sqsh" in pyxis and ":/work" not in pyxis.replace("/work:/work", "")
    assert "exec --" not in pyxis
    engine = "\n".join(_lines(job, container_runtime="container-engine"))
    assert "--environment=/images/a b.sqsh" in engine


def test_an_image_is_refused_in_the_machines_own_words() -> None:
    because = Inability(
        capability="images", reason="nothing runs them", url="https://x", confidence="official", read_on="2026-11-22"
    )
    job = job_of(shell("true"), image="/images/a.sif")
    with pytest.raises(SiteError, match="runs no images: nothing runs them"):
        _lines(job, cannot=(because,))
    with pytest.raises(SiteError, match="nothing that runs an image"):
        _lines(job, container_runtime="none")


def test_an_image_from_a_registry_is_refused_where_jobs_reach_none() -> None:
    job = job_of(shell("true"), image="docker://python:3.12", account="a", partition="boost_usr_prod")
    with pytest.raises(SiteError, match="reach no registry"):
        explain(job, LEONARDO_LIKE)
    assert any("docker://" in line for line, _ in explain(job, LUMI_LIKE))


def test_a_folder_that_no_bind_can_name_is_refused() -> None:
    job = job_of(shell("true"), image="/images/a.sif")
    with pytest.raises(SiteError, match="cannot be bound"):
        explain(job, GENERIC, RunDir(Path("/scratch/a,b")))


@pytest.mark.parametrize("name", ["UID", "hanse_run"])
def test_a_variable_that_is_not_the_runs_to_set_is_refused(name: str) -> None:
    with pytest.raises(SiteError, match="belongs to"):
        explain(job_of(shell("true"), environment={name: "1"}), GENERIC)


def _lines(job: JobSpec, *, change: dict[str, Any] | None = None, **facts: Any) -> list[str]:
    scheduler = GENERIC.scheduler.model_copy(update=facts)
    machine = GENERIC.model_copy(update={"scheduler": scheduler, **(change or {})})
    return [line for line, _ in explain(job, machine, RUN, data_dir="/scratch/hanse/data")]


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
FOLDER_NAME = st.text(st.characters(exclude_characters="\0/\n\r", exclude_categories=["Cs"]), min_size=1, max_size=30)


@settings(max_examples=60)
@given(
    values=st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,8}_X", fullmatch=True), TEXT, max_size=4),
    folder=FOLDER_NAME.filter(lambda name: name not in (".", "..")),
    argument=TEXT,
)
def test_what_bash_makes_of_a_script_is_what_was_put_into_it(
    values: dict[str, str], folder: str, argument: str
) -> None:
    run = RunDir(Path("/scratch") / folder)
    step = Step(name="train", argv=("printf", "%s", argument), nodes=1)
    lines = explain(job_of(step, environment=values), GENERIC, run, ticket_key="a'b", data_dir="/d")
    kept = [line for line, _ in lines if line.startswith(("export ", "hanse_run=", "hanse_attempt=", "hanse_step "))]
    show = "\n".join(f'printf "%s\\0" "${name}"' for name in (*values, "hanse_run", "hanse_attempt"))
    shown = f"hanse_step() {{ printf '%s\\0' \"$@\"; }}\nSLURM_JOB_ID=1\n{chr(10).join(kept)}\n{show}\n"
    done = subprocess.run(["bash"], input=shown.encode(), capture_output=True, check=True)
    *found, last = done.stdout.decode().split("\0")
    assert last == ""
    attempt = str(run.attempt(1).root)
    assert found == ["train", "1", "default", "printf", "%s", argument, *values.values(), str(run.root), attempt]


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
