"""Bytes on a rank: ZeRO's figures by hand, and laws."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.layout import Layout
from hanse.contracts.machine import Machine
from hanse.contracts.plan import Memory
from hanse.contracts.workload import Workload
from hanse.machines import catalogue
from hanse.planning import space
from hanse.planning.memory import footprint
from tests.planning.worlds import LLAMA_8B, SMALL, Published, calibrated, layouts, machines, published, workload


def memory(work: Workload, machine: Machine, layout: Layout) -> Memory:
    assert work.shape is not None
    return footprint(work, work.shape, machine, space.of([layout])).at(0)


def states(held: Memory) -> int:
    return held.parameters + held.gradients + held.optimiser


def test_a_model_held_whole_takes_16_bytes_a_parameter() -> None:
    """Rajbhandari et al. 2020: 2 + 2 + 12 bytes; ours in fp32 are 4 + 4 + 8."""
    work = workload(SMALL, precision="fp32")
    assert states(memory(work, calibrated(), Layout(nodes=2, dp=2))) == pytest.approx(16 * work.parameters)


def test_full_sharding_divides_the_states_by_the_ranks() -> None:
    work = workload(LLAMA_8B)
    held = memory(work, catalogue.load("dgx-h100"), Layout(nodes=8, fsdp=64))
    assert states(held) == pytest.approx(16 * work.parameters / 64, rel=1e-6)
    hybrid = memory(work, catalogue.load("dgx-h100"), Layout(nodes=8, dp=8, fsdp=8))
    assert states(hybrid) == pytest.approx(16 * work.parameters / 8, rel=1e-6)


def test_pipeline_and_tensor_parallelism_divide_the_blocks() -> None:
    work = workload(LLAMA_8B)
    held = memory(work, catalogue.load("dgx-h100"), Layout(nodes=4, tp=8, pp=4, accumulate=16))
    blocks = (work.parameters - work.embedding_parameters) / 32
    assert held.parameters == pytest.approx(4 * (blocks + 128256 * 4096 / 8), rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(machine=machines, data=st.data(), factor=st.integers(2, 4))
def test_a_larger_micro_batch_never_needs_less(machine: Machine, data: st.DataObject, factor: int) -> None:
    layout = data.draw(layouts(machine))
    larger = layout.model_copy(update={"micro_batch": layout.micro_batch * factor})
    assert memory(workload(LLAMA_8B), machine, larger).total > memory(workload(LLAMA_8B), machine, layout).total


@settings(max_examples=60, deadline=None)
@given(machine=machines, data=st.data())
def test_turning_replicas_into_shards_never_adds_states(machine: Machine, data: st.DataObject) -> None:
    layout = data.draw(layouts(machine))
    sharded = layout.model_copy(update={"dp": 1, "fsdp": layout.dp * layout.fsdp})
    assert states(memory(workload(LLAMA_8B), machine, sharded)) <= states(memory(workload(LLAMA_8B), machine, layout))


@settings(max_examples=60, deadline=None)
@given(machine=machines, data=st.data())
def test_more_recompute_never_keeps_more_activations(machine: Machine, data: st.DataObject) -> None:
    layout = data.draw(layouts(machine))
    kept = [
        memory(workload(LLAMA_8B), machine, layout.model_copy(update={"recompute": mode})).activations
        for mode in ("full", "none")
    ]
    # With one layer a stage, recomputing it whole saves nothing and keeps its input besides.
    assert kept[0] <= kept[1] * 1.1


@pytest.mark.parametrize("run", [run for run in published() if run.layout.accumulate == 1], ids=lambda run: run.name)
def test_a_layout_that_really_ran_is_held_to_fit(run: Published) -> None:
    """Runs that accumulated are left out: their stacks kept gradients sharded meanwhile, Hanse's trainer does not."""
    held = memory(run.workload, run.machine, run.layout)
    assert held.total <= held.limit * 1.05
