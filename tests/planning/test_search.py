"""The search: what it leaves out could not have won, nothing beats what it chooses, the same input gives the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.errors import HanseError, PlanError, UsageError
from hanse.contracts.layout import Layout
from hanse.contracts.machine import Machine
from hanse.contracts.workload import ModelShape, Precision, Workload
from hanse.machines import catalogue
from hanse.planning import bounds, choose, compare, least, search, space
from hanse.planning.memory import footprint
from hanse.planning.plan import make
from hanse.planning.search import Limits
from tests.planning.worlds import GPT_3, LLAMA_8B, MIXTURE, SMALL, calibrated, workload

MACHINES = [catalogue.load(each) for each in ("lumi-g", "leonardo-booster", "dgx-h100")]
ROOMY = MACHINES[2].model_copy(update={"host_memory_bytes": 2 * 10**12, "host_bytes_per_s": 5e10})


@st.composite
def searches(draw: st.DrawFn) -> tuple[Workload, ModelShape, Machine, space.Space]:
    shape = draw(st.sampled_from([LLAMA_8B, GPT_3, MIXTURE]))
    machine = draw(st.sampled_from([*MACHINES, ROOMY]))
    work = workload(shape, batch=draw(st.sampled_from([64, 96, 256])))
    rules = bounds.rules(work, machine, executable_only=draw(st.booleans()))
    nodes = draw(st.lists(st.sampled_from([1, 2, 3, 4, 6, 8, 16]), min_size=1, max_size=3))
    return work, shape, machine, space.whole(nodes, shape, rules)


@settings(max_examples=25, deadline=None)
@given(drawn=searches())
def test_what_the_search_leaves_out_could_not_have_been_chosen(
    drawn: tuple[Workload, ModelShape, Machine, space.Space],
) -> None:
    work, shape, machine, found = drawn
    numbers = np.arange(len(found))
    everything = search.weigh(work, shape, machine, found.take(numbers))
    sought = search.seek(work, shape, machine, found)
    assert sought.weighed <= len(found)
    assert sought.fits_memory.all()
    for nodes in np.unique(everything.nodes):
        all_of_it = everything.fits_memory & (everything.nodes == nodes)
        kept = sought.nodes == nodes
        assert all_of_it.any() == kept.any()
        if kept.any():
            assert sought.step_s[kept].min() == pytest.approx(everything.step_s[all_of_it].min(), rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(drawn=searches(), objective=st.sampled_from([None, "time", "cost", "energy"]))
def test_no_layout_that_was_weighed_dominates_the_chosen_one(
    drawn: tuple[Workload, ModelShape, Machine, space.Space], objective: choose.Objective | None
) -> None:
    work, shape, machine, found = drawn
    weighed = search.seek(work, shape, machine, found)
    choice = choose.choose(work, weighed, Limits(), objective)
    if choice is None:
        assert not len(weighed.numbers)
        return
    wall_s, used = weighed.wall_s[choice.position], weighed.accelerator_seconds[choice.position]
    clearly = 1 - 3 * choose.AS_FAST
    assert not ((weighed.wall_s < wall_s * clearly) & (weighed.accelerator_seconds < used * clearly)).any()
    on_as_many = weighed.nodes == weighed.nodes[choice.position]
    assert weighed.step_s[on_as_many].min() >= weighed.step_s[choice.position] * clearly


@settings(max_examples=15, deadline=None)
@given(
    shape=st.sampled_from([LLAMA_8B, MIXTURE]),
    machine=st.sampled_from(MACHINES),
    nodes=st.sampled_from([None, 16, 32]),
    batch=st.sampled_from([128, 256]),
)
def test_the_same_input_gives_the_same_plan(shape: ModelShape, machine: Machine, nodes: int | None, batch: int) -> None:
    work = workload(shape, batch=batch)

    def plan() -> str:
        try:
            made = make(work, machine, nodes=nodes, executable_only=False)
        except HanseError as error:
            return str(error)
        return made.model_copy(update={"made_at": work_began}).to_json()

    work_began = make(workload(SMALL, precision="fp32"), calibrated()).made_at
    assert plan() == plan()


def test_objectives_trade_time_for_cost() -> None:
    work = workload(LLAMA_8B, batch=512, tokens=10**11)
    plans = {each: make(work, ROOMY, objective=each, executable_only=False) for each in ("time", "cost", "energy")}
    assert plans["time"].wall_time_s.expected < plans["cost"].wall_time_s.expected
    assert plans["time"].accelerator_seconds > plans["cost"].accelerator_seconds
    assert plans["energy"].layout == plans["cost"].layout
    assert any("the soonest to finish" in each for each in plans["time"].why)


def test_a_date_to_finish_by_is_kept_as_cheaply_as_can_be_and_within_the_budget() -> None:
    work = workload(LLAMA_8B, batch=512, tokens=10**11)
    relaxed = make(work, ROOMY, executable_only=False)
    soon = relaxed.wall_time_s.expected / 3
    by_then = make(work, ROOMY, finish_by_s=soon, executable_only=False)
    assert by_then.wall_time_s.expected <= soon
    assert by_then.layout.nodes > relaxed.layout.nodes
    assert any("the cheapest that finish within" in each for each in by_then.why)
    with pytest.raises(PlanError, match="cap on GPU-hours") as caught:
        make(
            work,
            ROOMY,
            finish_by_s=soon,
            max_accelerator_seconds=relaxed.accelerator_seconds * 0.5,
            executable_only=False,
        )
    assert "Raise where.max_gpu_hours to" in caught.value.fix
    with pytest.raises(PlanError, match="by the date"):
        make(work, ROOMY, finish_by_s=60.0, executable_only=False)


def test_what_does_not_fit_is_told_with_what_is_short_and_the_smallest_change_that_fits() -> None:
    work = workload(GPT_3, batch=1536)
    with pytest.raises(PlanError, match="short by") as caught:
        make(work, MACHINES[1], nodes=4, executable_only=False)
    said = caught.value.fix
    fewest = int(said.split("It would fit on ")[1].split()[0])
    assert make(work, MACHINES[1], nodes=fewest, executable_only=False).memory.fits
    fewer = [each for each in space.node_counts(fewest - 1, 1536, 4) if each > 4]
    for nodes in fewer[-2:]:
        with pytest.raises(PlanError):
            make(work, MACHINES[1], nodes=nodes, executable_only=False)


def test_a_context_that_is_too_long_is_told_the_longest_that_fits() -> None:
    long = LLAMA_8B.model_copy(update={"context": 2**21})
    with pytest.raises(PlanError, match="no layout fits") as caught:
        make(workload(long, batch=32), MACHINES[2], nodes=4)
    context = int(caught.value.fix.split("a context of ")[1].split(" tokens")[0].replace(",", ""))
    shorter = LLAMA_8B.model_copy(update={"context": context})
    assert make(workload(shorter, batch=32), MACHINES[2], nodes=4).memory.fits


def test_levers_are_the_best_layouts_of_changed_requests() -> None:
    work = workload(LLAMA_8B, batch=256, tokens=10**11)
    plan = make(work, ROOMY, nodes=4, executable_only=False, with_levers=True, others=MACHINES)
    changes = {each.change: each for each in plan.levers}
    twice = make(work.model_copy(update={"global_batch": 512}), ROOMY, nodes=4, executable_only=False)
    assert changes["with twice the batch"].layout == twice.layout
    assert changes["with twice the batch"].step_time_s == pytest.approx(twice.step_time.total_s.expected)
    assert changes["on 8 nodes"].layout.nodes == 8
    assert changes["with full recompute"].layout.recompute == "full"
    assert "on 4 nodes of lumi-g" in changes
    assert "without tp" not in changes or plan.layout.tp > 1


def test_a_layout_given_in_part_is_compared_as_the_best_with_those_degrees() -> None:
    work = workload(LLAMA_8B, batch=256)
    plan = make(work, ROOMY, nodes=4, executable_only=False)
    found = compare.compare(work, ROOMY, plan.layout, compare.parse("tp=8, pp=4"))
    assert found.first.candidate.layout == plan.layout
    assert (found.second.candidate.layout.tp, found.second.candidate.layout.pp) == (8, 4)
    assert found.second.candidate.layout.nodes == 4
    assert found.slower >= -3 * choose.AS_FAST
    assert sum(found.differences.values()) == pytest.approx(
        found.second.candidate.step_time_s - found.first.candidate.step_time_s
    )
    assert any("keeps the optimiser's state on the accelerator" in each for each in found.second.breaks)


def test_a_comparison_says_which_limit_the_other_breaks() -> None:
    work = workload(GPT_3, batch=1536)
    plan = make(work, MACHINES[1], nodes=384, executable_only=False)
    found = compare.compare(work, MACHINES[1], plan.layout, {"tp": 1, "pp": 1, "cp": 1, "recompute": 0})
    assert any(each.startswith("needs") for each in found.second.breaks)
    assert found.second.candidate.note == found.second.breaks[0]
    whole = Layout(nodes=384, dp=1536, micro_batch=1)
    with pytest.raises(PlanError, match="5 does not divide the 1536 ranks"):
        compare.compare(work, MACHINES[1], whole, {"tp": 5})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tpp=8", "did you mean tp"),
        ("tp=0", "whole number"),
        ("recompute=some", "none or selective or full"),
        ("", "no degree"),
    ],
)
def test_degrees_that_cannot_be_read_are_told_in_words(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        compare.parse(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("change", "wanted", "said"),
    [
        ({}, {"nodes": 0}, "0 nodes"),
        ({}, {"nodes": -3}, "-3 nodes"),
        ({}, {"max_wall_time_s": -1.0}, "wall time is -1"),
        ({}, {"max_accelerator_seconds": 0}, "accelerator-seconds is 0"),
        ({"parameters": 10**15}, {}, "1,000,000,000,000,000 parameters"),
        ({"global_batch": 10**12}, {}, "counts sequences, not tokens"),
    ],
)
def test_bad_input_gets_one_clear_message(change: dict[str, int], wanted: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        make(workload(SMALL).model_copy(update=change), MACHINES[0], **wanted)  # type: ignore[arg-type]
    assert said in str(caught.value)


@settings(max_examples=15, deadline=None)
@given(drawn=searches(), precision=st.sampled_from(["bf16", "fp8"]))
def test_what_probes_rule_out_does_not_fit(
    drawn: tuple[Workload, ModelShape, Machine, space.Space], precision: Precision
) -> None:
    work, shape, machine, found = drawn
    work = work.model_copy(update={"precision": precision})
    if not len(found):
        return
    probed = least.Least.of(work, shape, machine, found)
    base = np.arange(found.bases)
    for number in range(len(found.modes)):
        written = found.take(base * len(found.modes) + number)
        fits = footprint(work, shape, machine, written).fits
        may = probed.may_fit(number, found.row_of(base * len(found.modes)), written)
        assert may[fits].all()
