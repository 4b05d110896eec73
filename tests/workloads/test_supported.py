"""What the trainer cannot carry out is said before anything is queued, in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hanse.contracts.spec import CommandSpec, ModelSpec, TrainSpec, WhereSpec
from hanse.workloads.load import parse_spec
from hanse.workloads.presets import PRESETS
from hanse.workloads.supported import refusal, shape_refusal
from tests.workloads.specs import WHOLE


def spec(tmp_path: Path, **changes: Any) -> TrainSpec:
    return parse_spec(WHOLE, folder=tmp_path).model_copy(update=changes)


def test_a_llama_a_mixture_a_module_and_a_command_are_taken(tmp_path: Path) -> None:
    assert refusal(spec(tmp_path)) is None
    assert refusal(spec(tmp_path, model=ModelSpec(preset="llama-3-8b", context=512))) is None
    assert refusal(spec(tmp_path, model=ModelSpec(preset="mixtral-8x7b"))) is None
    assert refusal(spec(tmp_path, model=ModelSpec(entry="a:b", vocab=300, context=8))) is None
    assert refusal(TrainSpec(name="a", command=CommandSpec(run="true"), where=WhereSpec(max_gpu_hours=1))) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": ModelSpec(preset="deepseek-v3")}, "experts and latent attention and a head size of its own"),
        (
            {"model": ModelSpec(preset="bert-base")},
            "not an encoder with a plain feed-forward and layer norm and biases",
        ),
        ({"model": ModelSpec(preset="vit-b-16")}, "not a vision transformer"),
        ({"training": "lora"}, "lora begins from weights"),
        ({"training": "finetuning"}, "finetuning begins from weights"),
        ({"precision": "fp8"}, "no fp8"),
    ],
)
def test_anything_else_can_be_planned_and_is_refused_in_one_sentence(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    because = refusal(spec(tmp_path, **changes))
    assert because is not None
    assert said in because
    assert because.count(". ") == 0


def test_every_preset_is_either_a_llama_or_mixtral_or_says_why_not() -> None:
    for name, shape in PRESETS.items():
        assert (shape_refusal(shape) is None) == (shape.family == "llama" or name.startswith("mixtral")), name
