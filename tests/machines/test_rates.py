"""Laws of rates by size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.machine import Curve
from hanse.machines import catalogue, rates


@st.composite
def rising(draw: st.DrawFn) -> Curve:
    x = sorted(draw(st.sets(st.floats(1.0, 1e12), min_size=1, max_size=8)))
    y = sorted(draw(st.lists(st.floats(1.0, 1e12), min_size=len(x), max_size=len(x))))
    return Curve(x=tuple(x), y=tuple(y), x_unit="bytes", y_unit="bytes/s")


@given(curve=rising(), at=st.floats(0.0, 1e15))
def test_a_curve_never_leaves_what_was_measured(curve: Curve, at: float) -> None:
    assert curve.y[0] <= float(rates.interpolate(curve, at)) <= curve.y[-1]


@given(curve=rising())
def test_a_curve_goes_through_its_points(curve: Curve) -> None:
    assert rates.interpolate(curve, curve.x) == pytest.approx(np.asarray(curve.y))


@given(curve=rising(), first=st.floats(0.0, 1e15), second=st.floats(0.0, 1e15))
def test_a_rising_curve_rises_everywhere(curve: Curve, first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert rates.interpolate(curve, low) <= rates.interpolate(curve, high) * (1 + 1e-12)


def test_between_two_points_a_curve_is_linear_in_the_logarithm() -> None:
    curve = Curve(x=(1.0, 100.0), y=(0.0, 2.0), x_unit="bytes", y_unit="bytes/s")
    assert float(rates.interpolate(curve, 10.0)) == pytest.approx(1.0)


@given(rows=st.integers(1, 2**20), columns=st.integers(1, 2**17))
def test_larger_products_are_no_slower_and_none_passes_the_ceiling(rows: int, columns: int) -> None:
    accelerator = catalogue.load("dgx-a100").accelerator
    small, large = rates.product_flops_per_s(accelerator, "bf16", [rows, rows * 2], 4096, columns, None)
    assert small < large <= accelerator.peak_flops["bf16"] * rates.ceiling(accelerator)[0]


def test_a_large_product_on_an_a100_runs_at_the_share_that_trainings_reach() -> None:
    accelerator = catalogue.load("dgx-a100").accelerator
    rate = float(rates.product_flops_per_s(accelerator, "bf16", 8192, 8192, 28672, None))
    assert 0.7 < rate / 312e12 < 0.8
