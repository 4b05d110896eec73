"""The proof of sameness: every way to spread a model follows the single process, by losses and by gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hanse.contracts.layout import Layout
from hanse.contracts.workload import Experts, ModelShape
from tests.training import grid
from tests.training.grid import BATCH, STEPS, Case, Seen

pytestmark = pytest.mark.torch

DENSE = ModelShape(layers=4, hidden=32, heads=4, kv_heads=2, ffn=48, vocab=64, context=16, tied_head=False)
TIED = DENSE.model_copy(update={"tied_head": True})
MIXTURE = DENSE.model_copy(
    update={"family": "decoder", "layers": 2, "ffn": 32, "experts": Experts(count=4, active=2, ffn=32)}
)
INTERLEAVED = {"pipeline": "interleaved", "chunks": 2, "accumulate": 4}
ZERO_BUBBLE = {"pipeline": "zero-bubble", "chunks": 2, "accumulate": 4}


class Own(nn.Module):
    """A module of a user's, with its repeated block named and a plan for its split products."""

    repeated_block = "towers.inner"
    tensor_parallel_plan = {"*.up": "colwise", "*.down": "rowwise"}

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = x + self.down(torch.tanh(self.up(x)))
            return out

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(64, 16), nn.Linear(16, 64)
        self.towers = nn.ModuleDict({"inner": nn.ModuleList(Own.Layer() for _ in range(2))})
        self.unused_longer_list = nn.ModuleList(nn.Identity() for _ in range(5))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for layer in self.towers["inner"]:
            x = layer(x)
        out: Tensor = self.head(x)
        return out


ONE: dict[str, Any] = {}
GRID: dict[str, tuple[ModelShape | type[nn.Module], dict[str, Any]]] = {
    "tp": (DENSE, {"tp": 2, "recompute": "selective"}),
    "tp-alone": (TIED, {"tp": 2, "sequence_parallel": False, "recompute": "full"}),
    "cp": (DENSE, {"cp": 2, "accumulate": 2}),
    "pp": (TIED, {"pp": 2, "accumulate": 4}),
    "zero-bubble": (TIED, {"pp": 2, **ZERO_BUBBLE}),
    "ep": (MIXTURE, {"dp": 2, "ep": 2}),
    "own-tp": (Own, {"tp": 2}),
    "hsdp": (DENSE, {"dp": 2, "fsdp": 2, "recompute": "selective"}),
    "dp-tp": (DENSE, {"dp": 2, "tp": 2}),
    "fsdp-tp": (TIED, {"fsdp": 2, "tp": 2, "accumulate": 2}),
    "fsdp-cp": (DENSE, {"fsdp": 2, "cp": 2}),
    "tp-cp": (DENSE, {"tp": 2, "cp": 2}),
    "dp-pp": (DENSE, {"dp": 2, "pp": 2, **INTERLEAVED}),
    "fsdp-pp": (TIED, {"fsdp": 2, "pp": 2, "accumulate": 2, "recompute": "full"}),
    "tp-pp": (TIED, {"tp": 2, "pp": 2, "accumulate": 2}),
    "tp-zero-bubble": (DENSE, {"tp": 2, "pp": 2, **ZERO_BUBBLE}),
    "pp-cp": (DENSE, {"pp": 2, "cp": 2, "accumulate": 2}),
    "pp-uneven": (DENSE, {"dp": 2, "pp": 2, "stages": (1, 3), "accumulate": 2}),
    "fsdp-ep": (MIXTURE, {"fsdp": 4, "ep": 2}),
    "tp-ep": (MIXTURE, {"dp": 2, "tp": 2, "ep": 2}),
    "pp-ep": (MIXTURE, {"pp": 2, "fsdp": 2, "ep": 2, "accumulate": 2}),
    "own-fsdp-tp": (Own, {"fsdp": 2, "tp": 2, "accumulate": 2}),
}
SINGLE = {id(DENSE): "one", id(TIED): "one-tied", id(MIXTURE): "one-mixture", id(Own): "one-own"}
MODELS = {"one": DENSE, "one-tied": TIED, "one-mixture": MIXTURE, "one-own": Own}


COMPILED: dict[str, tuple[ModelShape | type[nn.Module], dict[str, Any]]] = {
    "compiled-one": (DENSE, {"accumulate": 2, "recompute": "selective"}),
    "compiled-dp": (DENSE, {"dp": 2, "recompute": "full"}),
}


def case(name: str, model: ModelShape | type[nn.Module], degrees: dict[str, Any], **more: Any) -> Case:
    layout = Layout.model_validate(degrees)
    share = BATCH // (layout.dp * layout.fsdp * layout.accumulate)
    return Case(name=name, model=model, layout=layout.model_copy(update={"micro_batch": share}), **more)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Seen]]:
    cases = [case(name, model, ONE) for name, model in MODELS.items()]
    cases += [case(name, model, degrees) for name, (model, degrees) in GRID.items()]
    cases += [case("bf16-tp-fsdp", DENSE, {"tp": 2, "fsdp": 2}, precision="bf16")]
    cases += [case("bf16-pp-cp", DENSE, {"pp": 2, "cp": 2, "accumulate": 2}, precision="bf16")]
    cases += [case(name, *COMPILED[name], compiled=True) for name in COMPILED]
    return grid.train(cases, tmp_path_factory.mktemp("grid"))


@pytest.mark.parametrize("name", GRID)
def test_a_layout_follows_the_single_process(name: str, seen: Mapping[str, list[Seen]]) -> None:
    (single,) = seen[SINGLE[id(GRID[name][0])]]
    assert len(single.losses) == STEPS and single.losses[-1] < single.losses[0] - 0.5
    for rank in seen[name]:
        assert rank.losses == pytest.approx(single.losses, rel=1e-5)
        assert rank.norm == pytest.approx(single.norm, rel=1e-5)
        for parameter, gradient in rank.gradients.items():
            torch.testing.assert_close(gradient, single.gradients[parameter], rtol=1e-4, atol=1e-6, msg=parameter)
    held = set().union(*(rank.gradients for rank in seen[name]))
    assert held == set(single.gradients), "every parameter has its gradient on some rank"


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_blocks_follow_those_that_are_not(name: str, seen: Mapping[str, list[Seen]]) -> None:
    (single,) = seen["one"]
    for rank in seen[name]:
        assert rank.losses == pytest.approx(single.losses, rel=1e-5)
        assert rank.graphs > 0, "something was compiled"
        for parameter, gradient in rank.gradients.items():
            torch.testing.assert_close(gradient, single.gradients[parameter], rtol=1e-4, atol=1e-6, msg=parameter)
    assert set(seen[name][0].gradients) == set(single.gradients), "parameters keep their names"
    assert single.graphs == 0


@pytest.mark.parametrize("name", ["bf16-tp-fsdp", "bf16-pp-cp"])
def test_in_bf16_a_layout_stays_close_to_fp32(name: str, seen: Mapping[str, list[Seen]]) -> None:
    (single,) = seen["one"]
    assert seen[name][0].losses == pytest.approx(single.losses, rel=0.03)
    assert seen[name][0].losses != single.losses


def test_what_a_rank_holds_is_what_its_layout_divides(seen: Mapping[str, list[Seen]]) -> None:
    whole = seen["one"][0].held
    assert max(rank.held for rank in seen["hsdp"]) == whole / 2
    assert max(rank.held for rank in seen["fsdp-ep"]) == seen["one-mixture"][0].held / 4
    norms = 9 * 32  # held by both ranks of tp
    assert {rank.held for rank in seen["tp"]} == {(whole - norms) // 2 + norms}
    assert sum(rank.held for rank in seen["dp-pp"]) == 2 * whole
