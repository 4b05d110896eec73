"""A config.json means the model that transformers builds from it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hanse.contracts.errors import SpecError
from hanse.workloads import huggingface, shapes
from hanse.workloads.families import FAMILIES
from hanse.workloads.presets import PRESETS
from tests.workloads.configs import CONFIGS, PARAMETERS

WITHOUT_SHIFT = ("olmo-7b", "command-r", "modernbert-base")
"""Their layer norms have no shift, some no scale either; ours count both."""


@pytest.mark.parametrize("name", list(CONFIGS))
def test_a_configuration_has_the_parameters_its_own_class_has(name: str) -> None:
    shape = huggingface.shape(CONFIGS[name]).model_copy(update={"mtp_layers": 0})
    if name in WITHOUT_SHIFT:
        assert shapes.parameters(shape) == pytest.approx(PARAMETERS[name], rel=3e-4)
    else:
        assert shapes.parameters(shape) == PARAMETERS[name]


def test_every_family_is_tried() -> None:
    tried = {str(config["model_type"]) for config in CONFIGS.values()}
    # Named otherwise and read alike: the text part of gemma3, cohere's second, olmo2's successor.
    assert set(FAMILIES) - tried == {"gemma3_text", "cohere2", "olmo3"}


@pytest.mark.parametrize(
    "name",
    ["llama-3-8b", "qwen3-32b", "deepseek-v2", "bloom-176b", "apertus-8b", "gpt-neox-20b", "falcon-40b", "phi-2"],
)
def test_a_configuration_and_its_preset_are_one_shape(name: str) -> None:
    assert huggingface.shape(CONFIGS[name], context=PRESETS[name].context) == PRESETS[name]


@pytest.mark.parametrize("name", ["deepseek-v3", "mixtral-8x7b", "gpt-oss-120b", "qwen3-30b-a3b"])
def test_of_a_mixture_few_parameters_are_active(name: str) -> None:
    """As published: 37, 12.9, 5.1 (without the embedding) and 3.3 billion."""
    shape = huggingface.shape(CONFIGS[name]).model_copy(update={"mtp_layers": 0})
    published = {"deepseek-v3": 37e9, "mixtral-8x7b": 12.9e9, "gpt-oss-120b": 5.13e9, "qwen3-30b-a3b": 3.3e9}[name]
    active = shapes.active_parameters(shape)
    if name == "gpt-oss-120b":
        active -= shape.vocab * shape.hidden
    assert active == pytest.approx(published, rel=0.02)


def test_a_plain_llama_can_be_trained_and_anything_else_is_only_described() -> None:
    assert huggingface.shape(CONFIGS["llama-3-8b"]).family == "llama"
    assert huggingface.shape(CONFIGS["llama-3-8b"] | {"attention_bias": True}).family == "decoder"
    assert huggingface.shape(CONFIGS["llama-3-8b"] | {"head_dim": 64}).family == "decoder"
    assert huggingface.shape(CONFIGS["llama-3-8b"] | {"head_dim": 128}).family == "llama"
    assert huggingface.shape(CONFIGS["mistral-7b"]).window == 4096
    assert huggingface.shape(CONFIGS["mistral-7b"] | {"sliding_window": None}).family == "llama"


def test_a_file_is_read_and_its_context_overruled(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIGS["qwen2.5-7b"]))
    assert huggingface.shape(path).context == 4096
    assert huggingface.shape(path, context=512).context == 512


def test_windows_follow_the_layers_listed_one_by_one() -> None:
    gemma = huggingface.shape(CONFIGS["gemma3-27b"])
    assert (gemma.window, shapes.windowed_layers(gemma)) == (1024, 52)
    listed = ["sliding_attention"] * 3 + ["full_attention"]
    olmo = huggingface.shape(
        CONFIGS["olmo2-32b"] | {"model_type": "olmo3", "sliding_window": 4096, "layer_types": listed * 16}
    )
    assert (olmo.window, olmo.full_attention_every) == (4096, 4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "lama"}, ('the model_type "lama" is not known; did you mean "llama"?', "Known: apertus, bert")),
        ({"model_type": "mamba"}, ('"mamba" is not known', "model.shape")),
        ({"model_type": None}, ("does not say its model_type",)),
        ({"hidden_size": None}, ('the key "hidden_size" is missing, which a model of type llama needs',)),
        ({"num_hidden_layers": 0}, ("num_hidden_layers must be a whole number above 0, not 0",)),
        ({"num_hidden_layers": "32"}, ("num_hidden_layers must be a whole number above 0, not '32'",)),
        ({"num_attention_heads": 33}, ("hidden 4096 is not a multiple of heads 33",)),
        ({"num_key_value_heads": 3}, ("heads 32 is not a multiple of kv_heads 3",)),
    ],
)
def test_a_configuration_that_cannot_be_understood_is_told_once(change: dict[str, Any], said: tuple[str, ...]) -> None:
    with pytest.raises(SpecError) as caught:
        huggingface.shape(CONFIGS["llama-3-8b"] | change)
    for words in said:
        assert words in str(caught.value)
    assert "\n" not in caught.value.what
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("qwen3-30b-a3b", {"decoder_sparse_step": 2}),
        ("deepseek-v3", {"moe_layer_freq": 2}),
        ("opt-66b", {"word_embed_proj_dim": 512}),
        ("gpt-oss-20b", {"layer_types": ["linear_attention"]}),
        ("mixtral-8x7b", {"num_experts_per_tok": 9}),
    ],
)
def test_a_structure_no_shape_describes_is_refused_and_not_guessed(name: str, change: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        huggingface.shape(CONFIGS[name] | change)


@pytest.mark.parametrize(("text", "said"), [("[1]", "no object"), ("{", "no JSON"), ("{}", "does not say")])
def test_a_file_that_is_no_configuration_is_told_as_such(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(SpecError, match=said):
        huggingface.shape(path)
    with pytest.raises(SpecError, match="no such file"):
        huggingface.shape(tmp_path / "none.json")


def test_neither_transformers_nor_torch_is_needed() -> None:
    code = (
        "import sys; from hanse.workloads import huggingface; assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
