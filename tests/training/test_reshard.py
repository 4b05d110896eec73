"""A checkpoint knows no layout: a run goes on split in another way, its losses as if nothing had happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hanse.contracts.layout import Layout
from hanse.contracts.telemetry import TrainResult
from tests.training.gang import Trained, losses, together, with_layout
from tests.training.hands import make_job, make_run, make_spec, write_texts

pytestmark = pytest.mark.torch


def test_a_run_goes_on_as_shards_then_tensors_then_stages_then_one(tmp_path: Path) -> None:
    spec = make_spec(write_texts(tmp_path / "texts"), tokens=8 * 16 * 8)
    whole = with_layout(make_job(make_run(tmp_path / "whole", spec), tmp_path / "data"), Layout(micro_batch=8))
    first = with_layout(make_job(make_run(tmp_path / "moved", spec), tmp_path / "data"), Layout(fsdp=2, micro_batch=4))
    tensors = with_layout(first, Layout(tp=2, micro_batch=8), attempt=2)
    stages = with_layout(first, Layout(pp=2, micro_batch=2, accumulate=4), attempt=3)
    last = with_layout(first, Layout(cp=2, micro_batch=8), attempt=4)
    together(1, Trained(whole))
    for job in (first, tensors, stages):
        together(2, Trained(job, stop_after=2))
    together(2, Trained(last))
    moved = [loss for job in (first, tensors, stages, last) for loss in losses(job)]
    assert moved == pytest.approx(losses(whole), rel=1e-5)
    results = [TrainResult.from_json(job.run.result.read_text()) for job in (whole, last)]
    assert results[0].parameters == results[1].parameters
    assert results[1].validation_loss == pytest.approx(results[0].validation_loss, rel=1e-5)
    # The ending of a pipeline gathers its stages into the same export.
    again = replace(with_layout(first, Layout(pp=2, micro_batch=2, accumulate=4), attempt=5))
    again.run.finished.unlink()
    together(2, Trained(again))
    redone = TrainResult.from_json(again.run.result.read_text())
    assert (redone.parameters, redone.sample_text) == (results[1].parameters, results[1].sample_text)
    assert redone.validation_loss == pytest.approx(results[0].validation_loss, rel=1e-5)
