"""Figures for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.units import (
    NBSP,
    format_bytes,
    format_count,
    format_gpu_hours,
    format_percent,
    format_seconds,
    hours_of,
    significant,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format_seconds(0.0000042), "4.20 µs"),
        (format_seconds(0.64), "640 ms"),
        (format_seconds(10.42), "10.4 s"),
        (format_seconds(200), "3 min 20 s"),
        (format_seconds(18_720), "5.20 h"),
        (format_seconds(830_000), "9.61 days"),
        (format_bytes(52_600_000_000), "52.6 GB"),
        (format_bytes(12), "12 B"),
        (format_gpu_hours(51_840_000), "14,400 GPU-hours"),
        (format_gpu_hours(170), "0.0472 GPU-hours"),
        (format_count(6.9e9), "6.90 billion"),
        (format_count(1.3e22), "1.3 × 10²²"),
        (format_count(12_300), "12,300"),
        (format_percent(0.63), "63 %"),
    ],
)
def test_figures_read_as_people_write_them(text: str, expected: str) -> None:
    assert text.replace(NBSP, " ") == expected


@given(st.floats(1e-9, 1e12), st.integers(1, 6))
def test_rounding_keeps_a_figure_within_half_its_last_digit(value: float, digits: int) -> None:
    shown = float(significant(value, digits).replace(",", ""))
    assert abs(shown - value) <= 0.51 * 10 ** (1 - digits) * value * 10


@pytest.mark.parametrize(
    ("unit", "many"),
    [
        ("core-hour", "core-hours"),
        ("GPU-hour (one MI250X module, two GCDs)", "GPU-hours (one MI250X module, two GCDs)"),
    ],
)
def test_a_sites_unit_is_told_in_the_plural_before_what_explains_it(unit: str, many: str) -> None:
    assert hours_of(unit) == many
