"""The verbs that tell facts: as contract JSON, as plain text in a pipe, with exit codes that a script can use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hanse.cli import checks, journey
from hanse.contracts.machine import Machine
from hanse.contracts.plan import Plan
from tests.cli.conftest import Hanse
from tests.cli.test_errors import GOOD

ROOT = Path(__file__).parents[2]


@pytest.fixture
def spec_path(tmp_path: Path) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(GOOD)
    return path


def test_a_plan_is_told_in_figures_and_sentences(hanse: Hanse, spec_path: Path) -> None:
    answer = hanse("plan", "--details")
    assert answer.code == 0
    for word in ("Step time", "Throughput", "Memory", "Wall time", "Cost", "Why", "layouts were weighed"):
        assert word in answer.out
    assert "not measured yet" in answer.err
    assert not any(line.endswith(" ") for line in answer.out.splitlines())
    assert "\x1b" not in answer.out


def test_a_plan_as_json_is_the_contract(hanse: Hanse, spec_path: Path) -> None:
    answer = hanse("plan", str(spec_path), "--machine", "leonardo", "--nodes", "2", "--json")
    plan = Plan.from_json(answer.out)
    assert (plan.machine, plan.layout.nodes) == ("leonardo-booster", 2)


def test_a_command_has_no_layout_and_the_message_says_what_shows_it(hanse: Hanse, tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("name: x\ncommand: {run: ls}\nwhere: {max_gpu_hours: 1}\n")
    answer = hanse("plan")
    assert answer.code == 2
    assert "--dry-run" in answer.err


def test_machines_are_listed_shown_and_checked(hanse: Hanse, tmp_path: Path) -> None:
    listed = [Machine.model_validate(one) for one in json.loads(hanse("machines", "list", "--json").out)]
    assert listed[0].id == "local"
    assert {"lumi-g", "leonardo-booster"} <= {one.id for one in listed}
    table = hanse("machines", "list").out
    assert table.index("In operation") < table.index("lumi-g") < table.index("Planned") < table.index("Reference")
    assert "LUMI-AI" in table
    factory = Machine.from_json(hanse("machines", "show", "factory-100000-b200", "--json").out)
    assert factory.accelerators(factory.nodes or 0) == 100_000
    shown = hanse("machines", "show", "lumi")
    assert "Sources" in shown.out
    assert Machine.from_json(hanse("machines", "show", "lumi-g", "--json").out).id == "lumi-g"


def test_a_wrong_machine_description_is_named_with_key_and_line(hanse: Hanse, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("id: mine\nname: Mine\nsite: here\nacelerators_per_node: 4\n")
    answer = hanse("machines", "check", "mine.yaml")
    assert answer.code == 2
    assert "acelerators_per_node" in answer.err
    assert "mine.yaml:4" in answer.err


def test_a_description_that_can_be_read_is_asked_about_what_is_odd(hanse: Hanse, tmp_path: Path) -> None:
    text = hanse("machines", "show", "dgx-h100", "--json").out.replace('"id": "dgx-h100"', '"id": "mine"')
    (tmp_path / "mine.yaml").write_text(text)
    assert "Nothing odd was found" in hanse("machines", "check", "mine.yaml").out
    (tmp_path / "mine.yaml").write_text(text.replace('"bf16": 989400000000000.0', '"bf16": 1979000000000000.0'))
    answer = hanse("machines", "check", "mine.yaml")
    assert answer.code == 0
    assert "a peak with sparsity does not count" in answer.out
    assert "a peak with sparsity" in hanse("machines", "check", "mine.yaml", "--json").err


def test_what_is_only_announced_or_misspelt_gets_one_clear_message(hanse: Hanse) -> None:
    for name, said in (
        ("lumi-ai", "its accelerators are not published"),
        ("factory-0-b200", "1 to 1,000,000 accelerators"),
        ("factory-10-b2000", "near it: b200-sxm-180gb"),
        ("leonardo-boster", "leonardo-booster"),
    ):
        answer = hanse("machines", "show", name)
        assert answer.code == 2
        assert said in " ".join(answer.err.split())


def test_another_machine_is_calibrated_by_a_job_of_its_own(hanse: Hanse, tmp_path: Path) -> None:
    answer = hanse("machines", "calibrate", "--machine", "jupiter", "--account", "project", "--out", "ours.yaml")
    assert answer.code == 0, answer.err
    script = Path(answer.out.split()[1]).read_text()
    assert "#SBATCH --nodes=2" in script and "#SBATCH --account=project" in script
    assert f"--ranks 4 --out {tmp_path}" in script and f"--into {tmp_path}/ours.yaml" in script
    assert Machine.from_json(hanse("machines", "show", "ours.yaml", "--json").out).id == "ours"
    asked = ("machines", "calibrate", "--machine", "ours.yaml", "--account", "project", "--nodes")
    assert json.loads(hanse(*asked, "3", "--json").out)["nodes"] == 3
    assert "can" in hanse(*asked, "0").err
    assert hanse(*asked, "9999").code == 2
    assert "lumi-g" in hanse("machines", "calibrate", "--machine", "lumi-g").err
    assert not (tmp_path / "lumi-g.yaml").exists()
    other = hanse("machines", "calibrate", "--machine", "lumi-g", "--account", "project", "--out", "ours.yaml")
    assert other.code == 2 and "describes JUPITER" in " ".join(other.err.split())


def test_doctor_ends_with_0_where_the_demo_can_run(hanse: Hanse) -> None:
    answer = hanse("doctor", "--json")
    facts = json.loads(answer.out)
    blocking = [check["name"] for check in facts["checks"] if check["state"] == "missing"]
    assert facts["demo_can_run"] is not bool(blocking)
    assert answer.code == (1 if blocking else 0)
    assert {"Python", "PyTorch", "Cores", "Memory", "HANSE_HOME", "Ports", "Slurm", "Service", "Agent"} <= {
        check["name"] for check in facts["checks"]
    }


def test_doctor_ends_with_1_and_says_what_to_do_where_the_demo_cannot_run(
    hanse: Hanse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    answer = hanse("doctor")
    assert answer.code == 1
    assert "HANSE_URL" in answer.out
    assert "cannot run here yet: Slurm" in answer.out


def test_the_demo_refuses_before_it_starts_anything_where_it_could_not_end(
    hanse: Hanse, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = checks.Check("PyTorch", "missing", "not installed", "Install it.")
    monkeypatch.setattr(journey, "examine", lambda: [lacking])
    answer = hanse("demo")
    assert answer.code == 1
    assert "PyTorch: not installed. Install it." in answer.err
    assert not own_home.exists()


def test_the_demo_does_not_play_on_somebody_elses_service(hanse: Hanse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANSE_URL", "https://hanse.example")
    monkeypatch.setenv("HANSE_TOKEN", "x")
    answer = hanse("demo")
    assert answer.code == 2
    assert "env -u HANSE_URL" in answer.err


def test_the_example_that_is_shipped_is_the_one_in_the_examples() -> None:
    shipped = ROOT / "src" / "hanse" / "cli" / "stdlib-lm" / "train.yaml"
    assert shipped.read_bytes() == (ROOT / "examples" / "stdlib-lm" / "train.yaml").read_bytes()


def test_outside_a_clone_the_demo_lays_its_example_into_the_folder_and_keeps_changes(tmp_path: Path) -> None:
    path = journey.example_spec()
    assert path == Path("stdlib-lm/train.yaml")
    assert path.read_text().startswith("# yaml-language-server: $schema=train.schema.json\n")
    assert json.loads(path.with_name("train.schema.json").read_text())["title"] == "Hanse train.yaml"
    (tmp_path / path).write_text("changed")
    assert journey.example_spec().read_text() == "changed"


def test_versions_are_told_without_importing_what_they_are_of(hanse: Hanse) -> None:
    versions = json.loads(hanse("version", "--json").out)
    assert versions["python"].startswith("3.")
    assert versions["hanse"]


def test_on_eighty_columns_no_id_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from rich.console import Console

    from hanse.cli import machine_views, views
    from hanse.client.summary import RunSummary
    from hanse.machines import catalogue
    from tests.reporting import records

    narrow = Console(file=io.StringIO(), width=80)
    narrow.print(machine_views.machines([catalogue.load(one) for one in catalogue.ids()]))
    runs = [
        RunSummary(
            id=run.id, name=run.name, state=run.state, step=run.step, steps=run.steps,
            used_accelerator_seconds=run.used_accelerator_seconds, machines=("local",), created_at=run.created_at,
        )
        for run in (made().run for made in records.ALL.values())
    ]  # fmt: skip
    narrow.print(views.runs(runs))
    shown = narrow.file.getvalue()  # type: ignore[attr-defined]
    for name in (*catalogue.ids(), *(run.id for run in runs)):
        assert name in shown
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
