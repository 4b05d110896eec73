"""The space of layouts: whole, even, none twice, and only what can run unless asked."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.workload import ModelShape
from hanse.planning import options, space, stages
from hanse.planning.supported import refusal
from tests.planning.worlds import GPT_3, LLAMA_8B, MIXTURE

SHAPES = st.sampled_from([LLAMA_8B, GPT_3, MIXTURE, LLAMA_8B.model_copy(update={"layers": 30, "context": 32768})])


@st.composite
def spaces(draw: st.DrawFn, *, executable_only: bool | None = None) -> tuple[space.Space, space.Rules, ModelShape, int]:
    shape, nodes = draw(SHAPES), draw(st.integers(1, 48))
    per_node = draw(st.sampled_from([1, 2, 4, 8]))
    rules = space.Rules(
        ranks_per_node=per_node,
        domain_ranks=per_node * draw(st.sampled_from([1, 2])),
        global_batch=draw(st.sampled_from([1, 12, 30, 96, 256, 1536])),
        context=shape.context,
        executable_only=draw(st.booleans()) if executable_only is None else executable_only,
        offload=draw(st.booleans()),
    )
    return space.whole([nodes], shape, rules), rules, shape, nodes


@settings(max_examples=60, deadline=None)
@given(drawn=spaces())
def test_every_layout_uses_all_ranks_and_the_whole_batch_and_divides_the_model(
    drawn: tuple[space.Space, space.Rules, ModelShape, int],
) -> None:
    found, rules, shape, nodes = drawn
    layouts = found.take(np.arange(len(found)))
    assert (layouts.world == nodes * rules.ranks_per_node).all()
    assert (layouts.dp * layouts.fsdp * layouts.micro_batch * layouts.accumulate == rules.global_batch).all()
    assert (shape.heads % layouts.tp == 0).all()
    assert (layouts.pp * layouts.chunks <= shape.layers).all()
    assert (rules.context % np.where(layouts.cp > 1, 2 * layouts.cp, 1) == 0).all()
    assert (layouts.dp * layouts.fsdp * layouts.cp % layouts.ep == 0).all()
    if shape.experts is not None:
        assert (shape.experts.count % layouts.ep == 0).all()
    assert (layouts.tp <= max(rules.domain_ranks, rules.ranks_per_node)).all()
    interleaved = layouts.pipeline == space.INTERLEAVED
    assert (layouts.accumulate[interleaved] % layouts.pp[interleaved] == 0).all()


@settings(max_examples=30, deadline=None)
@given(drawn=spaces(), number=st.integers(0, 10**6))
def test_every_layout_is_valid_goes_through_arrays_unchanged_and_is_executable_where_asked(
    drawn: tuple[space.Space, space.Rules, ModelShape, int], number: int
) -> None:
    found, rules, shape, _ = drawn
    if not len(found):
        return
    layout = found.at(number % len(found))
    assert layout.global_batch == rules.global_batch
    assert space.of([layout]).at(0) == layout
    assert type(layout).model_validate_json(layout.to_json()) == layout
    laid_out = stages.laid_out(shape, layout)
    assert sum(laid_out.stages) == (shape.layers if laid_out.stages else 0)
    if rules.executable_only:
        assert refusal(layout) is None


@settings(max_examples=20, deadline=None)
@given(drawn=spaces())
def test_no_layout_is_listed_twice(drawn: tuple[space.Space, space.Rules, ModelShape, int]) -> None:
    found = drawn[0]
    layouts = found.take(np.arange(len(found)))
    columns = np.stack([getattr(layouts, name) for name in space.Layouts.__dataclass_fields__])
    assert np.unique(columns, axis=1).shape[1] == len(found)


@settings(max_examples=20, deadline=None)
@given(drawn=spaces(), size=st.integers(1, 700))
def test_blocks_one_after_another_are_the_whole_space(
    drawn: tuple[space.Space, space.Rules, ModelShape, int], size: int
) -> None:
    found = drawn[0]
    stop = min(found.bases, 3000)
    for start in range(0, stop, size):
        block, row = found.span(start, min(start + size, found.bases))
        numbers = np.arange(start, start + len(block)) * len(found.modes)
        same = found.take(numbers)
        assert (found.row_of(numbers) == row).all()
        for name in space.Layouts.__dataclass_fields__:
            if name not in ("recompute", "offload"):
                assert (getattr(block, name) == getattr(same, name)).all()


def test_blocks_mode_by_mode_hold_every_layout() -> None:
    rules = space.Rules(ranks_per_node=8, global_batch=96, context=8192, offload=True)
    found = space.whole([2, 3], LLAMA_8B, rules)
    together = space.Layouts.joined(list(found.blocks(100)))
    numbered = found.take(np.arange(len(found)))
    rows = [
        np.stack([getattr(each, name) for name in space.Layouts.__dataclass_fields__]) for each in (together, numbered)
    ]
    assert (np.unique(rows[0], axis=1) == np.unique(rows[1], axis=1)).all()


def test_the_space_holds_every_kind_of_layout_for_a_model_with_experts_and_a_long_context() -> None:
    found = space.enumerate_layouts([16], 8, 256, MIXTURE, executable_only=False, offload=True)
    kinds = {name: set(np.unique(getattr(found, name)).tolist()) for name in space.Layouts.__dataclass_fields__}
    assert kinds["zero"] == {1, 2, 3}
    assert kinds["tp"] == {1, 2, 4, 8}
    assert kinds["ep"] == {1, 2, 4, 8, 16, 32, 64}
    assert kinds["cp"] == {1, 2, 4}
    assert kinds["pipeline"] == {space.ONE_F_ONE_B, space.INTERLEAVED, space.ZERO_BUBBLE}
    assert kinds["recompute"] == {space.NONE, space.SELECTIVE, space.FULL}
    assert kinds["offload"] == {0, 1}
    assert (found.dp > 1)[found.zero == 3].any()
    assert any(27 % pp for pp in kinds["pp"])


def test_key_and_value_heads_may_be_fewer_than_the_ranks_that_share_them() -> None:
    few = LLAMA_8B.model_copy(update={"kv_heads": 2})
    rules = space.Rules(ranks_per_node=8, global_batch=64, context=8192)
    assert options.tensor(few, rules) == [1, 2, 4, 8]
    odd = LLAMA_8B.model_copy(update={"heads": 36, "kv_heads": 12, "ffn": 14400, "hidden": 4608})
    assert options.tensor(odd, rules) == [1, 2, 4]


def test_degrees_held_to_one_value_leave_only_layouts_with_them() -> None:
    rules = space.Rules(ranks_per_node=8, global_batch=256, context=2048, wanted={"tp": 4, "pp": 8, "recompute": 2})
    found = space.whole([8], GPT_3, rules)
    layouts = found.take(np.arange(len(found)))
    assert len(layouts) > 0
    assert set(layouts.tp.tolist()) == {4}
    assert set(layouts.pp.tolist()) == {8}
    assert set(layouts.recompute.tolist()) == {space.FULL}


def test_layouts_the_trainer_cannot_execute_are_refused_with_a_reason() -> None:
    found = space.enumerate_layouts([4], 8, 64, LLAMA_8B, executable_only=False)
    reasons = {refusal(found.at(position)) for position in range(len(found))}
    assert None in reasons
    assert any(reason and "not as zero 1" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("layers", "count", "held"),
    [(126, 16, (7, *[8] * 14, 7)), (7, 3, (2, 3, 2)), (10, 4, (2, 3, 3, 2)), (5, 4, (1, 1, 2, 1))],
)
def test_uneven_stages_are_shortest_where_embedding_and_head_are(
    layers: int, count: int, held: tuple[int, ...]
) -> None:
    assert stages.even(layers, count) == held


@given(layers=st.integers(1, 200), count=st.integers(1, 64))
def test_uneven_stages_hold_every_layer_and_differ_by_one_at_most(layers: int, count: int) -> None:
    held = stages.even(layers, min(count, layers))
    assert sum(held) == layers
    assert max(held) - min(held) <= 1
    assert held[-1] == min(held)


@given(most=st.integers(1, 5000), batch=st.integers(0, 5000), per_node=st.sampled_from([1, 4, 8]))
def test_node_counts_begin_at_one_end_near_the_most_and_hold_all_that_divide_the_batch(
    most: int, batch: int, per_node: int
) -> None:
    counts = space.node_counts(most, batch, per_node)
    assert counts[0] == 1
    assert counts == sorted(set(counts))
    assert most / 1.5 <= counts[-1] <= most
    assert all(high <= 2 * low for low, high in pairwise(counts))
    assert {each for each in range(1, most + 1) if batch and batch % (each * per_node) == 0} <= set(counts)


@given(number=st.integers(1, 10**6))
def test_divisors_divide(number: int) -> None:
    found = space.divisors(number)
    assert found == sorted(set(found))
    assert found[0] == 1
    assert found[-1] == number
    assert all(number % each == 0 for each in found)
