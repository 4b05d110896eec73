"""A dry run builds one of many ranks here, and counts what the layout's arithmetic says it holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hanse.contracts.layout import Layout
from hanse.contracts.workload import Experts, Lora, ModelShape
from hanse.machines import catalogue
from hanse.planning.plan import make
from hanse.workloads import shapes
from tests.planning.worlds import workload

pytestmark = pytest.mark.torch

SHAPE = ModelShape(
    layers=4, hidden=256, heads=8, kv_heads=8, ffn=512, vocab=1024, context=256, tied_head=False
)  # fmt: skip


def test_one_of_512_ranks_holds_its_share_of_weights_gradients_and_moments(tmp_path: Path) -> None:
    layout = Layout(nodes=128, dp=2, fsdp=16, tp=4, pp=4, micro_batch=1, accumulate=4)
    plan = make(workload(SHAPE, batch=128), catalogue.load("leonardo-booster"), layout=layout)
    path = tmp_path / "plan.json"
    path.write_text(plan.to_json())
    done = subprocess.run(
        [sys.executable, "-m", "hanse.training.check", str(path), "0"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    norms = 2 * 256  # of the one block of the first stage: held by every rank of tp, sharded by fsdp
    held = (shapes.layer_parameters(SHAPE) - norms + SHAPE.vocab * SHAPE.hidden) // 4 + norms
    assert found["parameters"] == found["gradients"] == 4 * held // 16
    assert found["optimiser"] == pytest.approx(2 * found["parameters"], rel=0.01)
    assert found["activations"] > 0


def test_adapters_are_what_is_trained_and_the_rest_holds_no_gradient(tmp_path: Path) -> None:
    layout = Layout(nodes=1, fsdp=4, micro_batch=32)
    plan = make(workload(SHAPE, batch=128), catalogue.load("leonardo-booster"), layout=layout)
    tuned = plan.workload.model_copy(update={"training": "lora", "lora": Lora(rank=4, targets="attention")})
    path = tmp_path / "plan.json"
    path.write_text(plan.model_copy(update={"workload": tuned}).to_json())
    done = subprocess.run(
        [sys.executable, "-m", "hanse.training.check", str(path), "0"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    adapters = SHAPE.layers * 4 * 4 * 2 * SHAPE.hidden  # four products a layer, two matrices of rank 4 each
    assert found["gradients"] == 4 * adapters // 4
    assert found["parameters"] == 4 * (shapes.parameters(SHAPE) + adapters) // 4


def test_what_cannot_be_built_is_said_in_words_and_not_by_a_traceback(tmp_path: Path) -> None:
    mixture = SHAPE.model_copy(
        update={"family": "decoder", "experts": Experts(count=6, active=2, ffn=512, shared_ffn=64)}
    )
    layout = Layout(nodes=2, fsdp=8, micro_batch=16)
    plan = make(workload(SHAPE, batch=128), catalogue.load("leonardo-booster"), layout=layout)
    path = tmp_path / "plan.json"
    path.write_text(plan.model_copy(update={"workload": workload(mixture, batch=128)}).to_json())
    done = subprocess.run(
        [sys.executable, "-m", "hanse.training.check", str(path), "0"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Hanse's trainer builds" in done.stderr and "Traceback" not in done.stderr
