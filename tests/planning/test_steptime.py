"""Step time: published formulas by hand, published runs within a loose factor, and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.layout import Layout
from hanse.contracts.machine import Machine
from hanse.contracts.workload import ModelShape, Workload
from hanse.planning import space
from hanse.planning.steptime import step_times
from hanse.workloads import shapes
from tests.planning.worlds import (
    LLAMA_8B,
    SMALL,
    Published,
    calibrated,
    idealised,
    layouts,
    machines,
    published,
    workload,
)


def parts(work: Workload, machine: Machine, layout: Layout) -> dict[str, float]:
    assert work.shape is not None
    times = step_times(work, work.shape, machine, space.of([layout])).parts
    return {name: float(seconds[0]) for name, seconds in times.items()}


def test_with_full_recompute_the_products_are_narayanan_2021_s() -> None:
    """Their eq. 3, 96·B·s·L·h²·(1 + s/6h + V/16Lh), without its attention term s/6h, which tiles compute otherwise."""
    shape = ModelShape(layers=24, hidden=3072, heads=24, kv_heads=24, ffn=8192, vocab=51200, context=512)
    rate, batch = 1e12, 16
    found = parts(
        workload(shape, batch=batch, precision="fp32"),
        idealised(rate),
        Layout(nodes=2, dp=2, micro_batch=8, recompute="full"),
    )
    by_the_paper = 96 * batch * 512 * 24 * 3072**2 * (1 + 51200 / (16 * 24 * 3072)) / 2
    attention_again = found["attention"] / 3.5
    # Nor do exponentials stand in theirs: SiLU's three with recompute, ahead, back and ahead again.
    attention_again += 16 / 2 * 512 * 24 * 8192 * shapes.CPU_EXPONENTIAL_FLOPS / rate
    assert (found["matmul"] + found["recompute"] - attention_again) * rate == pytest.approx(by_the_paper, rel=1e-9)
    # 512 keys are one tile, so all scores are computed: 4·s·h a token and layer forward, and 2.5 times that going back.
    assert found["attention"] * rate == pytest.approx(3.5 * 4 * 512 * 3072 * 24 * batch * 512 / 2, rel=1e-9)


def test_the_bubble_is_that_of_one_forward_one_backward() -> None:
    """(p-1)/m of the time without it, where the head weighs nothing."""
    shape = ModelShape(layers=8, hidden=1024, heads=8, kv_heads=8, ffn=2048, vocab=2, context=256)
    layout = Layout(nodes=8, pp=8, micro_batch=1, accumulate=32)
    found = parts(workload(shape, batch=32, precision="fp32"), idealised(), layout)
    assert found["bubble"] / (found["matmul"] + found["attention"] + found["memory-bound"]) == pytest.approx(
        7 / 32, rel=1e-2
    )


@pytest.mark.parametrize("micro_batch", [1, 4, 16])
def test_a_block_takes_what_the_calibration_was_measured_against(micro_batch: int) -> None:
    """The planner's arrays and `shapes.block_seconds` must be one formula, or block_scale would correct another."""
    machine = calibrated(block_scale=1.3)
    assert machine.calibration is not None
    headless = SMALL.model_copy(update={"vocab": 2})
    one, five = (
        sum(
            parts(
                workload(shape, batch=micro_batch, precision="fp32"), machine, Layout(micro_batch=micro_batch)
            ).values()
        )
        for shape in (headless, headless.model_copy(update={"layers": 5}))
    )
    by_hand = shapes.block_seconds(
        SMALL, micro_batch, flops_per_s=lambda _: 4e10, memory_bytes_per_s=1e10, launch_overhead_s=5e-6
    )
    optimiser = shapes.layer_parameters(SMALL) * 40 / 1e10
    assert five - one == pytest.approx(1.3 * by_hand + optimiser, rel=1e-9)


def test_sharding_sends_each_block_twice_a_micro_batch_and_reduces_it_once_a_step() -> None:
    work, machine = workload(SMALL, batch=16, precision="fp32"), calibrated()
    once = parts(work, machine, Layout(nodes=2, fsdp=2, micro_batch=8))["communication"]
    twice = parts(work, machine, Layout(nodes=2, fsdp=2, micro_batch=4, accumulate=2))["communication"]
    replicated = parts(work, machine, Layout(nodes=2, dp=2, micro_batch=8))["communication"]
    assert replicated < once < twice < 2 * once


@settings(max_examples=80, deadline=None)
@given(machine=machines, data=st.data())
def test_every_part_is_finite_and_none_is_negative(machine: Machine, data: st.DataObject) -> None:
    work = workload(LLAMA_8B, precision="fp32" if machine.id == "local" else "bf16")
    found = parts(work, machine, data.draw(layouts(machine)))
    assert all(np.isfinite(seconds) and seconds >= 0 for seconds in found.values())


@settings(max_examples=80, deadline=None)
@given(machine=machines, data=st.data())
def test_recompute_never_saves_time_and_more_micro_batches_cost_it(machine: Machine, data: st.DataObject) -> None:
    work = workload(LLAMA_8B, precision="fp32" if machine.id == "local" else "bf16")
    layout = data.draw(layouts(machine)).model_copy(update={"recompute": "none"})
    time = sum(parts(work, machine, layout).values())
    # It costs nothing where it goes on while gradients are on their way.
    again = layout.model_copy(update={"recompute": "full"})
    assert sum(parts(work, machine, again).values()) >= time * (1 - 1e-12)
    again = layout.model_copy(update={"accumulate": layout.accumulate + 1})
    assert sum(parts(work, machine, again).values()) > time


@settings(max_examples=40, deadline=None)
@given(scale=st.floats(0.5, 4), data=st.data())
def test_a_slower_block_slows_the_block_alone(scale: float, data: st.DataObject) -> None:
    work = workload(SMALL, precision="fp32")
    layout = data.draw(layouts(calibrated()))
    plain, scaled = (parts(work, calibrated(block_scale=each), layout) for each in (1.0, scale))
    assert scaled["attention"] == pytest.approx(plain["attention"] * scale)
    assert scaled["communication"] == pytest.approx(plain["communication"])
    assert scaled["optimiser"] == pytest.approx(plain["optimiser"])


@pytest.mark.parametrize("run", published(), ids=lambda run: run.name)
def test_a_published_run_is_met_within_a_third(run: Published) -> None:
    predicted = sum(parts(run.workload, run.machine, run.layout).values())
    assert 1 / 1.34 < predicted / run.step_s < 1.34
