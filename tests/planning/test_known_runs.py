"""Trainings the world knows, in the layouts their reports state: step time, MFU, days and memory as published.

Tolerances are what a planner that never saw the machine can honestly claim; they are wider than today's deviations, and
none of the planner's constants is set by them. Reports differ in what their days hold: only time in steps is compared,
and a run's wall time is an upper bound for it.

OPT-175B is left out: its report gives 147 TFLOP/s a GPU without saying whether recomputed FLOPs count (a third apart).
"""

from __future__ import annotations

import pytest

from hanse.contracts.layout import Layout
from hanse.contracts.workload import Workload
from hanse.machines import catalogue
from hanse.planning import space
from hanse.planning.memory import footprint
from hanse.planning.steptime import step_times
from hanse.workloads import shapes
from hanse.workloads.presets import PRESETS

DAY_S = 86400
LLAMA_TOKENS = 15_600_000_000_000
LLAMA_16K = Layout(
    nodes=2048, fsdp=128, zero=2, tp=8, pp=16, micro_batch=1, accumulate=16, pipeline="interleaved", chunks=4
)
LLAMA_8K = LLAMA_16K.model_copy(update={"nodes": 1024, "fsdp": 64, "accumulate": 32})
BLOOM = Layout(
    nodes=48, fsdp=8, zero=1, tp=4, pp=12, micro_batch=2, accumulate=128, recompute="full", sequence_parallel=False
)
GPT3 = Layout(
    nodes=128, dp=16, tp=8, pp=8, micro_batch=1, accumulate=96, recompute="full", sequence_parallel=False,
    pipeline="interleaved", chunks=3,
)  # fmt: skip


def workload(preset: str, *, batch: int, tokens: int) -> Workload:
    shape = PRESETS[preset]
    return Workload(
        name=preset, shape=shape, context=shape.context, vocab=shape.vocab, global_batch=batch, total_tokens=tokens,
        parameters=shapes.parameters(shape), embedding_parameters=shapes.embedding_parameters(shape),
        flops_per_token=shapes.flops_per_token(shape),
    )  # fmt: skip


def step_s(trained: Workload, machine: str, layout: Layout, stack: str) -> float:
    assert trained.shape is not None
    assert layout.global_batch == trained.global_batch
    times = step_times(trained, trained.shape, catalogue.load(machine), space.of([layout]), stack=stack)
    return float(times.total[0])


def mfu(trained: Workload, machine: str, layout: Layout, stack: str) -> float:
    peak = catalogue.load(machine).accelerator.peak_flops["bf16"] * layout.world_size
    flops = trained.flops_per_token * trained.tokens_per_step
    return flops / step_s(trained, machine, layout, stack) / peak


@pytest.mark.parametrize(("layout", "published"), [(LLAMA_8K, 0.43), (LLAMA_16K, 0.41)])
def test_llama_3_405b_reaches_what_meta_reports(layout: Layout, published: float) -> None:
    """Llama team 2024, "The Llama 3 Herd of Models", table 4 (arXiv:2407.21783); its software overlaps as Megatron's."""
    trained = workload("llama-3-405b", batch=2048, tokens=LLAMA_TOKENS)
    assert mfu(trained, "dgx-h100", layout, "megatron-core") == pytest.approx(published, rel=0.15)


def test_llama_3_405b_takes_the_days_its_flops_take() -> None:
    """3.8e25 FLOPs (section 1) at 400 TFLOP/s on 16,384 GPUs (table 4) are 67 days; its 54 days are a snapshot."""
    trained = workload("llama-3-405b", batch=2048, tokens=LLAMA_TOKENS)
    days = trained.steps * step_s(trained, "dgx-h100", LLAMA_16K, "megatron-core") / DAY_S
    assert days == pytest.approx(67, rel=0.15)
    assert trained.flops_per_token * LLAMA_TOKENS == pytest.approx(3.8e25, rel=0.05)


def test_llama_3_405b_fits_without_recomputing_as_meta_says() -> None:
    """Section 3.3.2 of the same: sequences of 8K without activation checkpointing, on GPUs of 80 GB."""
    trained = workload("llama-3-405b", batch=2048, tokens=LLAMA_TOKENS)
    assert trained.shape is not None
    layout = LLAMA_16K.model_copy(update={"pipeline": "1f1b", "chunks": 1})
    layouts = space.of([layout])
    used = footprint(trained, trained.shape, catalogue.load("dgx-h100"), layouts, stack="megatron-core").at(0)
    assert 50e9 < used.total < 80e9


def test_bloom_takes_the_time_it_took_on_jean_zay() -> None:
    """Le Scao et al. 2022 (arXiv:2211.05100): 48 nodes of 8 A100, 366B tokens, 1,082,990 GPU-hours, stops included.

    The step of the final run is in the logs of bigscience-workshop/bigscience (tr11-176B-ml).
    """
    trained = workload("bloom-176b", batch=2048, tokens=366_000_000_000)
    predicted = step_s(trained, "dgx-a100", BLOOM, "megatron-deepspeed")
    assert predicted == pytest.approx(104.7, rel=0.15)
    held_days = 1_082_990 / 384 / 24
    assert 0.8 * held_days < trained.steps * predicted / DAY_S < held_days


def test_gpt_3_takes_the_month_megatron_promised() -> None:
    """Narayanan et al. 2021 (arXiv:2104.04473), section 5.1: 300B tokens on 1,024 A100 in 34 days."""
    trained = workload("gpt3-175b", batch=1536, tokens=300_000_000_000)
    days = trained.steps * step_s(trained, "dgx-a100", GPT3, "megatron-lm-2021") / DAY_S
    assert days == pytest.approx(34, rel=0.15)
