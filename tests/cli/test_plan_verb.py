"""`hanse plan` asked for more than a plan: other objectives, dates, layouts, machines, tables, and without a file."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from hanse.workloads.presets import PRESETS
from tests.cli.conftest import Hanse
from tests.cli.test_errors import GOOD

ON_LEONARDO = ("--machine", "leonardo-booster")
LLAMA = ("plan", "--preset", "llama-3-8b", "--batch", "1024", "--tokens", "100B", *ON_LEONARDO)
MIXTURE = GOOD.replace(
    "shape: {layers: 2, hidden: 64, heads: 4, kv_heads: 2, ffn: 128, vocab: 512, context: 64}", "preset: deepseek-v3"
)


def facts(hanse: Hanse, *arguments: str) -> dict:
    answer = hanse(*arguments, "--json")
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def hours(plan: dict) -> float:
    return plan["accelerator_seconds"] / 3600


def test_objectives_choose_the_soonest_or_the_cheapest(hanse: Hanse) -> None:
    soonest = facts(hanse, *LLAMA, "--objective", "time")
    cheapest = facts(hanse, *LLAMA, "--objective", "gpu-hours")
    frugal = facts(hanse, *LLAMA, "--objective", "energy")
    assert soonest["wall_time_s"]["expected"] < cheapest["wall_time_s"]["expected"]
    assert hours(cheapest) <= hours(soonest)
    assert frugal["layout"] == cheapest["layout"]  # on one machine a node-hour takes what a node-hour takes


def test_a_date_is_kept(hanse: Hanse) -> None:
    plan = facts(hanse, *LLAMA, "--finish-by", "5d")
    assert plan["wall_time_s"]["expected"] <= 5 * 86400
    late = hanse(*LLAMA, "--finish-by", "1h")
    assert late.code == 1
    assert "no layout finishes by the date" in late.err.lower()


def test_without_a_date_a_model_of_no_file_is_planned_within_a_quarter(hanse: Hanse) -> None:
    answer = hanse(*LLAMA)
    assert answer.code == 0
    assert "90 days" in answer.err
    assert "What would change it" in answer.out
    assert "of lumi-g" in answer.out


def test_why_not_names_the_parts_where_it_loses_and_what_stands_against_it(hanse: Hanse) -> None:
    answer = hanse(*LLAMA, "--nodes", "16", "--why-not", "tp=8,pp=4,zero=1")
    assert answer.code == 0
    assert "splitting matrices (tp)" in answer.out
    assert "memory a rank" in answer.out
    assert "What stands against it" in answer.out and "not as zero 1" in answer.out
    whole = hanse(*LLAMA, "--nodes", "16", "--why-not", "tp=8,pp=4,zero=1", "--whole-space")
    assert "not as zero 1" not in whole.out


def test_why_not_of_what_cannot_be_says_how_many_nodes_it_takes(hanse: Hanse) -> None:
    answer = hanse(*LLAMA, "--nodes", "4", "--why-not", "tp=8,pp=4")
    assert answer.code == 2
    assert "nodes=8" in answer.err
    assert "cp" not in answer.err  # nobody asked for it
    assert hanse(*LLAMA, "--nodes", "4", "--why-not", "tq=8").code == 2


def test_all_machines_are_told_with_what_nothing_beats_and_what_is_left_out(hanse: Hanse) -> None:
    answer = hanse(*LLAMA, "--all-machines")
    assert answer.code == 0
    assert "■" in answer.out and "lumi-g" in answer.out
    assert "Left out" in answer.out
    found = facts(hanse, *LLAMA, "--all-machines")
    assert found.keys() == {"plan", "options", "left_out"}
    told = {one["machine"] for one in found["options"]}
    assert "leonardo-booster" in told and not told & found["left_out"].keys()


def test_the_machine_may_be_left_to_the_planner(hanse: Hanse) -> None:
    without = (*LLAMA[:-2], "--all-machines")
    found = facts(hanse, *without)
    cheapest = min(found["options"], key=lambda one: one["accelerator_seconds"])
    assert found["plan"]["machine"] == cheapest["machine"]


@pytest.mark.parametrize("kind", ["strong", "weak"])
def test_a_scaling_table_is_ready_to_be_pasted(kind: str, hanse: Hanse, tmp_path: Path) -> None:
    shown = hanse(*LLAMA, "--scaling", kind)
    assert f"{kind.capitalize()} scaling on leonardo-booster" in shown.out
    pasted = hanse(*LLAMA, "--scaling", kind, "--format", "markdown")
    assert pasted.out.splitlines()[2].startswith("| Nodes |")
    written = hanse(*LLAMA, "--scaling", kind, "--format", "csv", "-o", "table.csv")
    assert (written.code, written.out) == (0, "")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text())))
    assert len(rows) == len(facts(hanse, *LLAMA, "--scaling", kind)["scaling"]["rows"])


def test_the_page_holds_what_was_asked(hanse: Hanse, tmp_path: Path) -> None:
    asked = ("--all-machines", "--scaling", "strong", "--html", "plan.html", "--why-not", "fsdp=64", "--nodes", "16")
    found = facts(hanse, *LLAMA, *asked)
    assert found.keys() == {"plan", "options", "left_out", "scaling", "comparison"}
    page = (tmp_path / "plan.html").read_text()
    assert "Other machines and sizes" in page and "Strong scaling" in page


def test_a_config_json_and_a_traced_workload_are_planned_without_a_file(hanse: Hanse, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(
        json.dumps(
            {
                "model_type": "llama", "hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8,
                "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 32000,
                "max_position_embeddings": 4096, "tie_word_embeddings": False,
            }
        )
    )  # fmt: skip
    given = ("--batch", "512", "--tokens", "10B", *ON_LEONARDO)
    of_config = facts(hanse, "plan", "--config", "tiny/config.json", "--context", "2048", *given)
    assert of_config["workload"]["name"] == "tiny"
    assert of_config["workload"]["context"] == 2048
    (tmp_path / "traced.json").write_text(json.dumps(of_config["workload"]))
    again = facts(hanse, "plan", "--workload", "traced.json", *ON_LEONARDO)
    assert again["layout"] == of_config["layout"]
    larger = facts(hanse, "plan", "--workload", "traced.json", "--batch", "1024", *ON_LEONARDO)
    assert larger["workload"]["global_batch"] == 1024


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--preset", "llama-3-8b"], "--batch and --tokens and --machine are missing"),
        (["--preset", "llama-3-8b", "--batch", "8", *ON_LEONARDO], "--tokens is missing"),
        (["--preset", "llama-3-8b", "--batch", "8", "--tokens", "1B"], "--machine is missing"),
        (["--preset", "llama-3-8", "--batch", "8", "--tokens", "1B", *ON_LEONARDO], 'did you mean "llama-3-8b"'),
        (["--preset", "llama-3-8b", "--batch", "-8", "--tokens", "1B", *ON_LEONARDO], '--batch "-8"'),
        (["--preset", "llama-3-8b", "--config", "x.json"], "each name a model"),
        (["--config", "x.json", "--batch", "8", "--tokens", "1B", *ON_LEONARDO], "no such file"),
        (["--preset", "llama-3-8b", "--batch", "8", "--tokens", "1B", "-m", "lumix"], "Did you mean lumi-g"),
        (["--preset", "bloom-176b", "--batch", "8", "--tokens", "1B", "--precision", "fp4", *ON_LEONARDO], "fp4"),
        (["--batch", "8"], "train.yaml says its own"),
        (["train.yaml", "--preset", "llama-3-8b"], "each name a training"),
        (["--objective", "tim"], 'did you mean "time"'),
        (["--finish-by", "2020-01-01"], "has passed"),
        (["--scaling", "up"], "Known: strong, weak"),
        (["--format", "csv"], "Add --scaling"),
        (["--scaling", "strong", "--format", "xlsx"], "Known: markdown, csv"),
        ([], "no train.yaml here"),
    ],
)
def test_what_is_missing_or_wrong_gets_one_message(typed: list[str], said: str, hanse: Hanse) -> None:
    answer = hanse("plan", *typed)
    assert answer.code == 2, answer.out
    assert said in answer.err
    assert answer.err.count("Error:") == 1


def test_a_model_that_fits_only_in_other_ways_says_which_option_opens_them(hanse: Hanse) -> None:
    answer = hanse("plan", "--preset", "llama-3-70b", "--batch", "1024", "--tokens", "2T", *ON_LEONARDO, "-n", "16")
    assert answer.code == 1
    assert "--whole-space" in answer.err


@pytest.mark.parametrize("how", [[], ["--dry-run"], ["--smoke"]])
def test_what_the_trainer_cannot_build_is_refused_before_anything_is_queued(
    how: list[str], hanse: Hanse, tmp_path: Path
) -> None:
    assert "deepseek-v3" in PRESETS
    (tmp_path / "train.yaml").write_text(MIXTURE)
    answer = hanse("launch", *how)
    assert answer.code == 2
    assert "experts" in answer.err and answer.err.count("Error:") == 1
    assert not (tmp_path / "home").exists()  # nothing was started to find out


@pytest.mark.parametrize("tool", ["megatron", "torchtitan"])
def test_a_tool_that_cannot_be_told_the_best_layout_gets_the_best_it_can_be_told(tool: str, hanse: Hanse) -> None:
    asked = ("--batch", "1024", "--tokens", "2T", "--machine", "marenostrum5-acc", "--nodes", "96", "--whole-space")
    answer = hanse("plan", "--preset", "llama-3-70b", *asked, "--export", tool)
    assert answer.code == 0, answer.err
    assert "cannot be told" in answer.err and "longer" in answer.err
    assert "llama-3-70b on marenostrum5-acc: 96 nodes" in answer.out


def test_another_trainer_is_planned_for_with_its_own_memory_and_kernels(hanse: Hanse) -> None:
    ours = facts(hanse, *LLAMA, "--nodes", "16", "--whole-space")
    theirs = facts(hanse, *LLAMA, "--nodes", "16", "--software", "megatron-core")
    assert (ours["workload"]["software"], theirs["workload"]["software"]) == ("hanse", "megatron-core")
    assert theirs["step_time"]["total_s"]["expected"] < ours["step_time"]["total_s"]["expected"]
    wrong = hanse(*LLAMA, "--software", "megatron-cor")
    assert wrong.code == 2 and "megatron-core" in wrong.err


ACROSS = (*LLAMA[:-2], "--nodes", "32", "--across", "leonardo-booster,lumi-g")


def test_one_machine_is_compared_with_several_on_one_screen_and_as_json(hanse: Hanse) -> None:
    shown = hanse(*ACROSS)
    assert shown.code == 0, shown.err
    assert "Apart, few exchanges" in shown.out and "arXiv:2503.09799" in shown.out and "an estimate" in shown.out
    assert len(shown.out.splitlines()) <= 50
    found = facts(hanse, *ACROSS, "--link", "10", "--inner-steps", "50", "--codec", "int8")
    apart = found["ways"][2]
    assert [each["kind"] for each in found["ways"]] == ["one machine", "one machine", "apart", "together"]
    assert (apart["terms"]["inner_steps"], apart["terms"]["codec"]) == (50, "int8")
    assert found["link"]["known"] and apart["arithmetic"]


def test_a_date_that_no_machine_alone_can_keep_is_kept_by_two(hanse: Hanse) -> None:
    walls = [each["wall_time_s"]["expected"] for each in facts(hanse, *ACROSS, "--link", "100")["ways"]]
    between_s = round((min(walls[:2]) + walls[2]) / 2)
    found = facts(hanse, *ACROSS, "--link", "100", "--finish-by", f"{between_s}s")
    assert found["ways"][found["best"]]["kind"] == "apart"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--across", "lumi-g"], "two machines or more"),
        (["--across", "lumi-g,lumi-g"], "named twice"),
        (["--across", "lumi-g,leonardo", "--codec", "int5"], "Known: fp32"),
        (["--across", "lumi-g,leonardo", "--link", "0"], "above 0"),
        (["--across", "lumi-g,leonardo", "--scaling", "strong"], "--scaling"),
        (["--link", "10", "--machine", "lumi-g"], "--across"),
    ],
)
def test_what_is_wrong_about_several_machines_gets_one_message(typed: list[str], said: str, hanse: Hanse) -> None:
    answer = hanse(*LLAMA[:-2], "--nodes", "32", *typed)
    assert answer.code == 2
    assert said in answer.err and answer.err.count("Error:") == 1
