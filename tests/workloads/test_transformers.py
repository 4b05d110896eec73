"""Counts of transformers that are no Llama: laws that hold for all of them, and cases counted by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hanse.contracts.spec import ModelSpec, TrainSpec, WhereSpec
from hanse.contracts.workload import Experts, LatentAttention, Lora, ModelShape, Training
from hanse.workloads import parts, shapes
from hanse.workloads.presets import PRESETS
from tests.workloads import specs

many = settings(max_examples=150, deadline=None)


def larger(shape: ModelShape, name: str) -> ModelShape:
    """The shape with one dimension grown, validated as any other."""
    grown: dict[str, Any] = shape.model_dump()
    if name == "heads":
        # Their size stays: more heads are more of everything.
        grown |= {"heads": shape.heads * 2, "kv_heads": shape.kv_heads * 2, "head_size": shape.head_dim}
        grown["family"] = "decoder" if shape.family == "llama" else shape.family
    elif name == "hidden":
        grown["hidden"] = shape.hidden + 2 * shape.heads
    else:
        grown[name] = getattr(shape, name) + 1
    return ModelShape.model_validate(grown)


@many
@given(
    shape=specs.transformers(),
    name=st.sampled_from(["layers", "hidden", "heads", "ffn", "vocab", "context", "mtp_layers", "layer_norms"]),
)
def test_parameters_and_flops_never_fall_when_a_dimension_grows(shape: ModelShape, name: str) -> None:
    assume(name not in ("mtp_layers", "layer_norms") or shape.family != "llama")
    grown = larger(shape, name)
    assert shapes.parameters(grown) >= shapes.parameters(shape)
    assert shapes.active_parameters(grown) >= shapes.active_parameters(shape)
    if name not in ("context", "layers"):  # more tokens share a vit's head, and the windows fall on other layers
        assert shapes.flops_per_token(grown) >= shapes.flops_per_token(shape)


@many
@given(shape=specs.mixtures(), field=st.sampled_from(["count", "active", "ffn", "shared_ffn"]))
def test_more_or_wider_experts_are_more_parameters(shape: ModelShape, field: str) -> None:
    assert shape.experts is not None
    values = shape.experts.model_dump()
    values[field] += 1
    values["count"] = max(values["count"], values["active"])
    grown = shape.model_copy(update={"experts": Experts(**values)})
    assert shapes.parameters(grown) >= shapes.parameters(shape)
    assert shapes.active_parameters(grown) > shapes.active_parameters(shape)


@many
@given(shape=specs.transformers())
def test_a_token_costs_at_least_six_flops_for_each_weight_it_is_multiplied_with(shape: ModelShape) -> None:
    """Active parameters less those that are looked up, added or scaled: embedding, positions, biases, norms."""
    assert shapes.active_parameters(shape) <= shapes.parameters(shape)
    dense = sum(each.weights for each in parts.products(shape, 1.0, dense=True))
    routed = shapes.layer_matmul_parameters(shape)
    if shape.experts is not None:
        idle = shape.model_copy(update={"biases": "none"})
        routed -= parts.idle_parameters(idle)
    weights = parts.dense_blocks(shape) * dense + parts.expert_blocks(shape) * routed
    head = 0 if shape.family == "vit" else shape.vocab * shape.hidden
    assert shapes.flops_per_token(shape) >= 6 * (weights + head) * (1 - 1e-9)
    assert weights <= shapes.active_parameters(shape)


@many
@given(shape=specs.transformers(), tokens=st.integers(1, 10_000))
def test_the_products_of_a_block_cost_what_its_parts_say(shape: ModelShape, tokens: int) -> None:
    told_apart = sum(each.flops for each in parts.products(shape, tokens))
    assert sum(2 * m * k * n for m, k, n in shapes.block_products(shape, tokens)) == pytest.approx(told_apart)


@many
@given(shape=specs.transformers(), window=st.integers(1, 40_000))
def test_a_window_never_costs_more_than_seeing_all_and_all_of_it_costs_the_same(shape: ModelShape, window: int) -> None:
    assume(shape.family != "llama")
    everything = shape.model_copy(update={"window": None, "full_attention_every": None})
    narrow = everything.model_copy(update={"window": window})
    assert shapes.attention_flops_per_token(narrow) <= shapes.attention_flops_per_token(everything)
    wide = everything.model_copy(update={"window": shape.context})
    assert shapes.attention_flops_per_token(wide) == pytest.approx(shapes.attention_flops_per_token(everything))


def test_an_encoder_sees_twice_what_a_decoder_sees() -> None:
    decoder = PRESETS["gpt2-small"]
    encoder = decoder.model_copy(update={"family": "encoder"})
    assert shapes.attention_flops_per_token(encoder) == 2 * shapes.attention_flops_per_token(decoder)


def test_keys_in_a_window_are_counted_one_by_one() -> None:
    shape = ModelShape(
        family="decoder", layers=4, hidden=8, heads=2, kv_heads=2, ffn=8, vocab=32, context=1000, window=100,
        full_attention_every=4,
    )  # fmt: skip
    seen = sum(min(position + 0.5, 100) for position in range(1000)) / 1000  # a token sees half of itself by half
    assert shapes.attended_keys(shape, windowed=True) == pytest.approx(seen, rel=1e-3)
    assert shapes.attended_keys(shape, windowed=False) == 500
    assert shapes.windowed_layers(shape) == 3


def test_latent_attention_is_counted_by_hand() -> None:
    shape = ModelShape(
        family="decoder", layers=1, hidden=64, heads=4, kv_heads=4, ffn=32, vocab=100, context=16, head_size=24,
        latent=LatentAttention(q_rank=12, kv_rank=8, nope_dim=16, rope_dim=8, v_dim=20),
    )  # fmt: skip
    queries = 64 * 12 + 12 * 4 * 24
    keys_and_values = 64 * (8 + 8) + 8 * 4 * (16 + 20)
    out = 4 * 20 * 64
    norms = 12 + 8 + 2 * 64
    assert shapes.layer_parameters(shape) == queries + keys_and_values + out + 3 * 64 * 32 + norms
    assert shapes.attention_flops_per_token(shape) == 2 * 8 * 4 * (24 + 20)


def test_a_mixture_is_counted_by_hand() -> None:
    shape = ModelShape(
        family="decoder", layers=3, hidden=8, heads=2, kv_heads=1, ffn=16, vocab=32, context=4,
        experts=Experts(count=6, active=2, ffn=5, shared_ffn=7, dense_layers=1), mtp_layers=1,
    )  # fmt: skip
    attention = 8 * 8 + 2 * 8 * 4 + 8 * 8 + 2 * 8
    mixture = attention + 8 * 6 + 6 * 3 * 8 * 5 + 3 * 8 * 7
    dense = attention + 3 * 8 * 16
    ahead = mixture + 2 * 8 * 8 + 3 * 8
    assert shapes.parameters(shape) == dense + 2 * mixture + ahead + 32 * 8 + 8
    assert shapes.active_parameters(shape) == shapes.parameters(shape) - 3 * 4 * 3 * 8 * 5


def spec_of(preset: str, training: Training, lora: Lora | None = None) -> TrainSpec:
    return TrainSpec.model_construct(
        name="a", model=ModelSpec(preset=preset), training=training, lora=lora, batch=8, tokens=10**9,
        precision="bf16", where=WhereSpec(max_gpu_hours=1),
    )  # fmt: skip


def test_a_workload_names_what_is_active_and_what_is_trained() -> None:
    mixture = shapes.workload_of(spec_of("mixtral-8x7b", "pretraining"))
    assert mixture.active_parameters is not None
    assert mixture.active_parameters < 0.3 * mixture.parameters
    assert mixture.trainable_parameters is None
    dense = shapes.workload_of(spec_of("llama-3-8b", "finetuning"))
    assert (dense.training, dense.active_parameters, dense.trainable) == ("finetuning", None, dense.parameters)


def test_lora_trains_its_adapters_and_spares_a_third() -> None:
    """Rank 16 on every product of Llama-3 8B: 41,943,040 parameters, as PEFT counts them."""
    whole = shapes.workload_of(spec_of("llama-3-8b", "pretraining"))
    adapted = shapes.workload_of(spec_of("llama-3-8b", "lora"))
    assert adapted.trainable_parameters == 41_943_040
    assert adapted.parameters == whole.parameters + 41_943_040
    # Of products a third; attention over 8,192 tokens goes back in full, and the adapters come on top.
    assert 2 / 3 < adapted.flops_per_token / whole.flops_per_token < 0.72
    attention = shapes.workload_of(spec_of("llama-3-8b", "lora", Lora(rank=8, targets="attention")))
    assert attention.trainable_parameters == 32 * 8 * (2 * (4096 + 4096) + 2 * (4096 + 1024))


def test_lora_of_a_mixture_adapts_every_expert_and_a_token_passes_few_of_them() -> None:
    adapted = shapes.workload_of(spec_of("mixtral-8x7b", "lora", Lora(rank=4)))
    whole = shapes.workload_of(spec_of("mixtral-8x7b", "pretraining"))
    assert adapted.lora == Lora(rank=4)
    attention, expert = 2 * (4096 + 4096) + 2 * (4096 + 1024), 3 * (4096 + 14336)
    assert adapted.trainable_parameters == 4 * 32 * (attention + 8 * expert)
    assert adapted.active_parameters is not None
    assert whole.active_parameters is not None
    assert adapted.active_parameters - whole.active_parameters == 4 * 32 * (attention + 2 * expert)


def test_a_preset_may_be_trained_on_other_sequences() -> None:
    spec = spec_of("llama-3-8b", "pretraining").model_copy(
        update={"model": ModelSpec(preset="llama-3-8b", context=32768)}
    )
    work = shapes.workload_of(spec)
    assert (work.context, work.shape.context if work.shape else 0) == (32768, 32768)
    assert work.flops_per_token > shapes.flops_per_token(PRESETS["llama-3-8b"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"preset": "llama-3-8b", "entry": "a:b"}, "exactly one"),
        ({}, "exactly one of preset, shape, config, entry"),
        ({"preset": "llama-3-8b", "vocab": 300}, "vocab belongs to entry only"),
        ({"config": "c.json", "parameters": 3}, "parameters belongs to entry only"),
        ({"shape": PRESETS["llama-3-8b"], "context": 3}, "context stands in shape"),
        ({"entry": "a:b", "vocab": 300}, "entry needs vocab and context"),
    ],
)
def test_a_model_is_named_in_one_way(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ModelSpec(**given)


def test_a_shape_no_trainer_could_build_is_refused() -> None:
    base = PRESETS["deepseek-v3"].model_dump()
    with pytest.raises(ValidationError, match="latent attention is known without biases"):
        ModelShape.model_validate(base | {"biases": "all"})
    with pytest.raises(ValidationError, match="family: llama has no layer_norms"):
        ModelShape.model_validate(PRESETS["llama-3-8b"].model_dump() | {"layer_norms": 4})
