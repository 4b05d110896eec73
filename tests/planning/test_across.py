"""Options over machines and numbers of nodes, and what nothing else beats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.machines import catalogue
from hanse.planning import across, pareto
from hanse.planning.plan import make
from hanse.planning.search import Limits
from tests.planning.worlds import LLAMA_8B, SMALL, calibrated, workload

MACHINES = [catalogue.load(each) for each in ("lumi-g", "leonardo-booster", "dgx-h100", "mi300x-node")]
WORK = workload(LLAMA_8B, batch=512, tokens=10**11)


def test_each_option_is_the_plan_for_that_machine_and_number_of_nodes() -> None:
    options = across.options(WORK, MACHINES, nodes=[16, 24, 32], executable_only=False)
    assert {each.machine for each in options} == {each.id for each in MACHINES}
    for each in options[:6]:
        plan = make(WORK, catalogue.load(each.machine), nodes=each.nodes, executable_only=False)
        assert each.layout == plan.layout
        assert each.step_time_s == plan.step_time.total_s
        assert each.accelerator_seconds == plan.accelerator_seconds
        assert each.mfu == pytest.approx(plan.mfu)


def test_options_come_soonest_first_and_those_on_the_front_are_not_beaten() -> None:
    options = across.options(WORK, MACHINES)
    walls = [each.wall_time_s.expected for each in options]
    assert walls == sorted(walls)
    front = [each for each in options if each.best]
    assert front
    for each in front:
        assert not any(
            other.wall_time_s.expected < each.wall_time_s.expected
            and other.accelerator_seconds < each.accelerator_seconds
            for other in options
        )
    assert min(options, key=lambda each: each.accelerator_seconds).best


def test_machines_without_an_option_are_named_with_the_reason() -> None:
    tiny = calibrated()
    survey = across.survey(WORK, [*MACHINES, tiny], limits=Limits(), executable_only=False)
    assert dict(survey.left_out) == {tiny.id: f"{tiny.accelerator.name} has no bf16 rate"}
    assert survey.weighed > 1000
    huge = workload(LLAMA_8B.model_copy(update={"layers": 2000}), batch=64)
    none = across.survey(huge, [MACHINES[0]], nodes=[1], limits=Limits())
    assert none.options == ()
    assert none.left_out == (("lumi-g", "the model does not fit into its memory"),)


def test_limits_leave_only_what_keeps_to_them() -> None:
    options = across.options(WORK, MACHINES)
    middle = sorted(each.wall_time_s.expected for each in options)[len(options) // 2]
    kept = across.options(WORK, MACHINES, finish_by_s=middle)
    assert 0 < len(kept) < len(options)
    assert all(each.wall_time_s.expected <= middle for each in kept)


def test_a_calibrated_machine_of_ones_own_is_an_option_too() -> None:
    options = across.options(workload(SMALL, batch=16, precision="fp32"), [calibrated()])
    assert [each.nodes for each in sorted(options, key=lambda each: each.nodes)] == [1, 2]


@given(pairs=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_the_front_is_what_nothing_else_beats(pairs: list[tuple[int, int]]) -> None:
    first, second = (np.array([pair[place] for pair in pairs], dtype=np.float64) for place in (0, 1))
    flags = pareto.front(first, second)
    for index, (one, two) in enumerate(pairs):
        beaten = any(a <= one and b <= two and (a, b) != (one, two) for a, b in pairs)
        earlier = (one, two) in pairs[:index]
        assert flags[index] == (not beaten and not earlier)


def test_of_least_energy_first_and_machines_whose_draw_nobody_knows_are_left_out_of_it() -> None:
    machines = [*MACHINES, catalogue.load("marenostrum5-acc"), catalogue.load("alice-recoque")]
    survey = across.survey(WORK, machines, limits=Limits(), objective="energy", executable_only=False)
    drawn = [each.energy_joules for each in survey.options]
    assert None not in drawn
    assert drawn == sorted(drawn, key=lambda each: each or 0.0)
    reasons = dict(survey.left_out)
    assert "its energy is not known" in reasons["marenostrum5-acc"]
    assert survey.options[0].best
    cheapest = across.options(WORK, machines, objective="cost", executable_only=False)
    used = [each.accelerator_seconds for each in cheapest]
    assert used == sorted(used)
    assert any(each.machine == "marenostrum5-acc" for each in cheapest)
