"""The decoder against what its family promises."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.workload import ModelShape
from hanse.training.model import Attention, Decoder, initial_value, rotary_table, rotate
from hanse.training.names import llama_name
from hanse.workloads import shapes
from tests.training.hands import TINY

pytestmark = pytest.mark.torch


def decoder(shape: ModelShape, seed: int = 1) -> Decoder:
    model = Decoder(shape)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(initial_value(name, parameter.shape, layers=shape.layers, seed=seed) * 5)
    return model


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 3), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4]), st.integers(1, 6), st.integers(1, 90),
    st.booleans(),
)  # fmt: skip
def test_it_has_as_many_parameters_as_the_planner_counts(
    layers: int, kv_heads: int, group: int, half: int, ffn: int, tied: bool
) -> None:
    heads = kv_heads * group
    shape = ModelShape(
        layers=layers, hidden=heads * half * 2, heads=heads, kv_heads=kv_heads, ffn=ffn, vocab=70, context=8,
        tied_head=tied,
    )  # fmt: skip
    with torch.device("meta"):
        model = Decoder(shape)
    assert sum(each.numel() for each in model.parameters()) == shapes.parameters(shape)


def test_a_token_sees_nothing_that_comes_after_it() -> None:
    model = decoder(TINY)
    tokens = torch.randint(0, TINY.vocab, (2, 16), generator=torch.Generator().manual_seed(1))
    changed = tokens.clone()
    changed[:, 9] = (changed[:, 9] + 1) % TINY.vocab
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :9], after[:, :9])
    assert not torch.allclose(before[:, 9:], after[:, 9:])


def test_grouped_queries_equal_full_heads_with_repeated_keys_and_values() -> None:
    grouped = Attention(TINY)
    full = Attention(TINY.model_copy(update={"kv_heads": TINY.heads}))
    size, copies = TINY.head_dim, TINY.heads // TINY.kv_heads

    def repeated(weight: torch.Tensor) -> torch.Tensor:
        return weight.view(TINY.kv_heads, size, -1).repeat_interleave(copies, dim=0).flatten(0, 1)

    full.load_state_dict(
        grouped.state_dict() | {f"{p}.weight": repeated(getattr(grouped, p).weight.detach()) for p in "kv"}
    )
    x = torch.randn(2, 16, TINY.hidden, generator=torch.Generator().manual_seed(2))
    rotary = rotary_table(16, size, device=x.device, dtype=x.dtype)
    torch.testing.assert_close(grouped(x, rotary), full(x, rotary))


def test_rotary_scores_depend_on_the_distance_alone() -> None:
    rotary = rotary_table(12, 8, device=torch.device("cpu"), dtype=torch.float64)
    source = torch.Generator().manual_seed(3)
    q, k = (torch.randn(8, dtype=torch.float64, generator=source).expand(12, 8) for _ in range(2))
    scores = rotate(q, rotary) @ rotate(k, rotary).T
    for distance in range(-6, 7):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[0].expand_as(diagonal), rtol=1e-6, atol=1e-6)


def test_first_values_depend_on_the_seed_and_the_name_alone() -> None:
    size = torch.Size([8, 8])
    first = initial_value("blocks.0.mlp.up.weight", size, layers=2, seed=5)
    assert torch.equal(first, initial_value("blocks.0.mlp.up.weight", size, layers=2, seed=5))
    assert not torch.equal(first, initial_value("blocks.1.mlp.up.weight", size, layers=2, seed=5))
    assert not torch.equal(first, initial_value("blocks.0.mlp.up.weight", size, layers=2, seed=6))


def test_exported_names_are_those_of_llama_files() -> None:
    names = {llama_name(name) for name, _ in Decoder(TINY.model_copy(update={"tied_head": False})).named_parameters()}
    one = {f"model.layers.1.self_attn.{part}_proj.weight" for part in "qkvo"}
    one |= {f"model.layers.1.mlp.{part}_proj.weight" for part in ("gate", "up", "down")}
    one |= {"model.layers.1.input_layernorm.weight", "model.layers.1.post_attention_layernorm.weight"}
    assert names == one | {name.replace(".1.", ".0.") for name in one} | {
        "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight",
    }  # fmt: skip
