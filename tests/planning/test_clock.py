"""From steps to a whole run: failures, checkpoints and the jobs a partition cuts it into."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.plan import Interval
from hanse.machines import catalogue
from hanse.planning.clock import STARTUP_S, Clock
from hanse.planning.plan import make
from tests.planning.worlds import LLAMA_8B, SMALL, calibrated, workload

LUMI = catalogue.load("lumi-g")
WORK = workload(LLAMA_8B, batch=1024, tokens=10**12)
CLOCK = Clock(workload=WORK, machine=LUMI)


@given(nodes=st.integers(1, 1024), step_s=st.floats(0.1, 1000))
def test_many_layouts_at_once_take_what_each_takes_alone(nodes: int, step_s: float) -> None:
    around = Interval(low=0.9 * step_s, expected=step_s, high=1.2 * step_s)
    several = CLOCK.wall_s(np.array([7, nodes, 1024]), np.array([3.0, step_s, 900.0]))
    assert several[1] == pytest.approx(CLOCK.wall_time(nodes, around).expected, rel=1e-12)


@given(nodes=st.sampled_from([1, 8, 64, 1024]), step_s=st.floats(0.1, 100))
def test_a_run_takes_its_steps_over_the_useful_share_and_a_start_for_each_job(nodes: int, step_s: float) -> None:
    step = Interval(low=step_s * 0.8, expected=step_s, high=step_s * 1.25)
    wall, share = CLOCK.wall_time(nodes, step), CLOCK.goodput(nodes, step_s).share
    held_s = WORK.steps * step_s / share.expected
    jobs = (wall.expected - held_s) / STARTUP_S["slurm"]
    assert jobs == pytest.approx(-(-held_s // (2 * 86400 - STARTUP_S["slurm"])), abs=1e-3)
    assert wall.low < wall.expected < wall.high
    assert wall.low < WORK.steps * step.expected < wall.high


@pytest.mark.filterwarnings("error")
def test_a_layout_that_takes_for_ever_on_a_machine_without_a_limit_takes_for_ever_without_a_warning() -> None:
    clock = Clock(workload=workload(SMALL, batch=16, tokens=10**5, precision="fp32"), machine=calibrated())
    for_ever, one = clock.wall_s(np.array([2, 2]), np.array([np.inf, 1.0]))
    assert np.isinf(for_ever) and one > clock.workload.steps


def test_more_nodes_fail_more_often_and_a_larger_share_of_the_time_is_lost() -> None:
    shares = [CLOCK.goodput(nodes, 10.0).share.expected for nodes in (1, 16, 256, 1024)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.999
    assert shares[-1] < 0.99


def test_checkpoints_come_after_whole_steps() -> None:
    quick, slow = CLOCK.goodput(1024, 1.0), CLOCK.goodput(1024, 20_000.0)
    assert quick.checkpoint_every_s < slow.checkpoint_every_s == 20_000.0
    assert slow.share.expected < quick.share.expected


def test_a_run_of_seconds_on_this_machine_loses_nothing_worth_a_word() -> None:
    work = workload(SMALL, batch=16, tokens=10**5, precision="fp32")
    plan = make(work, calibrated(), nodes=2)
    assert plan.goodput is not None
    assert plan.goodput.share.expected == pytest.approx(1, abs=1e-4)
    alone_s = plan.steps * plan.step_time.total_s.expected + STARTUP_S["local"]
    assert plan.wall_time_s.expected == pytest.approx(alone_s, rel=1e-4)
    assert not any("Failures" in each for each in plan.estimates)
