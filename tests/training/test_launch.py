"""A node's launcher: what it asks of its environment, and how it starts the ranks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hanse.contracts import jobenv
from hanse.contracts.errors import UsageError
from hanse.contracts.rundir import RunDir
from hanse.machines import catalogue
from hanse.training import allocator, compiler, launch
from hanse.training.job import Job
from hanse.workloads.load import dump_spec
from tests.training.hands import make_job, make_run, make_spec, variables, write_texts


@pytest.fixture
def given(tmp_path: Path) -> dict[str, str]:
    run = make_run(tmp_path / "run", make_spec(write_texts(tmp_path / "texts", files=1)))
    return variables(run, tmp_path / "data", nodes=2, node=1)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (jobenv.NODES, "", "HANSE_NODES is not set"),
        (jobenv.NODES, "two", "HANSE_NODES is 'two'; a number from 1 on is needed"),
        (jobenv.NODES, "0", "HANSE_NODES is '0'"),
        (jobenv.NODE_RANK, "2", "HANSE_NODE_RANK is 2 of 2 nodes; it counts from 0"),
        (jobenv.RUN_DIR, "/no/such/run", "HANSE_RUN_DIR names the run's folder, and /no/such/run is no folder"),
        (jobenv.DATA_DIR, "", "HANSE_DATA_DIR is not set"),
    ],
)
def test_a_wrong_variable_is_named_plainly(given: dict[str, str], name: str, value: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        Job.from_environment(given | {name: value})


def test_torchrun_is_told_the_rendezvous_and_which_node_holds_it(given: dict[str, str]) -> None:
    job = Job.from_environment(given)
    command = " ".join(launch.torchrun_command(job, given))
    assert "--nnodes 2 --nproc-per-node 1 --rdzv-backend c10d --rdzv-endpoint 127.0.0.1:29500" in command
    assert "is_host=false" in command and "--local-addr 127.0.0.1" in command and "--max-restarts 0" in command
    first = Job.from_environment(given | {jobenv.NODE_RANK: "0"})
    assert "is_host=true" in " ".join(launch.torchrun_command(first, given))


def test_a_rendezvous_port_that_is_no_number_is_named(given: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="HANSE_RDZV_PORT is 'first'"):
        launch.torchrun_command(Job.from_environment(given), given | {jobenv.RDZV_PORT: "first"})


def test_nodes_on_one_host_share_its_cores_and_its_loopback(given: dict[str, str]) -> None:
    job = Job.from_environment(given)
    added = launch.rank_environment(job, given)
    assert added["OMP_NUM_THREADS"] == str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert added["GLOO_SOCKET_IFNAME"] == "lo"
    apart = launch.rank_environment(job, given | {jobenv.RDZV_HOST: "node-1"})
    assert "GLOO_SOCKET_IFNAME" not in apart
    assert apart["OMP_NUM_THREADS"] == str(len(os.sched_getaffinity(0)))


def test_what_the_site_has_set_is_left_alone(given: dict[str, str]) -> None:
    job = Job.from_environment(given)
    assert "OMP_NUM_THREADS" not in launch.rank_environment(job, given | {"OMP_NUM_THREADS": "7"})


def test_a_cpu_keeps_its_memory_between_steps_unless_the_user_says_how(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = Job.from_environment(given)
    monkeypatch.setattr(allocator, "_DRIVERS", (tmp_path / "no-driver",))
    added = launch.rank_environment(job, given | {"MALLOC_TOP_PAD_": "0"})
    assert {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} <= set(added)
    assert "MALLOC_TOP_PAD_" not in added
    monkeypatch.setattr(allocator, "_DRIVERS", (tmp_path,))
    assert not any(name.startswith("MALLOC_") for name in launch.rank_environment(job, given))


def test_the_launcher_starts_without_torch() -> None:
    import subprocess
    import sys

    check = "import sys, hanse.training.launch, hanse.training.data.prepare; sys.exit('torch' in sys.modules)"
    paths = os.pathsep.join(path for path in sys.path if path)
    assert subprocess.run([sys.executable, "-c", check], env={**os.environ, "PYTHONPATH": paths}).returncode == 0


def test_checkpoints_come_ten_a_run_or_as_often_as_the_spec_says(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts", files=1)
    plain = make_job(make_run(tmp_path / "plain", make_spec(texts, checkpoint={}, tokens=8 * 16 * 95)), tmp_path)
    assert (plain.steps, plain.checkpoint_every) == (95, 10)
    assert make_job(make_run(tmp_path / "own", make_spec(texts)), tmp_path).checkpoint_every == 4


def test_on_a_cluster_checkpoints_come_at_the_plans_interval_and_here_once_a_minute(tmp_path: Path) -> None:
    from dataclasses import replace

    from hanse.contracts.layout import Layout
    from tests.planning import plans

    job = make_job(
        make_run(tmp_path / "long", make_spec(write_texts(tmp_path / "texts"), checkpoint={}, tokens=10**9)), tmp_path
    )
    shape = plans.LLAMA_8B.model_copy(update={"layers": 1, "hidden": 256, "heads": 4, "kv_heads": 4, "vocab": 512})
    planned = plans.plan(Layout(nodes=1, dp=4), shape=shape)
    assert planned.goodput is not None
    assert planned.goodput.checkpoint_every_s > 60
    step_s = planned.step_time.total_s.expected
    on_a_cluster = replace(job, plan=planned).checkpoint_every
    assert on_a_cluster == int(planned.goodput.checkpoint_every_s / step_s)
    here = planned.model_copy(update={"machine": "local"})
    assert replace(job, plan=here).checkpoint_every == int(60 / step_s) < on_a_cluster


def test_a_model_the_trainer_cannot_build_is_refused_before_anything_is_prepared(
    given: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = make_spec(tmp_path / "texts", model={"preset": "deepseek-v3"}, tokenizer={"vocab": 300})
    Path(given[jobenv.RUN_DIR], "train.yaml").write_text(dump_spec(spec))
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    for command in (["--prepare"], []):
        assert launch.main(command) == 2
        said = "".join(capfd.readouterr())
        assert said.count("FAILED") == 1
        assert "not a decoder with experts and latent attention" in said and "planned, not launched" in said
    assert not any((tmp_path / "data").glob("*"))


def test_a_node_without_a_compiler_is_found_out_before_anything_is_prepared(
    given: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = RunDir(Path(given[jobenv.RUN_DIR]))
    run.spec.write_text(dump_spec(make_spec(tmp_path / "texts", compile=True)))
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", str(tmp_path))
    for variable in ("CC", "CXX"):
        monkeypatch.delenv(variable, raising=False)
    for command in (["--prepare"], []):
        assert launch.main(command) == 2
        said = "".join(capfd.readouterr())
        assert said.count("FAILED") == 1 and "needs a C++ compiler on this node, and it has none: no g++ or" in said
    assert not any((tmp_path / "data").glob("*"))
    job = Job.from_environment(given)
    run.machine.write_text(catalogue.load("leonardo-booster").to_json())
    with pytest.raises(UsageError, match=r"needs a C compiler on this node, .* no gcc or clang or cc"):
        compiler.require(job)
    (tmp_path / "own-cc").touch(mode=0o755)
    monkeypatch.setenv("CC", "own-cc -O2")
    compiler.require(job)
