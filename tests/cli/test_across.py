"""`across:` in train.yaml at the terminal: compared by `plan`, shown by --dry-run, refused in one message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hanse.cli import launching, launching_across
from hanse.cli.machine import resolve
from hanse.contracts.outer import OuterLeg, OuterTerms
from hanse.tickets import keys
from hanse.workloads.load import load_spec
from tests.cli.conftest import Hanse

SPEC = """\
name: across
purpose: Try it.
model: {preset: llama-3-8b}
data: [{name: stdlib, source: python-stdlib, licence: PSF-2.0}]
batch: 1024
tokens: 20B
across: {codec: int8, wait_s: 10m}
where: {machines: [leonardo-booster, lumi-g], max_gpu_hours: 20000, wall_time_s: 1d}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "train.yaml"
    found.write_text(SPEC)
    return found


def test_plan_compares_the_machines_that_train_yaml_names_with_the_terms_it_fixes(hanse: Hanse, path: Path) -> None:
    answer = hanse("plan", str(path), "--json")
    assert answer.code == 0, answer.err
    [apart] = [way for way in json.loads(answer.out)["ways"] if way["kind"] == "apart"]
    assert apart["terms"]["codec"] == "int8" and apart["machines"] == ["leonardo-booster", "lumi-g"]
    typed = json.loads(hanse("plan", str(path), "--codec", "bf16", "--inner-steps", "200", "--json").out)
    [apart] = [way for way in typed["ways"] if way["kind"] == "apart"]
    assert (apart["terms"]["codec"], apart["terms"]["inner_steps"]) == ("bf16", 200)


def test_json_and_pages_are_of_each_legs_own_plan(hanse: Hanse, path: Path) -> None:
    answer = hanse("plan", str(path), "--json", "--html", str(path.with_name("plan.html")))
    assert answer.code == 0, answer.err
    legs = {leg["machine"]: leg["plan"] for leg in json.loads(answer.out)["legs"]}
    assert [plan["workload"]["global_batch"] for plan in legs.values()] == [512, 512]
    for machine, name in (("leonardo-booster", "Leonardo"), ("lumi-g", "LUMI")):
        assert legs[machine]["machine"] == machine
        assert name in path.with_name(f"plan-{machine}.html").read_text()
        assert f"The page of the leg on {machine}" in answer.err
    assert not path.with_name("plan.html").exists()


@pytest.mark.torch
def test_each_leg_is_taken_through_a_step(hanse: Hanse, path: Path) -> None:
    small = "{shape: {layers: 2, hidden: 64, heads: 4, kv_heads: 2, ffn: 128, vocab: 512, context: 64}}"
    path.write_text(SPEC.replace("{preset: llama-3-8b}", small).replace("tokens: 20B", "tokens: 20M"))
    answer = hanse("plan", str(path), "--check", "--json")
    assert answer.code == 0, answer.err
    legs = json.loads(answer.out)["legs"]
    assert [leg["machine"] for leg in legs] == ["leonardo-booster", "lumi-g"]
    for leg in legs:
        assert leg["check"]["ranks_in_all"] > 1 and leg["check"]["ranks"][0]["parameters"] > 0


@pytest.mark.parametrize("option", ["--export=torchtitan", "--why-not=tp=2", "--all-machines", "--scaling=weak"])
def test_what_is_of_one_machine_is_refused_in_the_words_of_train_yaml(hanse: Hanse, path: Path, option: str) -> None:
    answer = hanse("plan", str(path), option)
    name = option.partition("=")[0]
    assert answer.code == 2 and "--across" not in answer.err
    assert f"train.yaml has across:, which plans a leg on each of its machines; {name} is of" in answer.err
    assert "--machine leonardo-booster" in answer.err
    typed = hanse("plan", str(path), option, "--across", "lumi-g,leonardo-booster")
    assert typed.code == 2 and f"--across answers another question than {name}" in typed.err


def test_a_dry_run_shows_the_job_of_every_leg(hanse: Hanse, path: Path) -> None:
    answer = hanse("launch", str(path), "--dry-run", "--json")
    assert answer.code == 0, answer.err
    facts = json.loads(answer.out)
    assert [leg["machine"] for leg in facts["legs"]] == ["leonardo-booster", "lumi-g"]
    shares = [leg["plan"]["workload"] for leg in facts["legs"]]
    assert [each["global_batch"] for each in shares] == [512, 512]
    tokens = sum(each["total_tokens"] for each in shares)
    assert 20e9 <= tokens < 20e9 * 1.1, "the legs' shares are the whole, in full rounds"
    assert facts["spec"]["across"]["wait_s"] == 600 and facts["spec"]["across"]["fragments"]
    shown = hanse("launch", str(path), "--dry-run", "--machine", "lumi-g")
    assert "The job for LUMI" in shown.out and "The job for Leonardo" not in shown.out
    assert "sequences a step" in shown.out and "Nothing was run" in shown.err


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("machines: [leonardo-booster, lumi-g]=machines: [lumi-g]", "two machines or more"),
        ("machines: [leonardo-booster, lumi-g]=machines: [lumi-g, lumi-g]", "each named once"),
        ("codec: int8=codec: int3", "codec"),
        ("wait_s: 10m=min_legs: 3", "min_legs is 3 of 2"),
        ("wait_s: 10m=inner_stepz: 3", "inner_stepz"),
    ],
)
def test_what_contradicts_itself_is_one_message(hanse: Hanse, path: Path, change: str, complaint: str) -> None:
    old, new = change.split("=", 1)
    path.write_text(SPEC.replace(old, new))
    answer = hanse("launch", str(path), "--dry-run")
    assert answer.code == 2 and complaint in answer.err and "Traceback" not in answer.err


def test_a_leg_that_is_none_and_an_option_for_one_place_are_refused(hanse: Hanse, path: Path) -> None:
    answer = hanse("launch", str(path), "--dry-run", "-m", "jupiter-booster")
    assert answer.code == 2 and "no leg on jupiter-booster" in answer.err
    with pytest.raises(Exception, match="--machine names one place"):
        launching_across.refuse_beside("lumi-g", None)


def test_smoke_exchanges_two_or_three_times_in_its_ten_steps(path: Path) -> None:
    short = launching.ten_steps(load_spec(path))
    assert short.across is not None and short.across.inner_steps == 5
    found = launching_across.weigh(short, path, [resolve(name) for name in short.where.machines])
    for _, plan, steps in found.plans:
        assert plan.steps in {2 * steps, 3 * steps}


def test_what_is_settled_is_what_legs_can_agree_on(path: Path) -> None:
    found = launching_across.weigh(load_spec(path), path, [resolve(n) for n in ("leonardo-booster", "lumi-g")])
    assert found.spec.across is not None
    legs = [
        OuterLeg(
            name=machine.id, public_key=keys.public_key_b64(bytes([place]) * 32), inner_steps=steps,
            batch=plan.layout.global_batch,
        )
        for place, (machine, plan, steps) in enumerate(found.plans)
    ]  # fmt: skip
    OuterTerms.model_validate({"run_id": "run-1", "legs": legs, **found.spec.across.given})
