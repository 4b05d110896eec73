"""The benchmarks' own arithmetic, and that every one of them can be imported. No timings here."""

from __future__ import annotations

import importlib

import pytest

from benchmarks import figures, run
from benchmarks.ranks import WARM_UP_STEPS, Clocks, _turn


@pytest.mark.parametrize("name", run.NAMES)
def test_every_benchmark_measures_and_has_its_place_in_the_results(name: str) -> None:
    assert callable(importlib.import_module(f"benchmarks.{name}").measure)
    figures.replace_block(run.RESULTS.read_text(encoding="utf-8"), name, "a table")


def test_a_ratio_is_that_of_pairs_and_not_of_medians() -> None:
    found = figures.ratios([(2.0, 1.0), (30.0, 10.0), (4.0, 4.0)])
    assert found == (1.0, 2.0, 3.0, 3)
    assert str(found) == "**2.00** (1.00–3.00, 3 pairs)"


def test_turns_alternate_and_the_first_pair_only_warms_up() -> None:
    order: list[str] = []

    def turn(name: str, value: int) -> int:
        order.append(name)
        return value

    pairs = figures.alternate((lambda: turn("a", 1), lambda: turn("b", 2)), budget_s=0.0, at_least=3)
    assert pairs == [(1, 2)] * 3
    assert "".join(order) == "abbaabba"


def test_a_block_is_replaced_and_its_neighbours_are_left_alone() -> None:
    text = "before\n<!-- a -->\nold\n<!-- end of a -->\nbetween\n<!-- b -->\nkept\n<!-- end of b -->\n"
    new = figures.replace_block(text, "a", "new")
    assert new == text.replace("old", "new")
    with pytest.raises(ValueError, match="no block 'c'"):
        figures.replace_block(text, "c", "new")


def test_a_turn_is_the_median_step_after_the_warm_up() -> None:
    slow = [9.0] * WARM_UP_STEPS
    assert _turn([*slow, 1.0, 2.0, 3.0], [[*slow, 1.0], [*slow, 3.0]]) == (2.0, 2.0)


def test_the_clocks_say_when_the_last_step_is_done() -> None:
    clocks = Clocks(3)
    assert [clocks.at_step() for _ in range(3)] == [False, False, True]
    assert len(clocks.between(0)) == len(clocks.between(1)) == 2


def test_an_unknown_benchmark_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["plannr"]) == 2
    assert "no benchmark plannr" in capsys.readouterr().err
