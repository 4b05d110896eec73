"""The space of layouts: whole, even, and only what can run unless asked."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.planning import space
from hanse.planning.supported import refusal
from tests.planning.worlds import LLAMA_8B


@settings(max_examples=40, deadline=None)
@given(nodes=st.integers(1, 64), per_node=st.sampled_from([1, 2, 4, 8]), batch=st.integers(1, 4096), only=st.booleans())
def test_every_layout_uses_all_ranks_and_the_whole_batch(nodes: int, per_node: int, batch: int, only: bool) -> None:
    found = space.enumerate_layouts([nodes], per_node, batch, LLAMA_8B, executable_only=only)
    assert (found.world == nodes * per_node).all()
    assert (found.dp * found.fsdp * found.micro_batch * found.accumulate == batch).all()
    for position in range(0, len(found), max(1, len(found) // 5)):
        layout = found.at(position)
        assert layout.global_batch == batch
        assert space.of([layout]).at(0) == layout
        if only:
            assert refusal(layout) is None


def test_no_layout_is_listed_twice() -> None:
    found = space.enumerate_layouts([1, 2, 4], 8, 256, LLAMA_8B, executable_only=False)
    rows = {found.at(position) for position in range(len(found))}
    assert len(rows) == len(found)
    assert {1, 2, 4, 8} == set(np.unique(found.tp).tolist())


def test_layouts_the_trainer_cannot_execute_are_refused_with_a_reason() -> None:
    found = space.enumerate_layouts([4], 8, 64, LLAMA_8B, executable_only=False)
    reasons = {refusal(found.at(position)) for position in range(len(found))}
    assert None in reasons
    assert any(reason and "tp, pp" in reason for reason in reasons)


@given(most=st.integers(1, 5000))
def test_node_counts_begin_at_one_and_end_near_the_most(most: int) -> None:
    counts = space.node_counts(most)
    assert counts[0] == 1
    assert counts == sorted(set(counts))
    assert most / 1.5 <= counts[-1] <= most


@given(number=st.integers(1, 10**6))
def test_divisors_divide(number: int) -> None:
    found = space.divisors(number)
    assert found == sorted(set(found))
    assert found[0] == 1
    assert found[-1] == number
    assert all(number % each == 0 for each in found)
