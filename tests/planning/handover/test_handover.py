"""A plan handed to another program says in its words what was planned, and nothing that program has no word for.

`names.yaml` holds the names each tool's parser knows; where Accelerate is installed its own parser reads the file.
"""

from __future__ import annotations

import json
import subprocess
import tomllib
from itertools import product
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.errors import UsageError
from hanse.contracts.layout import Layout
from hanse.contracts.plan import Plan
from hanse.contracts.spec import TrainSpec
from hanse.contracts.workload import ModelShape
from hanse.planning.handover import TOOLS, Handover
from hanse.workloads.load import parse_spec
from tests.planning import plans

NAMES = yaml.safe_load(Path(__file__).with_name("names.yaml").read_text())
SHAPES = {"8b": plans.LLAMA_8B, "70b": plans.LLAMA_70B, "deepseek-v3": plans.DEEPSEEK_V3}
DEGREES = [
    {"fsdp": 16}, {"fsdp": 16, "zero": 2}, {"fsdp": 16, "zero": 1}, {"dp": 16}, {"dp": 4, "fsdp": 4},
    {"fsdp": 8, "tp": 4}, {"fsdp": 4, "zero": 1, "tp": 4, "pp": 2}, {"dp": 2, "fsdp": 4, "zero": 1, "pp": 4},
    {"fsdp": 4, "tp": 2, "pp": 2, "cp": 2}, {"dp": 8, "pp": 4}, {"fsdp": 32, "zero": 1, "ep": 8},
    {"fsdp": 8, "pp": 4, "ep": 8},
]  # fmt: skip
PIPELINES = [{"pipeline": "1f1b"}, {"pipeline": "interleaved", "chunks": 2}, {"pipeline": "zero-bubble"}]


def layouts() -> list[Layout]:
    found = []
    for degrees, schedule, recompute, offload in product(
        DEGREES, PIPELINES, ("none", "selective", "full"), (False, True)
    ):
        if degrees.get("pp", 1) == 1 and schedule["pipeline"] != "1f1b":
            continue
        plain = Layout(**degrees, **schedule, recompute=recompute, offload=offload, micro_batch=2, accumulate=8)
        found.append(plain.model_copy(update={"nodes": plain.world_size // 4}))
    return found


any_plan = st.builds(
    lambda layout, shape: plans.plan(layout, shape=shape),
    st.sampled_from(layouts()),
    st.sampled_from([*SHAPES.values()]),
)


def handed(tool: str, plan: Plan) -> Handover | None:
    """None where the tool refuses, with a message that says what it cannot and what to do."""
    try:
        return TOOLS[tool](plan)
    except UsageError as error:
        assert error.exit_code == 2
        assert error.what.endswith(".") and error.fix and "layout" in error.where
        return None


def arguments(text: str, tmp_path: Path) -> dict[str, str | None]:
    """The array as bash reads it; None for a bare flag."""
    path = tmp_path / "megatron.sh"
    path.write_text(text)
    line = f'source {path}; printf "%s\\n" "${{HANSE_LAYOUT[@]}}"'
    done = subprocess.run(["bash", "-euc", line], capture_output=True, text=True, check=True)
    found: dict[str, str | None] = {}
    name = ""
    for word in done.stdout.splitlines():
        if word.startswith("--"):
            name = word.removeprefix("--")
            assert name not in found
            found[name] = None
        else:
            found[name] = word
    return found


@given(any_plan)
def test_torchtitan_gets_degrees_that_make_the_world_and_a_batch_that_makes_the_step(plan: Plan) -> None:
    if (made := handed("torchtitan", plan)) is None:
        return
    tables = tomllib.loads(made.text)
    quantize = tables.pop("quantize", None)
    assert quantize is None
    for name, table in tables.items():
        assert set(table) <= set(NAMES["torchtitan"][name]), name
    layout, degrees, training = plan.layout, tables["parallelism"], tables["training"]
    world = 1
    for name in (
        "data_parallel_replicate",
        "data_parallel_shard",
        "tensor_parallel",
        "pipeline_parallel",
        "context_parallel",
    ):
        world *= degrees[f"{name}_degree"]
    assert world == layout.world_size
    steps = training["global_batch_size"] // (training["local_batch_size"] * layout.dp * layout.fsdp)
    if layout.pp == 1:
        assert (training["local_batch_size"], steps) == (layout.micro_batch, layout.accumulate)
        return
    assert steps == 1
    assert training["local_batch_size"] // degrees["pipeline_parallel_microbatch_size"] == layout.accumulate
    assert degrees["pipeline_parallel_schedule"] in NAMES["torchtitan"]["schedules"]
    held = [module for part in degrees["module_fqns_per_model_part"] for module in part]
    assert plan.workload.shape is not None
    layers = [f"layers.{layer}" for layer in range(plan.workload.shape.layers)]
    assert held == ["tok_embeddings", *layers, "norm", "output"]
    assert len(degrees["module_fqns_per_model_part"]) % layout.pp == 0


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("layout", layouts()[::5], ids=Layout.describe)
def test_megatron_gets_names_it_knows_and_the_dimensions_of_the_model(
    name: str, layout: Layout, tmp_path: Path
) -> None:
    plan = plans.plan(layout, shape=SHAPES[name])
    if (made := handed("megatron", plan)) is None:
        return
    found = arguments(made.text, tmp_path)
    bare = {key for key, value in found.items() if value is None}
    assert bare <= set(NAMES["megatron"]["flags"])
    assert set(found) - bare <= set(NAMES["megatron"]["valued"])
    assert found["num-layers"] == str(SHAPES[name].layers)
    assert found["global-batch-size"] == str(layout.global_batch)
    assert ("sequence-parallel" in found) == (layout.tp > 1)
    drawn = found.get("pipeline-model-parallel-layout")
    if drawn:
        assert drawn.count("t") == SHAPES[name].layers
        assert len(drawn.split("|")) == layout.pp * layout.chunks


@given(any_plan)
def test_deepspeed_gets_keys_it_knows_and_a_batch_that_adds_up(plan: Plan) -> None:
    if (made := handed("deepspeed", plan)) is None:
        return
    config, names, layout = json.loads(made.text), NAMES["deepspeed"], plan.layout
    assert set(config) <= set(names["top"])
    for key in ("zero_optimization", "activation_checkpointing", "tensor_parallel", "expert_parallel", "pipeline"):
        assert set(config.get(key, {})) <= set(names[key])
    # Its own rule: the whole batch is micro-batch × accumulation × data-parallel ranks.
    ranks = layout.world_size // (layout.tp * layout.pp)
    product_ = config["train_micro_batch_size_per_gpu"] * config["gradient_accumulation_steps"] * ranks
    assert config["train_batch_size"] == product_
    assert config["zero_optimization"]["stage"] == (layout.zero if layout.fsdp > 1 else 0)
    assert ("offload_optimizer" in config["zero_optimization"]) == layout.offload


@given(any_plan)
def test_accelerate_gets_keys_it_knows_and_sizes_that_make_the_world(plan: Plan) -> None:
    if (made := handed("accelerate", plan)) is None:
        return
    config, names, layout = yaml.safe_load(made.text), NAMES["accelerate"], plan.layout
    assert set(config) <= set(names["top"])
    assert config["distributed_type"] in names["distributed_type"]
    assert config["num_processes"] == layout.world_size
    for key in ("fsdp_config", "parallelism_config"):
        assert set(config.get(key, {})) <= set(names[key])
    if layout.fsdp > 1:
        sizes = config["parallelism_config"].values()
        world = 1
        for size in sizes:
            world *= size
        assert world == layout.world_size
        assert config["fsdp_config"]["fsdp_version"] == 2


@pytest.mark.parametrize("layout", layouts()[::3], ids=Layout.describe)
def test_accelerates_own_parser_reads_the_file_as_it_was_meant(layout: Layout, tmp_path: Path) -> None:
    launch = pytest.importorskip("accelerate.commands.launch")
    if (made := handed("accelerate", plans.plan(layout))) is None:
        return
    path = tmp_path / made.file_name
    path.write_text(made.text)
    typed = ["--config_file", str(path), "--main_process_ip", "first", "--main_process_port", "29500", "train.py"]
    read, _, _ = launch._validate_launch_command(launch.launch_command_parser().parse_args(typed))
    assert (read.num_processes, read.num_machines) == (layout.world_size, layout.nodes)
    assert read.mixed_precision == "bf16"
    assert read.use_fsdp == (layout.fsdp > 1)
    if read.use_fsdp:
        assert int(read.fsdp_version) == 2
        assert (read.parallelism_config_dp_replicate_size, read.parallelism_config_dp_shard_size) == (
            layout.dp, layout.fsdp,
        )  # fmt: skip


def test_hanses_own_layout_goes_into_train_yaml_as_it_stands(tmp_path: Path) -> None:
    plan = plans.plan(plans.SMALL, shape=plans.LLAMA_8B)
    spec = (
        "name: x\nmodel: {preset: llama-3-8b}\ndata: [{name: d, source: d.txt, licence: MIT}]\nbatch: 1024\n"
        "tokens: 1B\nwhere: {max_gpu_hours: 1}\n"
    )
    read: TrainSpec = parse_spec(spec + TOOLS["hanse"](plan).text, folder=tmp_path, check_files=False)
    assert read.layout == plan.layout


@pytest.mark.parametrize(
    ("tool", "layout", "said"),
    [
        ("accelerate", {"fsdp": 4, "pp": 4}, "pipeline"),
        ("accelerate", {"fsdp": 16, "offload": True}, "offload"),
        ("deepspeed", {"fsdp": 4, "zero": 3, "pp": 4}, "zero 3 with a pipeline"),
        ("deepspeed", {"dp": 4, "fsdp": 4}, "dp beside fsdp"),
        ("torchtitan", {"fsdp": 16, "zero": 1}, "zero 1"),
        ("megatron", {"fsdp": 4, "pp": 4, "pipeline": "zero-bubble"}, "zero-bubble"),
        ("hanse", {"fsdp": 16, "zero": 1}, "not as zero 1"),
    ],
)
def test_what_a_tool_has_no_word_for_is_refused_with_what_to_do(
    tool: str, layout: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        TOOLS[tool](plans.plan(Layout.model_validate({"nodes": 4} | layout)))
    assert caught.value.fix


def test_uneven_stages_reach_the_tools_that_can_have_them(tmp_path: Path) -> None:
    layout = Layout(nodes=4, fsdp=4, zero=1, pp=4, stages=(21, 20, 20, 19), accumulate=8)
    assert arguments(TOOLS["megatron"](plans.plan(layout)).text, tmp_path)[
        "pipeline-model-parallel-layout"
    ] == "|".join(("E" + "t" * 21, "t" * 20, "t" * 20, "t" * 19 + "L"))
    titan = tomllib.loads(TOOLS["torchtitan"](plans.plan(layout.model_copy(update={"zero": 3}))).text)
    parts = titan["parallelism"]["module_fqns_per_model_part"]
    assert [sum(name.startswith("layers.") for name in part) for part in parts] == [21, 20, 20, 19]


def test_a_module_known_by_its_size_only_is_not_built_by_others() -> None:
    plan = plans.plan(plans.SMALL)
    unknown = plan.model_copy(update={"workload": plan.workload.model_copy(update={"shape": None})})
    for tool in ("torchtitan", "megatron"):
        with pytest.raises(UsageError, match="size only"):
            TOOLS[tool](unknown)
    assert json.loads(TOOLS["deepspeed"](plans.plan(Layout(nodes=4, fsdp=16))).text)


def test_a_flavor_is_named_only_for_the_very_model() -> None:
    shipped = tomllib.loads(TOOLS["torchtitan"](plans.plan(plans.SMALL, shape=plans.LLAMA_8B)).text)
    assert shipped["model"]["flavor"] == "8B"
    like: ModelShape = plans.LLAMA_8B.model_copy(update={"ffn": 11008})
    other = TOOLS["torchtitan"](plans.plan(plans.SMALL, shape=like))
    assert tomllib.loads(other.text)["model"]["flavor"] == "a-model"
    assert "register the flavor a-model" in " ".join(other.notes)
