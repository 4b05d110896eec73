"""Every layout trains the same model: same data, same weights, same losses, in one process or over many ranks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hanse.contracts.errors import TrainingError
from hanse.contracts.layout import Layout
from hanse.contracts.telemetry import TrainResult
from hanse.training import ledger
from hanse.training.job import Job
from hanse.training.parallelize import refuse_what_is_not_built
from tests.training.gang import Trained, losses, together, with_layout
from tests.training.hands import make_job, make_run, make_spec, write_texts

pytestmark = pytest.mark.torch

ONE = Layout(micro_batch=8)


def fresh(tmp_path: Path, name: str, layout: Layout, **changes: object) -> Job:
    texts = tmp_path / "texts"
    spec = make_spec(texts if texts.exists() else write_texts(texts), **changes)
    return with_layout(make_job(make_run(tmp_path / name, spec), tmp_path / "data"), layout)


def test_every_layout_follows_the_single_process(tmp_path: Path) -> None:
    single = fresh(tmp_path, "single", ONE)
    over_two = {
        "dp": Layout(dp=2, micro_batch=4),
        "dp-accumulate": Layout(dp=2, micro_batch=1, accumulate=4),
        "fsdp": Layout(fsdp=2, micro_batch=4),
        "fsdp-accumulate": Layout(fsdp=2, micro_batch=2, accumulate=2),
        "fsdp-recompute": Layout(fsdp=2, micro_batch=4, recompute="full"),
    }
    jobs = {name: fresh(tmp_path, name, layout) for name, layout in over_two.items()}
    jobs["hsdp"] = fresh(tmp_path, "hsdp", Layout(dp=2, fsdp=2, micro_batch=2))
    together(1, Trained(single))
    together(2, Trained(*(jobs[name] for name in over_two)))
    together(4, Trained(jobs["hsdp"]))
    expected = losses(single)
    assert len(expected) == 12 and expected[-1] < expected[0] - 1
    results = {name: TrainResult.from_json(job.run.result.read_text()) for name, job in jobs.items()}
    for name, job in jobs.items():
        assert losses(job) == pytest.approx(expected, rel=1e-5), name
        assert results[name].validation_loss == pytest.approx(results["dp"].validation_loss, rel=1e-5), name
        assert results[name].sample_text == results["dp"].sample_text, name


def test_bf16_trains_close_to_fp32_on_every_layout(tmp_path: Path) -> None:
    single = fresh(tmp_path, "single", ONE)
    over_two = (Layout(dp=2, micro_batch=4), Layout(fsdp=2, micro_batch=4))
    jobs = [fresh(tmp_path, f"bf16-{n}", layout, precision="bf16") for n, layout in enumerate(over_two)]
    together(1, Trained(single))
    together(2, Trained(*jobs))
    for job in jobs:
        assert losses(job) == pytest.approx(losses(single), rel=0.02)
        assert losses(job) != losses(single)


def test_a_run_changes_layout_and_world_size_between_attempts_and_reads_every_sample_once(tmp_path: Path) -> None:
    whole = fresh(tmp_path, "whole", ONE)
    first = fresh(tmp_path, "moved", Layout(dp=2, micro_batch=4))
    second = with_layout(first, Layout(fsdp=2, micro_batch=4), attempt=2)
    second = replace(second, spec=second.spec.model_copy(update={"compile": True}))
    third = with_layout(first, Layout(dp=2, fsdp=2, micro_batch=1, accumulate=2), attempt=3)
    last = with_layout(first, ONE, attempt=4)
    together(1, Trained(whole))
    together(2, Trained(first, stop_after=3))
    together(2, Trained(second, stop_after=3))
    together(4, Trained(third, stop_after=3))
    together(1, Trained(last))
    moved = [loss for job in (first, second, third, last) for loss in losses(job)]
    assert moved == pytest.approx(losses(whole), rel=1e-5)
    entries = ledger.read(first.run.ledger)
    assert [(each.attempt, each.first_step, each.last_step) for each in entries] == [
        (1, 1, 3), (2, 4, 4), (2, 5, 6), (3, 7, 8), (3, 9, 9), (4, 10, 12),
    ]  # fmt: skip
    ends = [each.first_sample + each.samples for each in entries]
    assert [each.first_sample for each in entries] == [0, *ends[:-1]] and ends[-1] == 12 * 8


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (Layout(tp=8, micro_batch=8), "tp 8 does not divide 4 heads.* Nearest that works: 1 node, fsdp 4, tp 2"),
        (Layout(pp=2, micro_batch=8), "accumulate is 1.* Nearest that works: 1 node, pp 2, micro-batch 4 × 2"),
        (Layout(fsdp=2, zero=2, micro_batch=4), "not as zero 2"),
    ],
)
def test_a_layout_that_cannot_be_executed_is_refused_with_the_nearest_that_can(
    tmp_path: Path, layout: Layout, said: str
) -> None:
    with pytest.raises(TrainingError, match=said):
        refuse_what_is_not_built(fresh(tmp_path, "run", layout))


def test_a_layout_for_other_ranks_or_another_batch_is_refused(tmp_path: Path) -> None:
    job = fresh(tmp_path, "run", ONE)
    with pytest.raises(TrainingError, match="is for 1 ranks; the job started 2"):
        _ = replace(job, nodes=2).layout
    other = replace(job, spec=job.spec.model_copy(update={"layout": Layout(micro_batch=3)}))
    with pytest.raises(TrainingError, match="works through 3 sequences a step; batch is 8"):
        _ = other.layout
