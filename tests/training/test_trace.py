"""Tracing finds what a module really does: its FLOPs, its parameters, and what it keeps for the backward pass."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hanse.contracts.errors import UsageError
from hanse.contracts.spec import CommandSpec, TrainSpec, WhereSpec
from hanse.contracts.workload import ModelShape, Workload
from hanse.training.model import Decoder
from hanse.training.trace import REST, Traced, main, trace, trace_spec
from hanse.workloads import shapes
from hanse.workloads.load import dump_spec
from tests.training.hands import TINY, make_spec, write_texts

pytestmark = pytest.mark.torch


def kept_by(module: nn.Module, *inputs: Tensor) -> int:
    """Bytes that a real forward pass leaves to autograd, weights and buffers aside."""
    own = {each.untyped_storage().data_ptr() for each in [*module.parameters(), *module.buffers()]}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in own:
            kept[address] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module.train()(*inputs)
    return sum(each.untyped_storage().nbytes() for each in kept.values())


def tokens(length: int) -> Tensor:
    return torch.zeros(1, length, dtype=torch.long)


def decoder(shape: ModelShape, dtype: torch.dtype = torch.float32) -> Traced:
    return trace(lambda: Decoder(shape), lambda: (tokens(shape.context),), dtype=dtype, vocab=shape.vocab)


@settings(max_examples=8, deadline=None)
@given(
    st.integers(1, 3), st.sampled_from([1, 2]), st.sampled_from([1, 2, 4]), st.sampled_from([16, 32]),
    st.integers(8, 90), st.integers(4, 40), st.booleans(),
)  # fmt: skip
def test_hanse_s_own_decoder_costs_what_the_formulas_say(
    layers: int, kv_heads: int, group: int, size: int, ffn: int, context: int, tied: bool
) -> None:
    heads = kv_heads * group
    shape = ModelShape(
        layers=layers, hidden=heads * size, heads=heads, kv_heads=kv_heads, ffn=ffn, vocab=70, context=context,
        tied_head=tied,
    )  # fmt: skip
    traced = decoder(shape)
    assert traced.parameters == traced.trainable == shapes.parameters(shape)
    assert traced.embedding == shapes.embedding_parameters(shape)
    assert 3 * traced.forward_flops / context == pytest.approx(shapes.flops_per_token(shape), rel=0.01)


def test_its_blocks_are_found_and_counted_once() -> None:
    shape = TINY.model_copy(update={"layers": 5})
    traced = decoder(shape)
    block = next(each for each in traced.blocks if each.repeats == 5)
    assert block.name == "blocks"
    assert block.parameters == shapes.layer_parameters(shape)
    assert block.forward_flops == pytest.approx(
        16 * (2 * shapes.layer_matmul_parameters(shape) + shapes.attention_flops_per_token(shape))
    )
    assert block.operations > 20
    assert {each.name for each in traced.blocks} == {"embed", "blocks", "norm", REST}
    assert sum(each.repeats * each.parameters for each in traced.blocks) == traced.parameters


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_it_keeps_for_backward_what_a_real_pass_keeps(kv_heads: int, dtype: torch.dtype) -> None:
    shape = TINY.model_copy(update={"kv_heads": kv_heads})
    assert decoder(shape, dtype).activation_bytes == kept_by(Decoder(shape).to(dtype), tokens(shape.context))


def convolutions() -> nn.Module:
    stages = [nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()) for _ in range(4)]
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)
    )


class Mixer(nn.Module):
    """One block of an MLP-Mixer: over positions, then over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(32) for _ in range(2))
        self.positions = nn.Sequential(nn.Linear(8, 24), nn.GELU(), nn.Linear(24, 8))
        self.channels = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.positions(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        out: Tensor = x + self.channels(self.norms[1](x))
        return out


def encoder() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), 3)


IMAGE, ROWS, LONG = (1, 3, 16, 16), (1, 8, 32), (1, 20, 64)
BY_HAND = {
    "convolutions": 2 * 256 * (27 * 16 + 4 * 144 * 16) + 2 * 160,
    "mixer": 6 * 2 * (32 * 2 * 8 * 24 + 8 * 2 * 32 * 64),
    "encoder": 3 * 2 * 20 * (4 * 64 * 64 + 2 * 64 * 128 + 2 * 20 * 64),
}


@pytest.mark.parametrize(
    ("name", "make", "size", "repeats"),
    [
        ("convolutions", convolutions, IMAGE, 4),
        ("mixer", lambda: nn.Sequential(*[Mixer() for _ in range(6)]), ROWS, 6),
        ("encoder", encoder, LONG, 3),
    ],
)
def test_any_module_is_traced(name: str, make: Callable[[], nn.Module], size: tuple[int, ...], repeats: int) -> None:
    traced = trace(make, lambda: (torch.zeros(size),))
    assert traced.forward_flops == BY_HAND[name]
    assert repeats in {each.repeats for each in traced.blocks}
    assert traced.parameters == sum(each.numel() for each in make().parameters())
    assert traced.activation_bytes == kept_by(make(), torch.zeros(size))


def test_a_large_module_takes_no_memory() -> None:
    """Llama-3 8B: 32 GB of weights."""
    from hanse.workloads.presets import PRESETS

    shape = PRESETS["llama-3-8b"]
    traced = decoder(shape)
    assert traced.parameters == shapes.parameters(shape)
    assert 3 * traced.forward_flops / shape.context == pytest.approx(shapes.flops_per_token(shape), rel=0.01)


class Careful(nn.Module):
    """Looks at its values, which a tensor without memory cannot answer."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x) if x.sum().item() >= 0 else x
        return out


def test_a_module_that_looks_at_values_is_run_with_memory() -> None:
    assert trace(Careful, lambda: (torch.zeros(3, 4),)).forward_flops == 2 * 3 * 4 * 4


def test_a_weight_used_twice_counts_once() -> None:
    def tied() -> nn.Module:
        first = nn.Linear(8, 8, bias=False)
        second = nn.Linear(8, 8, bias=False)
        second.weight = first.weight
        return nn.Sequential(first, nn.ReLU(), second)

    traced = trace(tied, lambda: (torch.zeros(2, 8),), dtype=torch.bfloat16)
    assert traced.parameters == 64
    assert traced.forward_flops == 2 * 2 * 2 * 64


MODULE = """
from torch import nn


class Model(nn.Module):
    def __init__(self, vocab, context):
        super().__init__()
        print("building")
        self.embed = nn.Embedding(vocab, 32)
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(3))
        self.head = nn.Linear(32, vocab, bias=False)
        for each in self.embed.parameters():
            each.requires_grad = False

    def forward(self, tokens):
        x = self.embed(tokens)
        for layer in self.layers:
            x = x + layer(x).relu()
        return self.head(x)


def build(vocab, context):
    return Model(vocab, context)
"""
SPEC = """\
name: own
model: {entry: "mine:build", vocab: 300, context: 16}
data: [{name: s, source: python-stdlib, licence: PSF-2.0}]
batch: 8
tokens: 1M
precision: fp32
where: {max_gpu_hours: 1}
"""


def test_the_command_prints_the_workload_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "train.yaml").write_text(SPEC)
    command = [sys.executable, "-m", "hanse.training.trace", str(tmp_path / "train.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "building" in done.stderr
    found = Workload.from_json(done.stdout)
    assert found.parameters == 2 * 300 * 32 + 3 * 33 * 32
    assert found.trainable_parameters == found.parameters - 300 * 32
    assert found.embedding_parameters == 2 * 300 * 32
    assert found.flops_per_token == 3 * 2 * (3 * 32 * 32 + 300 * 32)
    assert [(each.name, each.repeats) for each in found.blocks] == [("embed", 1), ("layers", 3), ("head", 1), (REST, 1)]


def test_a_workload_file_is_read_back_the_same(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text(dump_spec(make_spec(write_texts(tmp_path / "texts"))))
    for name in ("workload.json", "workload.yaml"):
        assert main([str(tmp_path / "train.yaml"), "--out", str(tmp_path / name)]) == 0
    found = Workload.from_json((tmp_path / "workload.json").read_text())
    written = yaml.safe_load((tmp_path / "workload.yaml").read_text())
    assert Workload.model_validate_json(json.dumps(written)) == found


def test_what_cannot_be_traced_is_said_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(SPEC.replace("mine:build", "absent:build"))
    assert main([str(path)]) == 2
    assert 'there is no module "absent"' in capsys.readouterr().err
    path.write_text(SPEC.replace('{entry: "mine:build", vocab: 300, context: 16}', "{preset: deepseek-v3}"))
    assert main([str(path)]) == 1
    assert "not a decoder with experts" in capsys.readouterr().err
    assert main([]) == 2
    assert "usage:" in capsys.readouterr().err
    with pytest.raises(UsageError, match="command"):
        trace_spec(TrainSpec(name="a", command=CommandSpec(run="true"), where=WhereSpec(max_gpu_hours=1)), tmp_path)


def test_a_known_shape_keeps_its_shape_and_gains_blocks(tmp_path: Path) -> None:
    spec = make_spec(write_texts(tmp_path / "texts"))
    found = trace_spec(spec, tmp_path)
    assert found.shape == TINY
    assert found.parameters == shapes.parameters(TINY)
    assert found.flops_per_token == pytest.approx(shapes.flops_per_token(TINY), rel=0.01)
    assert found.blocks
