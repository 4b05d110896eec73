"""Scaling tables: strong keeps the batch, weak keeps each accelerator's share of it."""

from __future__ import annotations

import pytest

from hanse.contracts.errors import PlanError, UsageError
from hanse.contracts.scaling import ScalingTable
from hanse.machines import catalogue
from hanse.planning import scaling
from tests.planning.worlds import GPT_3, LLAMA_8B, workload

LEONARDO = catalogue.load("leonardo-booster")


def test_a_strong_table_keeps_the_batch_and_its_efficiency_falls() -> None:
    table = scaling.table(workload(LLAMA_8B, batch=1024), LEONARDO, "strong", nodes=[32, 64, 128, 256])
    assert {row.option.global_batch for row in table.rows} == {1024}
    nodes = [row.option.nodes for row in table.rows]
    assert nodes == sorted(nodes)
    assert (table.rows[0].speed_up, table.rows[0].efficiency) == (1.0, 1.0)
    last = table.rows[-1]
    assert last.speed_up == pytest.approx(last.efficiency * last.option.nodes / nodes[0])
    assert last.efficiency < 1.05
    assert ScalingTable.from_json(table.to_json()) == table


def test_a_weak_table_grows_the_batch_with_the_nodes() -> None:
    table = scaling.table(workload(LLAMA_8B, batch=256), LEONARDO, "weak", nodes=[32, 64, 96, 128])
    shares = {row.option.global_batch / row.option.nodes for row in table.rows}
    assert len(shares) == 1
    assert all(0.7 < row.efficiency < 1.05 for row in table.rows)


def test_every_row_states_an_interval_and_what_it_costs() -> None:
    table = scaling.table(workload(LLAMA_8B, batch=1024), LEONARDO, "strong", nodes=[64, 128])
    for row in table.rows:
        option = row.option
        assert option.step_time_s.low < option.step_time_s.expected < option.step_time_s.high
        assert option.wall_time_s.low < option.wall_time_s.expected < option.wall_time_s.high
        assert option.accelerator_seconds == round(option.wall_time_s.expected * option.accelerators)


def test_numbers_of_nodes_on_which_nothing_fits_are_left_out_and_none_at_all_is_told() -> None:
    work = workload(GPT_3, batch=1536)
    table = scaling.table(work, LEONARDO, "strong", nodes=[1, 256, 512], executable_only=False)
    assert [row.option.nodes for row in table.rows] == [256, 512]
    with pytest.raises(PlanError, match="no layout fits on any"):
        scaling.table(work, LEONARDO, "weak", nodes=[1, 2], executable_only=False)
    with pytest.raises(UsageError, match="from 1 on"):
        scaling.table(work, LEONARDO, "strong", nodes=[0, 4])
