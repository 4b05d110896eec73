"""Curves and points on two logarithmic axes, written by the server at both sizes, labels on what they name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from hanse.reporting.charts import SIZES, Point, Size
from hanse.reporting.markup import Html, h, join, number
from hanse.reporting.scale import Axis, Scale

_TOP, _RIGHT, _BELOW, _LEFT = 26, 16, 48, 64
Place: TypeAlias = Callable[[Point], Point]
_STEPS: Final = (1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Predicted points in order of x; `low` and `high` are the band around them."""

    label: str
    points: tuple[Point, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    kind: Literal["predicted", "reference"] = "predicted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One point; a filled one stands out."""

    at: Point
    label: str = ""
    filled: bool = True
    chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPlot:
    finding: str
    x: Axis
    y: Axis
    curves: tuple[Curve, ...] = ()
    marks: tuple[Mark, ...] = ()


def log_plot(plot: LogPlot) -> Html:
    return join([_drawing(plot, size) for size in SIZES])


def log_ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    """1, 2 and 5 times powers of ten that enclose the range; fewer of them where it is wide."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in (_STEPS, (1.0, 3.0), (1.0,)):
        found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        within = [each for each in found if low * 0.999 <= each <= high * 1.001]
        below = [each for each in found if each < low * 0.999][-1:]
        above = [each for each in found if each > high * 1.001][:1]
        kept = (*below, *within, *above)
        if len(kept) <= most:
            return kept
    every = -(-len(kept) // most)
    return (*kept[:-1:every], kept[-1])


def _drawing(plot: LogPlot, size: Size) -> Html:
    xs = [x for curve in plot.curves for x, _ in curve.points] + [mark.at[0] for mark in plot.marks]
    ys = [y for curve in plot.curves for _, y in curve.points] + [mark.at[1] for mark in plot.marks]
    ys += [y for curve in plot.curves for y in (*curve.low, *curve.high)]
    x_ticks = log_ticks(min(xs), max(xs), size.x_ticks + 2)
    y_ticks = log_ticks(min(ys), max(ys), 6)
    right, bottom = size.width - _RIGHT, size.height - _BELOW
    to_x = Scale(math.log(x_ticks[0]), math.log(x_ticks[-1]), _LEFT, right)
    to_y = Scale(math.log(y_ticks[0]), math.log(y_ticks[-1]), bottom, _TOP)

    def place(point: Point) -> Point:
        return to_x(math.log(point[0])), to_y(math.log(point[1]))

    rows = [
        (
            h("line", class_="grid", x1=_LEFT, x2=right, y1=(y := to_y(math.log(tick))), y2=y),
            h("text", _written(tick), x=_LEFT - 8, y=y + 4, text_anchor="end"),
        )
        for tick in y_ticks
    ]
    marks = [
        (
            h("line", class_="axis", x1=(x := to_x(math.log(tick))), x2=x, y1=bottom, y2=bottom + 5),
            h("text", _written(tick), x=x, y=bottom + 19, text_anchor="middle"),
        )
        for tick in x_ticks
    ]
    return h(
        "svg",
        h("text", plot.y.title(""), x=0, y=12),
        rows,
        h("line", class_="axis", x1=_LEFT, x2=right, y1=bottom, y2=bottom),
        marks,
        h("text", plot.x.title(""), x=right, y=bottom + 40, text_anchor="end"),
        [_curve(curve, place) for curve in plot.curves],
        _marks(plot.marks, place, right, bottom),
        class_=f"chart chart--half {size.class_}",
        viewBox=f"0 0 {size.width} {size.height}",
        role="img",
        aria_label=plot.finding,
    )


def _written(value: float) -> str:
    for size, word in ((1e12, " trillion"), (1e9, " billion"), (1e6, " million")):
        if value >= size:
            return f"{value / size:g}{word}"
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _curve(curve: Curve, place: Place) -> Html:
    places = [place(point) for point in curve.points]
    band = None
    if curve.low and curve.high:
        edges = [place((x, y)) for (x, _), y in zip(curve.points, curve.high, strict=True)]
        edges += [place((x, y)) for (x, _), y in reversed([*zip(curve.points, curve.low, strict=True)])]
        band = h("path", class_="band", d=f"M{_path(edges)}Z")
    reference = curve.kind == "reference"
    line = h("path", class_="level" if reference else "pred l1", d=f"M{_path(places)}")
    dots = None if reference else [h("circle", class_="dot1", cx=x, cy=y, r=3) for x, y in places]
    if reference:
        x, y = places[-1]
        label = h("text", curve.label, class_="s2", x=x, y=y - 8, text_anchor="end")
    else:  # to the right of its middle and below, where a rising curve leaves room
        x, y = places[len(places) // 2]
        label = h("text", curve.label, class_="s1", x=x + 10, y=y + 16)
    return join(band, line, dots, label)


def _path(places: list[Point]) -> str:
    return "L".join(f"{number(x)} {number(y)}" for x, y in places)


def _marks(marks: tuple[Mark, ...], place: Place, right: float, bottom: float) -> Html:
    """Points first, then the names that find room beside theirs."""
    dots, names, taken = [], [], []
    for mark in sorted(marks, key=lambda each: (each.chosen, each.filled)):
        x, y = place(mark.at)
        class_ = "dot-chosen" if mark.chosen else "dot1" if mark.filled else "dot-hollow"
        dots.append(h("circle", class_=class_, cx=x, cy=y, r=4.5 if mark.chosen else 3.5))
        taken.append((x - 5, y - 5, x + 5, y + 5))
    for mark in sorted(marks, key=lambda each: (not each.chosen, each.at)):
        if not mark.label:
            continue
        x, y = place(mark.at)
        width = 6.6 * len(mark.label)
        places = ((x + 9, y + 4), (x - 9 - width, y + 4), (x - width / 2, y - 9), (x - width / 2, y + 19))
        inside = [
            (left, base)
            for left, base in places
            if left >= _LEFT and left + width <= right + 12 and base + 3 <= bottom and base >= _TOP
        ]
        free = [at for at in inside if not any(_meet(_box(at, width), other) for other in taken)]
        # What the page is about is named even where it is crowded.
        found = free[:1] or (inside[1:2] if mark.chosen else [])
        for left, base in found:
            taken.append(_box((left, base), width))
            names.append(h("text", mark.label, class_="now-t" if mark.chosen else None, x=left, y=base))
    return join(dots, names)


def _box(at: Point, width: float) -> tuple[float, float, float, float]:
    return at[0], at[1] - 11, at[0] + width, at[1] + 3


def _meet(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
