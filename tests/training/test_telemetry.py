"""What a training tells of its steps: forward apart from backward, each communication, and files for other tools."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from hanse.contracts.layout import Layout
from hanse.contracts.telemetry import RankRow, StepSummary
from hanse.training.clock import Clock, operation
from hanse.workloads.supported import refusal
from tests.training.gang import Trained, together, with_layout
from tests.training.hands import make_job, make_run, make_spec, write_texts

pytestmark = pytest.mark.torch


def test_a_step_tells_forward_from_backward_and_sampled_steps_tell_each_communication(tmp_path: Path) -> None:
    spec = make_spec(write_texts(tmp_path / "texts"), telemetry={"communication_every": 4})
    jobs = [
        with_layout(make_job(make_run(tmp_path / name, spec), tmp_path / "data"), layout)
        for name, layout in (("dp", Layout(dp=2, micro_batch=4)), ("fsdp", Layout(fsdp=2, micro_batch=2, accumulate=2)))
    ]
    together(2, Trained(*jobs), within_s=120)
    for job, wanted in zip(jobs, ("all_reduce", "all_gather"), strict=True):
        rows = [StepSummary.from_json(line) for line in job.attempt.steps.read_text().splitlines()]
        for row in rows:
            assert row.forward_s and row.backward_s and row.wait_s
            assert 0 < row.forward_s.median + row.backward_s.median <= row.compute_s.max
        assert [row.step for row in rows if row.communication_s] == [4, 8, 12]
        assert all(row.communication_s is None or row.communication_s[wanted] > 0 for row in rows)
        mine = [RankRow.from_json(line) for line in job.attempt.rank_rows(1).read_text().splitlines()]
        assert all(row.forward_s is not None and row.forward_s <= row.compute_s for row in mine)
        (events,) = (job.run.root / "tensorboard" / "0001").iterdir()
        written = events.read_bytes()
        assert b"gradient_norm" in written and written.count(b"forward_s") == 12
        assert b"communication_" + wanted.encode() in written


def test_a_clock_adds_up_micro_batches_and_forgets_a_step_that_was_given_up() -> None:
    import torch

    clock = Clock(torch.device("cpu"))
    for _ in range(3):
        clock.begin()
        clock.mark("forward")
        clock.mark("backward")
    told = clock.take()
    assert set(told) == {"forward", "backward"} and min(told.values()) >= 0
    clock.begin()
    clock.mark("forward")
    clock.drop()
    assert clock.take() == {} and clock.sampled() is None


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("gloo:all_reduce", "all_reduce"), ("nccl:_all_gather_base", "all_gather"), ("gloo:send", "send"),
        ("nccl:_reduce_scatter_base", "reduce_scatter"), ("nccl:_broadcast_oop", "broadcast"),
        ("aten::mm", None), ("c10d::allreduce_", None),
    ],
)  # fmt: skip
def test_a_communication_has_one_name_on_every_backend(name: str, what: str | None) -> None:
    assert operation(name) == what


@pytest.mark.parametrize("library", ["wandb", "mlflow"])
def test_a_tool_that_is_not_installed_is_refused_before_submission(library: str) -> None:
    because = refusal(make_spec(Path("texts"), telemetry={library: True}))
    if importlib.util.find_spec(library) is None:
        wanted = f"telemetry.{library} needs the library, which is not installed: pip install {library}, or drop it."
        assert because == wanted
    else:
        assert because is None
