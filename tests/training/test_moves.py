"""A run that moves from 4 ranks to 2 to 3: every sample once, in one order, by weight, whoever reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.contracts.layout import Layout
from hanse.contracts.spec import DatasetSpec
from hanse.training import ledger
from tests.training.gang import Trained, losses, together, with_layout
from tests.training.hands import make_job, make_run, make_spec, write_texts

pytestmark = pytest.mark.torch


def test_a_run_on_4_then_2_then_3_ranks_reads_every_sample_once_in_the_order_of_one(tmp_path: Path) -> None:
    sources = (("few", write_texts(tmp_path / "few", files=2), 2.0), ("many", write_texts(tmp_path / "many"), 1.0))
    data = [
        DatasetSpec(name=name, source=str(source), licence="CC0-1.0", weight=weight).model_dump()
        for name, source, weight in sources
    ]
    spec = make_spec(tmp_path, data=data, batch=12, tokens=12 * 16 * 9, checkpoint={"every_steps": 2})
    whole = with_layout(make_job(make_run(tmp_path / "whole", spec), tmp_path / "data"), Layout(micro_batch=12))
    first = with_layout(
        make_job(make_run(tmp_path / "moved", spec), tmp_path / "data"), Layout(dp=2, fsdp=2, micro_batch=3)
    )
    second = with_layout(first, Layout(fsdp=2, micro_batch=6), attempt=2)
    third = with_layout(first, Layout(dp=3, micro_batch=4), attempt=3)
    together(1, Trained(whole))
    together(4, Trained(first, stop_after=3))
    together(2, Trained(second, stop_after=3))
    together(3, Trained(third))
    moved = [loss for job in (first, second, third) for loss in losses(job)]
    # The loss of each step is that of its samples: another sample, or one twice, would be another loss.
    assert moved == pytest.approx(losses(whole), rel=1e-5)
    read = {job.run.root.name: ledger.read(job.run.ledger) for job in (whole, first)}
    for name in ("few", "many"):
        mine = [each for each in read["moved"] if each.dataset == name]
        ends = [each.first_sample + each.samples for each in mine]
        assert [each.first_sample for each in mine] == [0, *ends[:-1]]
        assert ends[-1] == sum(each.samples for each in read["whole"] if each.dataset == name)
        assert ends[-1] == {"few": 72, "many": 36}[name]
