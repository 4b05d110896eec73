"""One service and one agent for all crash tests of a session, and what an undisturbed training comes to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hanse.contracts.programme import Allocation
from hanse.contracts.spec import CheckpointSpec, DatasetSpec, ModelSpec, TokenizerSpec, TrainSpec, WhereSpec
from hanse.contracts.telemetry import TrainResult
from hanse.contracts.workload import ModelShape
from tests.stack import Stack, running

STEPS, BATCH, CHECKPOINT_EVERY = 80, 16, 10
SHAPE = ModelShape(layers=1, hidden=64, heads=4, kv_heads=2, ffn=160, vocab=512, context=128)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    yield from running(tmp_path_factory.mktemp("hanse"))


@pytest.fixture(scope="session")
def allocation(stack: Stack) -> Allocation:
    return stack.grant(gpu_hours=100)


@pytest.fixture(scope="session")
def spec(tmp_path_factory: pytest.TempPathFactory) -> TrainSpec:
    texts = tmp_path_factory.mktemp("texts")
    for source in sorted(Path(__file__).parents[2].joinpath("src/hanse/contracts").glob("*.py")):
        (texts / f"{source.stem}.txt").write_text(source.read_text())
    return TrainSpec(
        name="small",
        purpose="Survive.",
        model=ModelSpec(shape=SHAPE),
        data=(DatasetSpec(name="texts", source=str(texts / "*.txt"), licence="Apache-2.0"),),
        tokenizer=TokenizerSpec(vocab=512),
        batch=BATCH,
        tokens=STEPS * BATCH * SHAPE.context,
        precision="fp32",
        checkpoint=CheckpointSpec(every_steps=CHECKPOINT_EVERY),
        where=WhereSpec(nodes=2, wall_time_s=300, max_gpu_hours=2),
    )


@pytest.fixture(scope="session")
def undisturbed(stack: Stack, allocation: Allocation, spec: TrainSpec) -> TrainResult:
    run = stack.finish(stack.launch(spec, allocation).id)
    assert run.state == "finished", (run.reason, stack.run_dir(run.id).attempt(1).log.read_text())
    return TrainResult.from_json(stack.run_dir(run.id).result.read_bytes())
