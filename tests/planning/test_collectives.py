"""Seconds of collectives, by hand and by laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.machine import Machine
from hanse.machines import catalogue
from hanse.planning import collectives, constants
from hanse.planning.collectives import Group, group
from hanse.planning.steptime import hardware_of
from tests.planning.worlds import SMALL, calibrated, workload

WORK = workload(SMALL, precision="fp32")
BUS, NIC = constants.load().bus_of_link, constants.load().nic_of_link
H100 = catalogue.load("dgx-h100")
powers = st.sampled_from([1, 2, 4, 8, 16, 64, 256])


def one(size: int, in_node: int) -> Group:
    return Group(size=np.array([size]), in_node=np.array([in_node]), nodes=np.array([size // in_node]))


def seconds(machine: Machine, ranks: Group, message_bytes: float) -> float:
    hardware = hardware_of(machine, WORK)
    return float(np.asarray(collectives.all_reduce_s(hardware, ranks, np.array([message_bytes]), constants.load()))[0])


def test_an_all_reduce_in_a_node_takes_what_a_ring_takes() -> None:
    """8 GPUs, 1 GB: 2·7/8 of it over each link at a measured share of 450 GB/s."""
    assert seconds(H100, one(8, 8), 1e9) == pytest.approx(2 * 7 / 8 * 1e9 / (BUS * 450e9), rel=0.02)


def test_an_all_reduce_over_nodes_sends_an_eighth_of_the_message_over_each_card() -> None:
    in_node = 2 * 7 / 8 * 1e9 / (BUS * 450e9)
    between = 2 * 3 / 4 * (1e9 / 8) / (NIC * 50e9)
    assert seconds(H100, one(32, 8), 1e9) == pytest.approx(in_node + between, rel=0.03)


@given(size=powers, stride=powers, per_node=st.sampled_from([1, 2, 4, 8]))
def test_a_group_is_its_members_in_a_node_times_its_nodes(size: int, stride: int, per_node: int) -> None:
    ranks = group(np.array([size]), np.array([stride]), np.array([per_node]))
    in_node, nodes = float(np.asarray(ranks.in_node)[0]), float(np.asarray(ranks.nodes)[0])
    assert in_node * nodes == size
    assert 1 <= in_node <= max(1, per_node // stride)


@settings(max_examples=100)
@given(size=powers, message=st.floats(1.0, 1e11), factor=st.floats(1.01, 100))
def test_more_bytes_never_take_less_time_and_one_rank_takes_none(size: int, message: float, factor: float) -> None:
    for machine in (H100, calibrated()):
        ranks = group(np.array([size]), np.array([1]), hardware_of(machine, WORK).domain)
        small, large = (seconds(machine, ranks, each) for each in (message, message * factor))
        assert small <= large * (1 + 1e-9)
        assert (small == 0) == (size == 1)


def test_a_calibrated_group_follows_its_measured_curve() -> None:
    machine = calibrated()
    assert seconds(machine, one(2, 2), 2e7) == pytest.approx(2e7 / 1.1e9)
    assert seconds(machine, one(2, 2), 4e3) == pytest.approx(4e3 / 6e6)


def test_a_machine_without_links_between_nodes_cannot_use_two() -> None:
    alone = H100.model_copy(update={"between_nodes": None})
    assert seconds(alone, one(16, 8), 1e6) == float("inf")
    assert seconds(alone, one(8, 8), 1e6) < 1
