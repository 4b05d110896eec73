"""Laws of the drawings, read back from their SVG."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.reporting.bars import Bar, meter, stacked_bars
from hanse.reporting.charts import SIZES, Band, Level, Line, LineChart, line_chart
from hanse.reporting.markup import Html
from hanse.reporting.scale import Axis
from tests.reporting.records import HOSTILE

anything = st.floats()
segments = st.lists(st.lists(st.tuples(anything, anything), max_size=30), max_size=4)
finite = st.floats(allow_nan=False, allow_infinity=False)


def chart(lines: list[list[tuple[float, float]]], **more: object) -> LineChart:
    asked = {
        "finding": "Loss fell", "empty": "No step yet.", "x": Axis("Tokens"), "y": Axis("Loss", "nats"),
        "lines": (Line(label="measured", segments=tuple(tuple(one) for one in lines)),), **more,
    }  # fmt: skip
    return LineChart(**asked)  # type: ignore[arg-type]


def drawings(markup: Html) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(f"<div>{markup}</div>").iter("svg"))


def places(svg: ElementTree.Element) -> list[tuple[float, float]]:
    """Every point of the measured lines."""
    found = [(float(c.get("cx", "nan")), float(c.get("cy", "nan"))) for c in svg.iter("circle")]
    for path in svg.iter("path"):
        found += [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.get("d", ""))]
    return found


def boxes(svg: ElementTree.Element) -> list[tuple[str, float, float, float, float]]:
    """Where each text stands, roughly: 6 px a character."""
    found = []
    for text in svg.iter("text"):
        words = "".join(text.itertext())
        width, x, y = 6 * len(words), float(text.get("x", 0)), float(text.get("y", 0))
        left = {"middle": x - width / 2, "end": x - width}.get(text.get("text-anchor", ""), x)
        found.append((words, left, y - 9, left + width, y + 2))
    return found


@settings(max_examples=60, deadline=None)
@given(segments, st.booleans(), st.booleans())
def test_every_point_lies_inside_the_plot(lines: list[list[tuple[float, float]]], zero_x: bool, zero_y: bool) -> None:
    found = drawings(line_chart(chart(lines, x_from_zero=zero_x, y_from_zero=zero_y)))
    drawn = any(math.isfinite(x) and math.isfinite(y) for line in lines for x, y in line)
    assert len(found) == (2 if drawn else 0)
    for svg, size in zip(found, SIZES, strict=False):
        assert places(svg)
        assert all(0 <= x <= size.width and 26 <= y <= size.height - 48 for x, y in places(svg))


@settings(max_examples=40, deadline=None)
@given(finite, finite, finite, finite)
def test_any_finite_prediction_can_be_drawn(low: float, expected: float, high: float, level: float) -> None:
    band = Band(label="predicted", low=low, expected=expected, high=high)
    found = drawings(line_chart(chart([[(0, 1), (5, 2)]], band=band, level=Level(label="level", value=level), now=3.0)))
    for svg, size in zip(found, SIZES, strict=True):
        for rect in svg.iter("rect"):
            top, height = float(rect.get("y", "nan")), float(rect.get("height", "nan"))
            assert height >= 0
            assert top >= 26
            assert top + height <= size.height - 47.9


def test_a_value_that_is_not_finite_is_a_gap_and_not_joined() -> None:
    svg = drawings(line_chart(chart([[(0, 1), (1, 2), (2, math.nan), (3, 1), (4, 2)]])))[0]
    assert len([path for path in svg.iter("path") if "meas" in path.get("class", "")]) == 2


def test_attempts_are_not_joined_across_the_wait_between_them() -> None:
    svg = drawings(line_chart(chart([[(0, 1), (1, 2)], [(5, 3), (6, 4)]])))[0]
    assert len([path for path in svg.iter("path") if "meas" in path.get("class", "")]) == 2


def test_without_points_only_the_sentence_is_left() -> None:
    assert line_chart(chart([])) == '<p class="muted">No step yet.</p>'
    assert line_chart(chart([[(math.inf, 1.0)]])) == '<p class="muted">No step yet.</p>'


def test_ten_thousand_points_stay_a_small_drawing_that_keeps_its_spike() -> None:
    points = [(float(i), 3.0 if i != 5003 else 9.0) for i in range(10_000)]
    markup = line_chart(chart([points]))
    assert len(markup) < 60_000
    svg = drawings(markup)[0]
    assert min(y for _, y in places(svg)) < 60


def test_a_chart_says_its_finding_and_carries_no_inline_style() -> None:
    markup = line_chart(chart([[(0, 1), (1, 2)]], finding=HOSTILE))
    assert "style=" not in markup
    assert "<script" not in markup
    for svg in drawings(markup):
        assert svg.get("role") == "img"
        assert "alert" in svg.get("aria-label", "")


@pytest.mark.parametrize("fall", [0.0, 2.0, 6.0])
@pytest.mark.parametrize("band_at", [2.0, 4.0, 8.0])
def test_labels_do_not_lie_on_one_another(fall: float, band_at: float) -> None:
    points = [(i * 8192.0, 8 - fall * (1 - math.exp(-i / 40))) for i in range(240)]
    band = Band(label="predicted", low=band_at * 0.9, expected=band_at, high=band_at * 1.1)
    level = Level(label="unigram entropy 6.02", value=6.02)
    for svg in drawings(line_chart(chart([points], band=band, level=level, x_from_zero=True, now=1e6))):
        found = boxes(svg)
        for index, (one, left, top, right, bottom) in enumerate(found):
            for other, left2, top2, right2, bottom2 in found[index + 1 :]:
                apart = right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top
                assert apart, f"{one!r} lies on {other!r}"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1, 1e9), min_size=1, max_size=4), st.floats(0, 1e9), st.floats(0, 1e9))
def test_bars_lie_end_to_end_inside_the_drawing(values: list[float], low: float, high: float) -> None:
    bar = Bar(label="Measured", parts=tuple(("d1", value) for value in values), low=min(low, high), high=max(low, high))
    for svg, size in zip(drawings(stacked_bars("finding", (bar, bar), Axis("Step", "seconds"))), SIZES, strict=True):
        for rect in svg.iter("rect"):
            assert 0 <= float(rect.get("x", -1)) <= size.width
            assert float(rect.get("x", -1)) + float(rect.get("width", -1)) <= size.width


@given(finite, finite, finite)
def test_a_meter_never_leaves_its_course(total: float, used: float, reserved: float) -> None:
    svg = drawings(meter("finding", total=total, used=used, reserved=reserved))[0]
    solid, *hatched = [float(r.get("width", "").rstrip("%")) for r in svg.iter("rect")][1:]
    assert 0 <= solid <= 100
    assert 0 <= solid + sum(hatched) <= 100.01
