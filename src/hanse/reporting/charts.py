"""Line charts as SVG, written by the server: measured solid, predicted dashed inside its band, labels on the lines.

A chart is drawn at two sizes and the page shows one, so that text is 12 px everywhere. No script, no inline style;
colours are classes of hanse.css. A value that is not finite is a gap, and a gap is never joined.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from hanse.reporting.markup import Html, h, join, number
from hanse.reporting.scale import Axis, Scale, extent, ticks, written

Point = tuple[float, float]
Segment = tuple[Point, ...]


class Size(NamedTuple):
    """Of the drawing, in the pixels it is shown at."""

    class_: Literal["only-wide", "only-narrow"]
    width: int
    height: int
    x_ticks: int


SIZES = (Size("only-wide", 490, 284, 5), Size("only-narrow", 326, 244, 3))
_TOP, _RIGHT, _BELOW = 26, 16, 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A measured series. Each segment is drawn by itself: one an attempt, nothing across a wait."""

    label: str
    segments: tuple[Segment, ...]
    series: Literal[1, 2] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A prediction that does not change along x, with its interval."""

    label: str
    low: float
    expected: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A value to compare with, across the whole chart."""

    label: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChart:
    """`finding` is what a reader who cannot see the chart is told; `empty` stands in for a chart without points."""

    finding: str
    empty: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    band: Band | None = None
    level: Level | None = None
    y_from_zero: bool = False
    x_from_zero: bool = False
    x_end: float | None = None
    """Where the x axis ends if the lines end before it: an unfinished run shows what is still to come."""
    now: float | None = None


def line_chart(chart: LineChart) -> Html:
    """Both sizes of the chart, or the sentence `empty` if nothing finite is to be drawn."""
    lines = [(line, tuple(_finite(line.segments))) for line in chart.lines]
    if not any(segments for _, segments in lines):
        return h("p", chart.empty, class_="muted")
    return join([_Drawing(chart, lines, size).svg() for size in SIZES])


class _Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def holds(self, x: float, y: float) -> bool:
        return self.left <= x <= self.right and self.top <= y <= self.bottom


class _Drawing:
    """One size of one chart. Collects what is drawn, so that labels can keep clear of it."""

    def __init__(self, chart: LineChart, lines: list[tuple[Line, tuple[Segment, ...]]], size: Size) -> None:
        self.chart, self.size, self.lines = chart, size, lines
        self.y_ticks = ticks(*self._y_extent(), 4)
        self.y_labels, y_word = written(self.y_ticks)
        self.y_title = chart.y.title(y_word)
        left = max(44.0, 12 + 7 * max(len(label) for label in self.y_labels))
        self.plot = _Box(left, _TOP, size.width - _RIGHT, size.height - _BELOW)
        self.to_y = Scale(self.y_ticks[0], self.y_ticks[-1], self.plot.bottom, self.plot.top)
        low, high = self._x_extent()
        self.to_x = Scale(low, high, self.plot.left, self.plot.right)
        self.x_ticks = tuple(tick for tick in ticks(low, high, size.x_ticks) if low <= tick <= high) or (low, high)
        self.drawn: list[Point] = []
        self.taken: list[_Box] = []

    def svg(self) -> Html:
        shapes = join(
            self._axes(), self._band(), self._level(), [self._line(*line) for line in self.lines], self._now()
        )
        return h(
            "svg",
            shapes,
            self._labels(),
            class_=f"chart chart--half {self.size.class_}",
            viewBox=f"0 0 {self.size.width} {self.size.height}",
            role="img",
            aria_label=self.chart.finding,
        )

    def _y_extent(self) -> tuple[float, float]:
        values = [y for _, segments in self.lines for segment in segments for _, y in segment]
        if self.chart.band:
            values += [
                v for v in (self.chart.band.low, self.chart.band.expected, self.chart.band.high) if math.isfinite(v)
            ]
        if self.chart.level and math.isfinite(self.chart.level.value):
            values.append(self.chart.level.value)
        return extent([*values, 0.0] if self.chart.y_from_zero else values)

    def _x_extent(self) -> tuple[float, float]:
        values = [x for _, segments in self.lines for segment in segments for x, _ in segment]
        values += [x for x in (self.chart.x_end, self.chart.now) if x is not None and math.isfinite(x)]
        return extent([*values, 0.0] if self.chart.x_from_zero else values)

    def _axes(self) -> Html:
        plot, x_labels, x_word = self.plot, *written(self.x_ticks)
        rows = [
            (
                h("line", class_="grid", x1=plot.left, x2=plot.right, y1=self.to_y(value), y2=self.to_y(value)),
                h("text", label, x=plot.left - 8, y=self.to_y(value) + 4, text_anchor="end"),
            )
            for value, label in zip(self.y_ticks, self.y_labels, strict=True)
        ]
        marks = [
            (
                h("line", class_="axis", x1=self.to_x(value), x2=self.to_x(value), y1=plot.bottom, y2=plot.bottom + 5),
                h("text", label, x=self.to_x(value), y=plot.bottom + 19, text_anchor="middle"),
            )
            for value, label in zip(self.x_ticks, x_labels, strict=True)
        ]
        return join(
            h("text", self.y_title, x=0, y=12),
            rows,
            h("line", class_="axis", x1=plot.left, x2=plot.right, y1=plot.bottom, y2=plot.bottom),
            marks,
            h("text", self.chart.x.title(x_word), x=plot.right, y=plot.bottom + 40, text_anchor="end"),
        )

    def _band(self) -> Html | None:
        band, plot = self.chart.band, self.plot
        if band is None or not all(math.isfinite(value) for value in (band.low, band.expected, band.high)):
            return None
        top, bottom = self.to_y(max(band.low, band.high)), self.to_y(min(band.low, band.high))
        return join(
            h("rect", class_="band", x=plot.left, y=top, width=plot.right - plot.left, height=bottom - top),
            self._across("pred l1", band.expected),
        )

    def _level(self) -> Html | None:
        level = self.chart.level
        return self._across("level", level.value) if level and math.isfinite(level.value) else None

    def _across(self, class_: str, value: float) -> Html:
        y = self.to_y(value)
        self._note(((self.plot.left, y), (self.plot.right, y)))
        return h("line", class_=class_, x1=self.plot.left, x2=self.plot.right, y1=y, y2=y)

    def _line(self, line: Line, segments: Iterable[Segment]) -> Html:
        shapes = []
        for segment in segments:
            places = _thinned([(self.to_x(x), self.to_y(y)) for x, y in segment])
            self._note(places)
            if len(places) == 1:
                shapes.append(h("circle", class_=f"dot{line.series}", cx=places[0][0], cy=places[0][1], r=2.5))
            else:
                path = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in places)
                shapes.append(h("path", class_=f"meas l{line.series}", d=path))
        return join(shapes)

    def _now(self) -> Html | None:
        if self.chart.now is None or not math.isfinite(self.chart.now):
            return None
        x = self.to_x(self.chart.now)
        self._note(((x, self.plot.top), (x, self.plot.bottom)))
        if x > 7 * len(self.y_title) + 20:
            text = h("text", "now", class_="now-t", x=x, y=14, text_anchor="middle")
        else:  # the axis title is in the way
            text = h("text", "now", class_="now-t", x=x + 6, y=self.plot.top + 12)
        return join(h("line", class_="now", x1=x, x2=x, y1=20, y2=self.plot.bottom), text)

    def _labels(self) -> Html:
        found = [
            self._label(line.label, f"s{line.series}", [p for s in segments for p in s])
            for line, segments in self.lines
            if segments
        ]
        low, high = self.to_x.low, self.to_x.high
        ends = [(low + share * (high - low)) for share in (0.98, 0.02, 0.5)]
        if self.chart.band and math.isfinite(self.chart.band.high) and math.isfinite(self.chart.band.low):
            edges = (self.chart.band.high, self.chart.band.low)
            found.append(self._label(self.chart.band.label, "", [(x, y) for y in edges for x in ends]))
        if self.chart.level and math.isfinite(self.chart.level.value):
            found.append(self._label(self.chart.level.label, "s2", [(x, self.chart.level.value) for x in ends]))
        return join(found)

    def _label(self, label: str, class_: str, beside: Sequence[Point]) -> Html:
        """Where the label meets least of what is drawn: beside some of its points, just above or just below."""
        width, plot = 6.6 * len(label) + 4, self.plot
        choices = []
        for rank, (x, y) in enumerate(_spaced(beside)):
            for away in (-7, 17, -16, 27):
                middle = min(max(self.to_x(x), plot.left + width / 2), plot.right - width / 2)
                base = min(max(self.to_y(y) + away, plot.top + 11), plot.bottom - 5)
                box = _Box(middle - width / 2, base - 11, middle + width / 2, base + 3)
                left, top, right, bottom = box  # it is asked of every point for every place
                over = sum(left <= px <= right and top <= py <= bottom for px, py in self.drawn)
                met = over + 500 * sum(box.meets(one) for one in self.taken)
                choices.append((40 * met + abs(away) + 0.6 * rank, middle, base, box))
        _, middle, base, box = min(choices)
        self.taken.append(box)
        return h("text", label, class_=class_ or None, x=middle, y=base, text_anchor="middle")

    def _note(self, places: Sequence[Point]) -> None:
        """Remember a line at points at most 4 px apart."""
        self.drawn.extend(places[:1])
        for (x1, y1), (x2, y2) in pairwise(places):
            parts = max(1, math.ceil(max(abs(x2 - x1), abs(y2 - y1)) / 4))
            self.drawn.extend((x1 + (x2 - x1) * i / parts, y1 + (y2 - y1) * i / parts) for i in range(1, parts + 1))


def _spaced(points: Sequence[Point]) -> list[Point]:
    """Few of many points, those past the middle first: that is where a label is looked for."""
    if len(points) <= 6:
        return list(points)
    kept = points[:: max(1, len(points) // 24)]
    return sorted(kept, key=lambda point: abs(kept.index(point) / len(kept) - 0.66))


def _finite(segments: Iterable[Segment]) -> Iterator[Segment]:
    """The segments, cut again wherever a point is not finite."""
    for segment in segments:
        part: list[Point] = []
        for x, y in (*segment, (math.nan, math.nan)):
            if math.isfinite(x) and math.isfinite(y):
                part.append((x, y))
            elif part:
                yield tuple(part)
                part = []


def _thinned(places: list[Point]) -> list[Point]:
    """At most four places a pixel column (first, lowest, highest, last): the line looks the same, spikes stay."""
    columns: dict[int, list[Point]] = {}
    for place in places:
        columns.setdefault(int(place[0]), []).append(place)
    kept: list[Point] = []
    for column in columns.values():
        telling = {0, len(column) - 1}
        telling |= {
            min(range(len(column)), key=lambda i: column[i][1]),
            max(range(len(column)), key=lambda i: column[i][1]),
        }
        kept.extend(column[i] for i in sorted(telling))
    return kept
