"""Which sample comes when: laws that hold for any number of samples, ranks, seeds and interruptions."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hanse.training.data.order import FINEST, Mixture, Order, slots

COUNTS = st.integers(1, 700)
SEEDS = st.integers(0, 2**63)


@given(COUNTS, SEEDS, st.integers(0, 3))
def test_an_epoch_holds_every_sample_exactly_once(samples: int, seed: int, epoch: int) -> None:
    positions = np.arange(epoch * samples, (epoch + 1) * samples)
    assert sorted(Order(samples, seed).at(positions).tolist()) == list(range(samples))


@given(COUNTS, SEEDS, st.data())
def test_a_position_gives_the_same_sample_however_it_is_asked_for(samples: int, seed: int, data: st.DataObject) -> None:
    order = Order(samples, seed)
    positions = np.array(data.draw(st.lists(st.integers(0, 3 * samples), min_size=1, max_size=40)))
    alone = [int(order.at(np.array([position]))[0]) for position in positions]
    assert order.at(positions).tolist() == alone


@given(st.integers(1, 60), SEEDS, st.lists(st.sampled_from([1, 2, 3, 4, 6, 12]), min_size=1, max_size=8))
def test_any_sequence_of_world_sizes_reads_the_same_samples_in_the_same_order(
    samples: int, seed: int, worlds: list[int]
) -> None:
    batch, order = 12, Order(samples, seed)
    read: list[int] = []
    for step, world in enumerate(worlds):
        share = batch // world
        for rank in range(world):
            first = step * batch + rank * share
            read += order.at(np.arange(first, first + share)).tolist()
    assert read == order.at(np.arange(batch * len(worlds))).tolist()


WEIGHTS = st.lists(st.integers(1, 9), min_size=1, max_size=4)


@given(WEIGHTS, st.data(), SEEDS, st.lists(st.sampled_from([4, 2, 3]), min_size=1, max_size=8))
def test_a_mixture_is_read_in_one_order_whatever_the_ranks_and_each_dataset_once_an_epoch(
    weights: list[int], data: st.DataObject, seed: int, worlds: list[int]
) -> None:
    counts = data.draw(st.lists(st.integers(1, 30), min_size=len(weights), max_size=len(weights)))
    batch, mixture = 12, Mixture(counts, weights, seed)
    read: list[int] = []
    for step, world in enumerate(worlds):
        share = batch // world
        for rank in range(world):
            first = step * batch + rank * share
            read += mixture.at(np.arange(first, first + share)).tolist()
    assert read == mixture.at(np.arange(batch * len(worlds))).tolist()
    period, ends = sum(mixture.slots), np.cumsum(counts)
    # So many periods that each dataset has come to the end of an epoch, and of the pattern, at once.
    turns = math.lcm(*(math.lcm(count, part) // part for count, part in zip(counts, mixture.slots, strict=True)))
    if turns * period <= 20_000:
        times = np.bincount(mixture.at(np.arange(turns * period)), minlength=mixture.samples)
        for first, count, part in zip([0, *ends], counts, mixture.slots, strict=False):
            assert (times[first : first + count] == turns * part // count).all()


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=6))
def test_a_mixture_keeps_to_its_weights_in_every_period(weights: list[float]) -> None:
    parts = slots(weights)
    for weight, part in zip(weights, parts, strict=True):
        assert part >= 1 and abs(part / sum(parts) - weight / math.fsum(weights)) < (len(weights) + 1) / FINEST


def test_weights_are_read_as_people_write_them() -> None:
    assert slots([0.7, 0.2, 0.1]) == (7, 2, 1) and slots([3, 1]) == (3, 1) and slots([2.0, 1.0]) == (2, 1)
    assert sum(slots([1, 2, 4, 0.00001])) <= FINEST + 1


def test_epochs_and_seeds_shuffle_differently() -> None:
    first = Order(500, 1).at(np.arange(1000))
    other = Order(500, 2).at(np.arange(500))
    assert (first[:500] == first[500:]).mean() < 0.05
    assert (first[:500] == other).mean() < 0.05
    assert (first[:500] == np.arange(500)).mean() < 0.05


def test_an_order_of_a_billion_samples_begins_anywhere_at_once() -> None:
    drawn = Order(10**9 + 7, 5).at(np.arange(7 * 10**8, 7 * 10**8 + 1000))
    assert len(set(drawn.tolist())) == 1000
    assert 0.4e9 < drawn.mean() < 0.6e9
