"""What is said of a plan: every part has a name, pictures fit their width, tables read back."""

from __future__ import annotations

import csv
import io
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.layout import Layout
from hanse.contracts.plan import StepPart
from hanse.planning import explain, scaling_text
from hanse.planning.picture import BRICK, folded, picture
from hanse.planning.placement import layers_of_ranks, nodes_a_stage, on_node, place, teams
from tests.planning import plans

power = st.sampled_from([1, 2, 4])


@st.composite
def whole_nodes(draw: st.DrawFn) -> Layout:
    per_node = draw(st.sampled_from([1, 4, 8]))
    tp, cp, fsdp, dp, pp = (draw(power) for _ in range(5))
    ranks = tp * cp * fsdp * dp * pp
    dp *= 1 if ranks % per_node == 0 else per_node
    return Layout(nodes=tp * cp * fsdp * dp * pp // per_node, tp=tp, cp=cp, fsdp=fsdp, dp=dp, pp=pp)


@given(whole_nodes())
def test_every_rank_has_a_place_of_its_own_and_all_places_are_taken(layout: Layout) -> None:
    places = [place(layout, rank) for rank in range(layout.world_size)]
    assert len(set(places)) == layout.world_size
    assert max(each.stage for each in places) == layout.pp - 1
    assert max(each.part for each in places) == layout.tp - 1
    assert sum(len(on_node(layout, node)) for node in range(layout.nodes)) == layout.world_size


@given(whole_nodes())
def test_who_splits_a_matrix_stands_side_by_side(layout: Layout) -> None:
    whole = teams(tuple(place(layout, rank) for rank in range(layout.world_size)))
    assert {len(team) for team in whole} == {layout.tp}


@given(whole_nodes(), st.integers(60, 120))
def test_a_picture_fits_its_width_and_counts_every_node(layout: Layout, width: int) -> None:
    lines = picture(layout, shape=plans.LLAMA_70B, width=width)
    assert max(map(len, lines)) <= max(width, 71)  # a node of 16 bricks is never cut
    drawn = sum(line.count("[") for line in lines) - 1  # the legend shows one
    left = [line for line in lines if line.startswith("⋮")]
    if layout.pp == 1 or not nodes_a_stage(layout):
        more = int(left[0].split()[2].replace(",", "")) if left else 0
        assert drawn + more == layout.nodes
    assert BRICK in lines[-1] or any(BRICK in line for line in lines)


def test_a_node_shows_which_of_its_ranks_split_matrices_and_stages() -> None:
    assert picture(Layout(nodes=2, fsdp=4, tp=2), width=80)[0] == "[■■ ■■] [■■ ■■]"
    assert picture(Layout(nodes=1, tp=2, pp=2), width=80)[0] == "[■■→■■]"
    assert picture(Layout(nodes=4, dp=2, tp=4, pp=2), shape=plans.LLAMA_70B, width=80)[:3] == (
        "stage 1   stage 2",
        "[■■■■]  → [■■■■]",
        "[■■■■]  → [■■■■]",
    )


def test_uneven_stages_say_their_layers() -> None:
    layout = Layout(nodes=2, tp=4, pp=2, stages=(41, 39))
    assert picture(layout, shape=plans.LLAMA_70B, width=80)[1] == "41 layers   39 layers"
    assert layers_of_ranks(layout.model_copy(update={"stages": (20, 20, 20, 20), "chunks": 2}), plans.LLAMA_70B) == (
        40, 40,
    )  # fmt: skip


def test_the_chunks_of_a_zero_bubble_pipeline_go_back_the_way_they_came() -> None:
    layout = Layout(nodes=1, pp=2, pipeline="zero-bubble", chunks=2, stages=(21, 20, 20, 19))
    assert layers_of_ranks(layout, plans.LLAMA_70B) == (40, 40)


def test_every_part_of_a_step_has_a_name_and_advice() -> None:
    plan = plans.plan(plans.PIPELINED)
    for part in get_args(StepPart):
        changed = plan.model_copy(update={"step_time": plan.step_time.model_copy(update={"parts": {part: 1.0}})})
        said = explain.sentences(changed)
        assert any(explain.NAMES[part] in each for each in said)
        assert explain.briefly(changed)[-1].endswith(".")


def test_a_plan_that_has_its_sentences_keeps_them() -> None:
    plan = plans.plan(plans.SMALL, why=("Because.",))
    assert explain.sentences(plan) == ("Because.",)


@given(whole_nodes(), whole_nodes())
def test_a_difference_names_what_changed_and_nothing_else(one: Layout, other: Layout) -> None:
    said = explain.difference(one, other)
    if one == other:
        assert said == "the same layout"
    for name in ("tp", "pp", "cp", "fsdp", "dp"):
        assert (f"{name} {getattr(other, name)}" in said.split(", ")) == (getattr(one, name) != getattr(other, name))


def test_a_scaling_table_is_pasted_as_markdown_and_read_as_csv() -> None:
    table = plans.strong()
    pasted = scaling_text.markdown(table).splitlines()
    rows = [line for line in pasted if line.startswith("| ")]
    assert len(rows) == len(table.rows) + 1
    assert len({line.count("|") for line in (*rows, pasted[3])}) == 1
    read = list(csv.DictReader(io.StringIO(scaling_text.as_csv(table))))
    assert [int(row["nodes"]) for row in read] == [row.option.nodes for row in table.rows]
    assert float(read[0]["efficiency"]) == pytest.approx(1)
    assert float(read[-1]["gpu_hours"]) == pytest.approx(table.rows[-1].option.accelerator_seconds / 3600, rel=1e-4)


@given(st.lists(st.text("abc", min_size=1, max_size=30), max_size=12), st.integers(30, 80))
def test_folding_loses_nothing_and_keeps_to_the_width(facts: list[str], width: int) -> None:
    lines = folded(facts, width, " · ")
    assert " · ".join(lines).split(" · ") == facts or not facts
    assert all(len(line) <= width for line in lines)
