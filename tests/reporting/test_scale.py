"""Laws of axes, over any finite numbers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hanse.reporting.scale import Axis, Scale, extent, ticks, written

finite = st.floats(allow_nan=False, allow_infinity=False)
ordinary = st.floats(min_value=-1e12, max_value=1e12, allow_nan=False)
FACTORS = {"": 1, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}


@given(finite, finite, st.integers(2, 8))
def test_ticks_ascend_evenly_and_are_few(a: float, b: float, count: int) -> None:
    found = ticks(min(a, b), max(a, b), count)
    assert 2 <= len(found) <= count + 3
    assert all(low < high for low, high in pairwise(found))


@given(ordinary, ordinary)
def test_ticks_enclose_what_they_were_made_for(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    found = ticks(low, high)
    slack = 1e-5 * (found[-1] - found[0])
    assert found[0] <= low + slack
    assert found[-1] >= high - slack


@given(st.floats(0, 1e12), st.floats(0, 1e12))
def test_ticks_of_amounts_never_go_below_zero(a: float, b: float) -> None:
    if a == b == 0 or abs(a - b) > 1e-6 * max(a, b):
        assert ticks(min(a, b), max(a, b))[0] >= 0


@given(st.lists(finite, min_size=1))
def test_any_finite_values_have_an_extent_that_can_be_drawn(values: list[float]) -> None:
    low, high = extent(values)
    assert low < high
    scale = Scale(low, high, 44.0, 474.0)
    assert all(44.0 <= scale(value) <= 474.0 for value in values)


@given(st.floats(1e-3, 1e12), st.floats(1.05, 1e4))
def test_a_written_tick_times_its_word_is_the_tick(low: float, ratio: float) -> None:
    found = ticks(low, low * ratio)
    labels, word = written(found)
    if found[-1] < 1e16 and found[-1] - found[0] > 1e-5 * found[-1]:
        for label, value in zip(labels, found, strict=True):
            read = float(label.replace(",", "").replace("\N{MINUS SIGN}", "-")) * FACTORS[word]
            assert abs(read - value) <= 2e-6 * found[-1]


@given(st.floats(1e-3, 1e9), st.floats(1.5, 1e4))
def test_no_two_ticks_read_the_same(low: float, ratio: float) -> None:
    labels, _ = written(ticks(low, low * ratio))
    assert len(set(labels)) == len(labels)


def test_forty_thousand_is_read_in_thousands_and_four_thousand_as_it_stands() -> None:
    assert written((0.0, 20_000.0, 40_000.0)) == (("0", "20", "40"), "thousand")
    assert written((0.0, 2000.0, 4000.0)) == (("0", "2,000", "4,000"), "")


def test_an_axis_title_names_its_unit_with_the_word() -> None:
    assert Axis("Throughput", "tokens per second").title("thousand") == "Throughput, thousand tokens per second"
    assert Axis("Tokens").title("") == "Tokens"
