"""Step time: published formulas by hand, published runs within a loose factor, and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.layout import Layout
from hanse.contracts.machine import Machine
from hanse.contracts.workload import Block, Experts, LatentAttention, ModelShape, Workload
from hanse.machines import catalogue
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

MOE = ModelShape(
    family="decoder", layers=16, hidden=2048, heads=16, kv_heads=4, ffn=8192, vocab=64000, context=4096, head_size=128,
    experts=Experts(count=64, active=8, ffn=1024, shared_ffn=1024, dense_layers=1),
)  # fmt: skip
LATENT = MOE.model_copy(
    update={"latent": LatentAttention(q_rank=1536, kv_rank=512, nope_dim=128, rope_dim=64, v_dim=128), "kv_heads": 16}
)
WINDOWED = ModelShape(
    family="decoder", layers=24, hidden=2048, heads=16, kv_heads=16, ffn=8192, vocab=32000, context=8192, gated=False,
    window=1024, full_attention_every=4, norm="layer",
)  # fmt: skip
ENCODER = ModelShape(
    family="encoder", layers=24, hidden=1024, heads=16, kv_heads=16, ffn=4096, vocab=30522, context=512, gated=False,
    norm="layer", positions="learned",
)  # fmt: skip
SHAPES = (LLAMA_8B, MOE, LATENT, WINDOWED, ENCODER)


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


def test_every_exchange_of_sharded_blocks_costs_what_was_measured_amid_their_compute() -> None:
    work, machine = workload(SMALL, batch=16, precision="fp32"), calibrated()
    assert machine.calibration is not None
    changes = {"calibration": machine.calibration.model_copy(update={"exchange_overhead_s": 0.004})}
    slower = machine.model_copy(update=changes)

    def more(layout: Layout) -> float:
        return parts(work, slower, layout)["communication"] - parts(work, machine, layout)["communication"]

    pieces = SMALL.layers + 1  # the ends are gathered once
    assert more(Layout(nodes=2, dp=2, micro_batch=8)) == 0
    assert more(Layout(nodes=2, fsdp=2, micro_batch=8)) == pytest.approx(0.004 * (3 * pieces - 1))
    twice = more(Layout(nodes=2, fsdp=2, micro_batch=4, accumulate=2))
    assert twice == pytest.approx(0.004 * (2 * (2 * pieces - 1) + pieces))


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
    before = parts(work, machine, layout)
    time = sum(before.values())
    after = parts(work, machine, layout.model_copy(update={"recompute": "full"}))
    # What computes longer hides more of what is sent meanwhile, at best as much as it takes; all else takes longer.
    sent = ("data-parallel", "sharding")
    freed = sum(before.get(name, 0.0) - after.get(name, 0.0) for name in sent)
    assert after["recompute"] > 0
    assert sum(after.values()) - time + freed > 0
    assert sum(after.values()) > time if freed <= 0 else sum(after.values()) >= time * (1 - 1e-12)
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


def gpu_total(work: Workload, machine: Machine, layout: Layout, **more: str) -> float:
    assert work.shape is not None
    return float(step_times(work, work.shape, machine, space.of([layout]), **more).total[0])


gpus = st.sampled_from([*map(catalogue.load, ("lumi-g", "leonardo-booster", "dgx-h100"))])
rich = st.builds(
    dict, zero=st.sampled_from([1, 2, 3]), sequence_parallel=st.booleans(), offload=st.booleans(),
    recompute=st.sampled_from(["none", "selective", "full"]), cp=st.sampled_from([1, 2]),
)  # fmt: skip


@st.composite
def any_layouts(draw: st.DrawFn, machine: Machine) -> Layout:
    """Those of `layouts`, with all that GPUs can do beside."""
    layout = draw(layouts(machine))
    more = draw(rich)
    chunks = draw(st.sampled_from([1, 2])) if layout.pp > 1 else 1
    pipeline = "1f1b" if chunks == 1 else draw(st.sampled_from(["interleaved", "zero-bubble"]))
    return Layout(
        **(layout.model_dump() | more | {"nodes": layout.nodes * more["cp"], "chunks": chunks, "pipeline": pipeline})
    )


@settings(max_examples=60, deadline=None)
@given(
    machine=gpus, data=st.data(), shape=st.sampled_from(SHAPES), stack=st.sampled_from(["hanse", "megatron-core", "?"])
)
def test_the_parts_of_a_step_add_up_to_it(machine: Machine, data: st.DataObject, shape: ModelShape, stack: str) -> None:
    times = step_times(workload(shape), shape, machine, space.of([data.draw(any_layouts(machine))]), stack=stack)
    assert float(sum(part[0] for part in times.parts.values())) == pytest.approx(float(times.total[0]), rel=1e-9)
    for found in (times.parts, times.hidden):
        assert all(np.isfinite(part[0]) and part[0] >= -1e-12 for part in found.values())


@settings(max_examples=60, deadline=None)
@given(machine=gpus, data=st.data(), shape=st.sampled_from(SHAPES), factor=st.floats(0.2, 0.95))
def test_slower_hardware_never_makes_a_step_shorter(
    machine: Machine, data: st.DataObject, shape: ModelShape, factor: float
) -> None:
    layout, work = data.draw(any_layouts(machine)), workload(shape)
    chip = machine.accelerator
    assert machine.in_node is not None and machine.between_nodes is not None
    node, between = machine.in_node, machine.between_nodes
    slower = (
        {"accelerator": chip.model_copy(update={"memory_bytes_per_s": chip.memory_bytes_per_s * factor})},
        {"accelerator": chip.model_copy(update={"peak_flops": {k: v * factor for k, v in chip.peak_flops.items()}})},
        {"in_node": node.model_copy(update={"bytes_per_s": node.bytes_per_s * factor})},
        {"between_nodes": between.model_copy(update={"bytes_per_s": between.bytes_per_s * factor})},
    )  # fmt: skip
    whole = gpu_total(work, machine, layout)
    for change in slower:
        assert gpu_total(work, machine.model_copy(update=change), layout) >= whole * (1 - 1e-9)


@settings(max_examples=40, deadline=None)
@given(machine=gpus, data=st.data())
def test_splitting_a_model_further_never_makes_its_products_slower(machine: Machine, data: st.DataObject) -> None:
    work, layout = workload(LLAMA_8B), data.draw(layouts(machine))
    further = layout.model_copy(update={"pp": layout.pp * 2, "nodes": layout.nodes * 2})
    assert parts(work, machine, further)["matmul"] <= parts(work, machine, layout)["matmul"] * (1 + 1e-9)


@settings(max_examples=30, deadline=None)
@given(machine=gpus, data=st.data())
def test_many_layouts_at_once_take_what_each_takes_alone(machine: Machine, data: st.DataObject) -> None:
    work = workload(MOE)
    assert work.shape is not None
    several = data.draw(st.lists(any_layouts(machine), min_size=2, max_size=12))
    together = step_times(work, work.shape, machine, space.of(several)).total
    alone = [gpu_total(work, machine, layout) for layout in several]
    assert np.allclose(together, alone, rtol=1e-12)
    assert np.array_equal(together, step_times(work, work.shape, machine, space.of(several)).total)


def test_frozen_weights_save_the_product_for_their_gradients() -> None:
    machine, layout = catalogue.load("dgx-h100"), Layout(fsdp=8, micro_batch=1)
    work = workload(LLAMA_8B, batch=8)
    lora = work.model_copy(update={"training": "lora", "trainable_parameters": 20_000_000})
    assert parts(lora, machine, layout)["matmul"] / parts(work, machine, layout)["matmul"] == pytest.approx(
        2 / 3, rel=0.02
    )


def test_a_traced_module_takes_its_counted_flops() -> None:
    machine, layout = catalogue.load("dgx-h100"), Layout(fsdp=8, micro_batch=4)
    block = Block(name="block", repeats=24, parameters=10**7, forward_flops=2e11, elementwise_bytes=1e8,
                  activation_bytes=10**7, operations=40)  # fmt: skip
    one = workload(LLAMA_8B, batch=32).model_copy(update={"blocks": (block,)})
    twice = one.model_copy(update={"blocks": (block.model_copy(update={"forward_flops": 4e11}),)})
    first, second = parts(one, machine, layout), parts(twice, machine, layout)
    assert second["matmul"] == pytest.approx(2 * first["matmul"])
    assert first["matmul"] >= 24 * 3 * 4 * 2e11 / machine.accelerator.peak_flops["bf16"]


@pytest.mark.parametrize("run", published(), ids=lambda run: run.name)
def test_a_published_run_is_met_within_a_third(run: Published) -> None:
    predicted = sum(parts(run.workload, run.machine, run.layout).values())
    assert 1 / 1.34 < predicted / run.step_s < 1.34


def test_stages_and_experts_that_lie_islands_apart_share_the_tapered_links() -> None:
    machine = catalogue.load("jupiter-booster")
    assert machine.island is not None
    tapered = machine.model_copy(update={"island": machine.island.model_copy(update={"nodes": 16, "taper": 0.25})})
    work = workload(LLAMA_8B, batch=512)

    def of(layout: Layout, name: str) -> tuple[float, float]:
        return parts(work, machine, layout)[name], parts(work, tapered, layout)[name]

    wide, slower = of(Layout(nodes=64, dp=128, pp=2, accumulate=4), "pipeline")
    assert slower > 1.5 * wide
    near, same = of(Layout(nodes=16, dp=32, pp=2, accumulate=16), "pipeline")
    assert same == near
    ring, as_fast = of(Layout(nodes=64, fsdp=256, micro_batch=2), "sharding")
    assert as_fast == ring, "a ring of neighbours crosses between islands once"

    mixture = workload(MOE, batch=512)
    layout = Layout(nodes=64, dp=256, ep=64, micro_batch=2)
    within = layout.model_copy(update={"ep": 16})
    before, after = (parts(mixture, each, layout)["expert-parallel"] for each in (machine, tapered))
    assert before == after, "64 ranks are one island of 16 nodes"
    narrow = machine.model_copy(update={"island": machine.island.model_copy(update={"nodes": 8, "taper": 0.25})})
    assert parts(mixture, narrow, layout)["expert-parallel"] > before
    assert parts(mixture, narrow, within) == parts(mixture, machine, within)


def test_what_hides_gathers_of_weights_hides_no_gradients_beside_them() -> None:
    """Copies of sharded models reduce gradients too: half the peak hides no more than it takes longer."""
    machine = catalogue.load("lumi-g")
    chip = machine.accelerator
    halved = chip.model_copy(update={"peak_flops": {name: rate / 2 for name, rate in chip.peak_flops.items()}})
    layout = Layout(nodes=8, dp=8, fsdp=4, cp=2)
    work = workload(MOE)
    before = gpu_total(work, machine, layout)
    assert gpu_total(work, machine.model_copy(update={"accelerator": halved}), layout) > before
