"""Months as columns: what was planned as an outline, what was used filled, both on one scale from zero."""

from __future__ import annotations

from collections.abc import Sequence

from hanse.reporting.charts import SIZES
from hanse.reporting.markup import Html, h, join
from hanse.reporting.scale import Axis, Scale, ticks, written
from hanse.service.monitoring.watching import Month

_TOP, _LEFT, _RIGHT, _BELOW = 26, 52, 8, 30


def month_columns(finding: str, months: Sequence[Month]) -> Html:
    """At both sizes of a page; nothing without months."""
    return join([_drawn(finding, months, size.class_, size.width, size.height) for size in SIZES])


def _drawn(finding: str, months: Sequence[Month], class_: str, width: int, height: int) -> Html:
    highest = max([max(one.planned_hours, one.used_hours) for one in months] + [1.0])
    values = ticks(0.0, highest, 4)
    labels, word = written(values)
    floor = height - _BELOW
    to_y = Scale(values[0], values[-1], float(floor), float(_TOP))
    step = (width - _LEFT - _RIGHT) / max(1, len(months))
    bar = max(2.0, min(18.0, step * 0.36))
    every = max(1, round(44 / step + 0.49))
    lines = [
        (
            h("line", class_="grid" if value else "axis", x1=_LEFT, x2=width - _RIGHT, y1=to_y(value), y2=to_y(value)),
            h("text", label, x=_LEFT - 6, y=to_y(value) + 4, text_anchor="end"),
        )
        for value, label in zip(values, labels, strict=True)
    ]
    drawn = []
    for number, one in enumerate(months):
        middle = _LEFT + step * (number + 0.5)
        drawn += [
            _column(middle - bar - 1, bar, to_y, one.planned_hours, "planned"),
            _column(middle + 1, bar, to_y, one.used_hours, "m-used"),
        ]
        if number % every == 0:
            drawn.append(h("text", one.month[2:], x=round(middle, 1), y=floor + 18, text_anchor="middle"))
    return h(
        "svg",
        h("text", Axis("Hours", "GPU-hours").title(word), x=0, y=12),
        lines,
        drawn,
        class_=f"chart chart--half {class_}",
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=finding,
    )


def _column(x: float, width: float, to_y: Scale, value: float, class_: str) -> Html:
    top, floor = to_y(max(0.0, value)), to_y(0.0)
    return h("rect", class_=class_, x=round(x, 1), y=round(top, 1), width=round(width, 1), height=round(floor - top, 1))
