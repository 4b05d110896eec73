"""Steps that go wrong: a batch left out, a way back, an end; and a rank that keeps the others waiting, by name."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.errors import TrainingError
from hanse.contracts.layout import Layout
from hanse.contracts.spec import FaultsSpec
from hanse.contracts.telemetry import TrainResult
from hanse.training import complete, ledger
from hanse.training.checkpoints import Checkpoints
from hanse.training.faults import Faults, RollBack
from hanse.training.job import Job
from hanse.training.position import Position
from hanse.training.watch import Late, verdict
from tests.training.gang import Trained, losses, together, with_layout
from tests.training.hands import make_job, make_run, make_spec, write_texts

pytestmark = pytest.mark.torch

STEPS = 24
MODULE = """
import time
import torch
import torch.distributed as dist
from torch import nn

class Fragile(nn.Module):
    def __init__(self, vocab, hangs):
        super().__init__()
        self.embed = nn.Embedding(vocab, 8)
        self.head = nn.Linear(8, vocab)
        self.hangs, self.calls = hangs, 0

    def forward(self, ids):
        self.calls += 1
        if self.hangs and self.calls == 2 and dist.get_rank() == 1:
            time.sleep(1000)
        logits = self.head(self.embed(ids))
        # Some batches of the data, always the same, break this model.
        return logits * float("nan") if self.training and bool((ids.sum(1) % 29 == 0).any()) else logits

def build(vocab, context):
    return Fragile(vocab, False)

def hanging(vocab, context):
    return Fragile(vocab, True)
"""


def fragile(tmp_path: Path, name: str, entry: str = "build", **faults: object) -> Job:
    texts = tmp_path / "texts"
    model = {"entry": f"fragile:{entry}", "vocab": 300, "context": 16}
    spec = make_spec(texts if texts.exists() else write_texts(texts), model=model, tokens=STEPS * 8 * 16, faults=faults)
    job = make_job(make_run(tmp_path / name, spec), tmp_path / "data")
    job.run.code.mkdir()
    (job.run.code / "fragile.py").write_text(MODULE)
    return with_layout(job, Layout(dp=2, micro_batch=4))


def position_of(job: Job) -> Position:
    told = complete.read(complete.whole(job.run.checkpoints)[0])
    assert told is not None
    return told.position


def test_a_batch_that_breaks_the_model_is_left_out_and_a_resumed_run_leaves_out_the_same(tmp_path: Path) -> None:
    whole, parted = fragile(tmp_path, "whole", not_finite="skip"), fragile(tmp_path, "parted", not_finite="skip")
    said = together(2, Trained(whole))
    together(2, Trained(parted, stop_after=13))
    together(2, Trained(replace(parted, attempt_number=2)))
    left_out = position_of(whole).left_out
    assert left_out and said.count("its batch is left out") == len(left_out)
    assert position_of(parted).left_out == left_out
    assert losses(parted) + losses(replace(parted, attempt_number=2)) == losses(whole)
    assert len(losses(whole)) == STEPS - len(left_out), "what has no loss has no summary"
    for job in (whole, parted):
        assert sum(each.samples for each in ledger.read(job.run.ledger)) == (STEPS - len(left_out)) * 8
        assert np.isfinite(TrainResult.from_json(job.run.result.read_text()).final_loss)


def test_a_way_back_leaves_out_the_data_since_the_checkpoint_and_trains_every_step(tmp_path: Path) -> None:
    job = fragile(tmp_path, "run", not_finite="roll-back")
    said = together(2, Trained(job))
    position = position_of(job)
    assert "going back to the last checkpoint" in said and position.passed_over > 0
    assert position.passed_over == sum(last - first + 1 for first, last in position.left_out)
    assert sum(each.samples for each in ledger.read(job.run.ledger)) == STEPS * 8
    assert position.step == STEPS and job.run.finished.exists()


class Hindered(Trained):
    """Training whose first way back takes `slow_s`, or finds no checkpoint any more."""

    def __init__(self, job: Job, *, slow_s: float = 0.0, lost: bool = False) -> None:
        super().__init__(job)
        self.slow_s, self.lost = slow_s, lost

    def __call__(self) -> None:
        resume = Checkpoints.resume

        def hindered(checkpoints: Checkpoints, *, required: bool = False) -> Position:
            if required:
                time.sleep(self.slow_s)
                self.slow_s = 0.0
                checkpoints.settle()
                if self.lost and checkpoints.rank == 0:
                    shutil.rmtree(checkpoints.root)
            return resume(checkpoints, required=required)

        Checkpoints.resume = hindered  # type: ignore[method-assign]
        super().__call__()


def test_a_way_back_may_take_longer_than_a_step_may_hang(tmp_path: Path) -> None:
    job = fragile(tmp_path, "run", not_finite="roll-back", hung_s=4)
    said = together(2, Hindered(job, slow_s=7))
    assert "going back to the last checkpoint" in said and "HUNG" not in said and job.run.finished.exists()


def test_where_no_checkpoint_is_left_to_go_back_to_the_attempt_ends(tmp_path: Path) -> None:
    job = fragile(tmp_path, "run", not_finite="roll-back")
    said = together(2, Hindered(job, lost=True), code=1)
    assert "there is no whole checkpoint to go back to" in said and not job.run.finished.exists()


def test_after_as_many_faults_as_are_allowed_the_run_stops(tmp_path: Path) -> None:
    faults = Faults(make_faulty(tmp_path, not_finite="skip", most=2), rank=1)
    for step in (1, 2):
        assert not faults.allows(step, torch.tensor(float("nan")), 1.0)
    with pytest.raises(TrainingError, match=r"at step 3 the loss is nan.*2 batches were left out before it"):
        faults.allows(3, torch.tensor(float("nan")), 1.0)


def test_a_leap_of_the_loss_is_told_from_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = Faults(make_faulty(tmp_path, spike="roll-back", spike_deviations=6), rank=1)
    for step in range(1, 30):
        assert faults.allows(step, torch.tensor(3.0 + 0.1 * (-1) ** step), 1.0)
    assert faults.allows(30, torch.tensor(3.3), 1.0)
    with pytest.raises(RollBack) as back:
        faults.allows(31, torch.tensor(5.0), 1.0)
    checkpoint = faults.after(Position(step=24))
    assert back.value.start(checkpoint).left_out == ((25, 31),) and back.value.start(checkpoint).passed_over == 7
    assert len(checkpoint.recent) == 30 and Position.from_json(checkpoint.to_json()) == checkpoint


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), max_size=6))
def test_through_any_ways_back_no_batch_is_trained_on_twice(ways: list[tuple[int, int]]) -> None:
    """Each way: so many checkpoints of 4 steps are written, then so many steps on comes a fault."""
    at, trained = Position(), []
    for checkpoints, further in ways:
        for _ in range(checkpoints * 4):
            at = at.model_copy(update={"step": at.step + 1})
            trained.append(at.step + at.passed_over)
        at = RollBack(at.step + further + at.passed_over).start(at)
    left = {batch for first, last in at.left_out for batch in range(first, last + 1)}
    assert len(set(trained)) == len(trained) and not left & set(trained)
    assert left | set(trained) == set(range(1, at.step + at.passed_over + 1))


def make_faulty(tmp_path: Path, **faults: object) -> Job:
    spec = make_spec(tmp_path, faults=FaultsSpec.model_validate(faults).model_dump())
    job = make_job(make_run(tmp_path / "run", spec), tmp_path / "data")
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    return job


@pytest.fixture(autouse=True)
def alone() -> object:
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def test_a_rank_that_hangs_is_named_with_host_and_place(tmp_path: Path) -> None:
    job = fragile(tmp_path, "run", "hanging", not_finite="skip", hung_s=6)
    said = together(2, Trained(job), code=1)
    assert f"HUNG for 6 s: rank 1 on {os.uname().nodename} (pid " in said
    assert "is still at forward and backward, in forward (fragile.py:" in said and "1 wait for it" in said


def test_the_verdict_names_the_rank_that_says_nothing_before_those_that_wait() -> None:
    everyone = [("a", 1), ("b", 2), ("c", 3)]
    late = [Late(rank, 7, 2, "all_reduce (x.py:1)", True) for rank in (0, 2)]
    assert verdict(late, everyone).startswith("rank 1 on b (pid 2) says nothing; 2 wait for it at gradient norm")
    assert "the network between them" in verdict([Late(rank, 7, 2, "f", True) for rank in range(3)], everyone)
