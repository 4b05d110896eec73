"""Checkpoints: whole or not there, damage is noticed, and what was resumed really trains on."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hanse.contracts.errors import NotAsWritten, TrainingError
from hanse.contracts.layout import Layout
from hanse.training import ledger
from hanse.training.complete import COMPLETE, Complete, refuse_another_model
from hanse.training.job import Job
from hanse.training.optimizer import make_optimizer, movement
from hanse.training.parallelize import Parallel
from hanse.training.parallelize_mesh import Ranks
from tests.training.gang import Trained, losses, together, with_layout
from tests.training.hands import TINY, make_job, make_run, make_spec, write_texts
from tests.training.test_model import decoder

pytestmark = pytest.mark.torch


def kept(job: Job) -> list[str]:
    return sorted(each.name for each in job.run.checkpoints.iterdir())


@pytest.fixture
def stopped(tmp_path: Path) -> Job:
    """A run of 12 steps stopped after 10, with checkpoints of steps 8 and 10."""
    job = make_job(make_run(tmp_path / "run", make_spec(write_texts(tmp_path / "texts"))), tmp_path / "data")
    job = with_layout(job, Layout(dp=2, micro_batch=4))
    together(2, Trained(job, stop_after=10))
    assert kept(job) == ["step-00000008", "step-00000010"]
    return job


def flip_a_byte(checkpoint: Path) -> None:
    path = next(iter(sorted(checkpoint.glob("__1_*.distcp"))))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def drop_a_file(checkpoint: Path) -> None:
    next(iter(checkpoint.glob("__0_*.distcp"))).unlink()


def drop_complete(checkpoint: Path) -> None:
    (checkpoint / COMPLETE).unlink()


def truncate_complete(checkpoint: Path) -> None:
    (checkpoint / COMPLETE).write_text('{"position":')


@pytest.mark.parametrize("damage", [flip_a_byte, drop_a_file, drop_complete, truncate_complete])
def test_a_damaged_checkpoint_is_said_set_aside_and_the_one_before_used(
    stopped: Job, damage: Callable[[Path], None]
) -> None:
    damage(stopped.run.checkpoints / "step-00000010")
    again = with_layout(stopped, Layout(dp=2, micro_batch=4), attempt=2)
    said = together(2, Trained(again))
    assert "DAMAGED CHECKPOINT step-00000010" in said and "resumed at step 8" in said
    assert losses(again)[:2] == losses(stopped)[8:10], "the steps after 8 are trained again, to the last bit"
    assert [(each.first_step, each.last_step) for each in ledger.read(stopped.run.ledger)] == [(1, 4), (5, 8), (9, 12)]
    assert kept(stopped) == ["step-00000008", "step-00000012"]


def test_a_half_written_checkpoint_is_never_looked_at(stopped: Job) -> None:
    half = stopped.run.checkpoints / "step-00000012.tmp"
    half.mkdir()
    left = half.with_name("step-00000011.tmp")
    left.mkdir()
    (half / "__0_0.distcp").write_bytes(b"half")
    said = together(2, Trained(with_layout(stopped, Layout(dp=2, micro_batch=4), attempt=2)))
    assert "resumed at step 10" in said and not half.exists() and not left.exists()


def test_a_ledger_ahead_of_its_checkpoint_is_cut_back(stopped: Job) -> None:
    (stopped.run.checkpoints / "step-00000010").rename(stopped.run.checkpoints / "step-00000010.tmp")
    again = with_layout(stopped, Layout(dp=2, micro_batch=4), attempt=2)
    together(2, Trained(again, stop_after=1))
    entries = ledger.read(stopped.run.ledger)
    assert [(each.attempt, each.first_step, each.last_step) for each in entries] == [(1, 1, 4), (1, 5, 8), (2, 9, 9)]


def test_an_optimiser_bound_to_another_model_is_noticed_at_the_first_step() -> None:
    def parallel_of(seed: int) -> Parallel:
        alone = Ranks(layout=Layout(), device=torch.device("cpu"), mesh=None, experts=None, rank=0)  # no group is met
        return Parallel(model=decoder(TINY, seed), ranks=alone, precision="fp32", sums=(), counted=())

    model, discarded = parallel_of(1), parallel_of(2)
    bound_wrong = make_optimizer(discarded, make_spec(Path("texts")).optimizer)
    model.model(torch.zeros(1, 4, dtype=torch.long)).sum().backward()
    with pytest.raises(TrainingError, match="moved no parameter"), movement(model, required=True):
        bound_wrong.step()
    with movement(model, required=True):
        make_optimizer(model, make_spec(Path("texts")).optimizer).step()


class Cramped(Trained):
    """Ranks that may not write a file beyond 100 kB: a disk that is full for checkpoints, not for rows."""

    def __call__(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        with pytest.raises(
            TrainingError, match=r"step 12 could not be written.*the newest that is whole is of step 10"
        ):
            super().__call__()


def test_a_full_disk_is_said_loudly_costs_no_whole_checkpoint_and_stops_nothing_before_the_end(stopped: Job) -> None:
    again = with_layout(stopped, Layout(dp=2, micro_batch=4), attempt=2)
    every_step = stopped.spec.checkpoint.model_copy(update={"every_steps": 1})
    cramped = replace(again, spec=again.spec.model_copy(update={"checkpoint": every_step}))
    said = together(2, Cramped(cramped))
    assert "CHECKPOINT FAILED at step 11: rank " in said and "Training goes on" in said
    assert kept(stopped) == ["step-00000008", "step-00000010"] and len(losses(again)) == 2
    together(2, Trained(replace(again, attempt_number=3)))
    assert losses(replace(again, attempt_number=3)) == losses(again), "trained again from step 10, to the last bit"


def test_a_checkpoint_of_another_model_is_refused_with_2_and_left_as_it_is(stopped: Job) -> None:
    def deeper(job: Job) -> Job:
        shape = TINY.model_copy(update={"layers": 3})
        model = job.model.model_copy(update={"shape": shape})
        return replace(job, spec=job.spec.model_copy(update={"model": model}))

    other = deeper(with_layout(stopped, Layout(micro_batch=8), attempt=2))
    refuse_another_model(with_layout(stopped, Layout(micro_batch=8), attempt=2))
    with pytest.raises(NotAsWritten, match=r"of another model: train\.yaml describes another one") as refused:
        refuse_another_model(other)
    assert refused.value.exit_code == 2
    for folder in stopped.run.checkpoints.iterdir():
        told = Complete.from_json((folder / COMPLETE).read_bytes())
        (folder / COMPLETE).write_text(told.model_copy(update={"model": None}).to_json())
    together(1, Refused(other, "blocks.2.attention.k.weight is missing there and \\(16, 32\\) here"))
    assert kept(stopped) == ["step-00000008", "step-00000010"]


class Refused(Trained):
    def __init__(self, job: Job, words: str) -> None:
        super().__init__(job)
        self.words = words

    def __call__(self) -> None:
        with pytest.raises(NotAsWritten, match=self.words):
            super().__call__()
