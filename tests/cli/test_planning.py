"""A plan as `hanse plan` and `hanse launch` make it from train.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.cli.planning import plan_for, workload_for
from hanse.contracts.errors import PlanError
from hanse.contracts.spec import WhereSpec
from hanse.machines import catalogue
from hanse.workloads.load import load_spec
from tests.contracts.examples import SPEC

LEONARDO = catalogue.load("leonardo-booster")


def spec_within(wall_time_s: int, attempts: int):
    where = WhereSpec(
        machines=(LEONARDO.id,), nodes=1, wall_time_s=wall_time_s, max_gpu_hours=1e6, max_attempts=attempts
    )
    return SPEC.model_copy(update={"tokens": 20_000_000_000, "precision": "bf16", "where": where})


def test_a_training_longer_than_one_job_is_planned_over_as_many_as_it_may_take() -> None:
    whole_s = plan_for(spec_within(10**8, 1), Path("train.yaml"), LEONARDO).wall_time_s.expected
    half = int(whole_s * 0.6)
    assert plan_for(spec_within(half, 2), Path("train.yaml"), LEONARDO).wall_time_s.expected <= 2 * half
    with pytest.raises(PlanError, match="wall time"):
        plan_for(spec_within(half, 1), Path("train.yaml"), LEONARDO)


MODULE = """\
import torch

class Net(torch.nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.embed = torch.nn.Embedding(vocab, 16)
        self.blocks = torch.nn.ModuleList(torch.nn.Linear(16, 16) for _ in range(3))
        self.head = torch.nn.Linear(16, vocab)

    def forward(self, tokens):
        x = self.embed(tokens)
        for block in self.blocks:
            x = torch.relu(block(x))
        {oddity}
        return self.head(x)

def build(vocab, context):
    return Net(vocab)
"""
SPEC_OF_MODULE = """\
name: odd
model: {entry: "odd:build", vocab: 512, context: 32}
data:
  - {name: stdlib, source: python-stdlib, licence: PSF-2.0}
batch: 8
tokens: 5120
precision: fp32
where: {max_gpu_hours: 1}
"""


def spec_of_module(folder: Path, oddity: str) -> Path:
    (folder / "odd.py").write_text(MODULE.replace("{oddity}", oddity))
    path = folder / "train.yaml"
    path.write_text(SPEC_OF_MODULE)
    return path


@pytest.mark.parametrize(
    ("oddity", "traced"), [("pass", True), ("raise RuntimeError('it runs on the cluster only')", False)]
)
def test_a_module_is_traced_and_where_that_fails_its_parameters_are_counted(
    oddity: str, traced: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    path = spec_of_module(tmp_path, oddity)
    found = workload_for(load_spec(path), path)
    assert bool(found.blocks) is traced
    assert found.parameters == 512 * 16 + 3 * (16 * 16 + 16) + (16 * 512 + 512)
    assert found.global_batch == 8
    assert ("could not be traced" in capsys.readouterr().err) is not traced


def test_a_module_whose_parameters_are_stated_is_not_built(tmp_path: Path) -> None:
    path = spec_of_module(tmp_path, "pass")
    path.write_text(SPEC_OF_MODULE.replace("context: 32", "context: 32, parameters: 1M"))
    (tmp_path / "odd.py").write_text("raise SystemExit('built')")
    assert workload_for(load_spec(path), path).parameters == 1_000_000
