"""Bars: stacked ones for a step's parts, predicted over measured, and the meter of an allocation or a progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hanse.contracts.units import significant
from hanse.reporting.charts import SIZES
from hanse.reporting.markup import Html, h, join
from hanse.reporting.scale import Axis, Scale, ticks, written

Tone = Literal["d1", "d2", "d3", "d4", "d5", "d6"]
_BAR, _ROW, _FIRST = 26, 66, 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """`parts` lie end to end in the order of the table below; `low` and `high` are drawn as a whisker."""

    label: str
    parts: tuple[tuple[Tone, float], ...]
    low: float | None = None
    high: float | None = None

    @property
    def total(self) -> float:
        return sum(max(0.0, value) for _, value in self.parts)


def stacked_bars(finding: str, bars: tuple[Bar, ...], axis: Axis, limit: tuple[float, str] | None = None) -> Html:
    """All bars on one scale from zero, at both sizes; `limit` is a line across them, with its name."""
    return join([_stacked(finding, bars, axis, limit, size.class_, size.width) for size in SIZES])


def _stacked(
    finding: str, bars: tuple[Bar, ...], axis: Axis, limit: tuple[float, str] | None, class_: str, width: int
) -> Html:
    longest = max([bar.high or 0.0 for bar in bars] + [bar.total for bar in bars] + [limit[0] if limit else 0.0])
    values = ticks(0.0, longest, 5 if width > 400 else 3)
    labels, word = written(values)
    to_x = Scale(values[0], values[-1], 1.0, width - 16.0)
    floor = _FIRST + _ROW * len(bars) - 6
    rows = [_bar(bar, to_x, _FIRST + index * _ROW) for index, bar in enumerate(bars)]
    marks = [
        (
            h("line", class_="axis", x1=to_x(value), x2=to_x(value), y1=floor, y2=floor + 5),
            h("text", label, x=to_x(value), y=floor + 19, text_anchor="start" if index == 0 else "middle"),
        )
        for index, (value, label) in enumerate(zip(values, labels, strict=True))
    ]
    return h(
        "svg",
        h("text", axis.title(word), x=0, y=12),
        rows,
        h("line", class_="axis", x1=1, x2=width - 16, y1=floor, y2=floor),
        marks,
        _limit(limit, to_x, floor) if limit else None,
        class_=f"chart chart--half {class_}",
        viewBox=f"0 0 {width} {floor + 26}",
        role="img",
        aria_label=finding,
    )


def _limit(limit: tuple[float, str], to_x: Scale, floor: int) -> Html:
    x = to_x(limit[0])
    return join(
        h("line", class_="limit", x1=x, x2=x, y1=_FIRST - 6, y2=floor),
        h("text", limit[1], class_="strong", x=x, y=12, text_anchor="end"),
    )


def _bar(bar: Bar, to_x: Scale, top: int) -> Html:
    shapes, reached = [], 0.0
    for tone, value in bar.parts:
        start, end = to_x(reached), to_x(reached + max(0.0, value))
        reached += max(0.0, value)
        if end > start:
            # A hair of paper between parts keeps them apart in grey; a part thinner than that keeps its width.
            shapes.append(
                h(
                    "rect",
                    class_=tone,
                    x=start,
                    y=top + 12,
                    width=max(end - start - 1, min(end - start, 1.0)),
                    height=_BAR,
                )
            )
    return join(h("text", bar.label, class_="strong", x=0, y=top + 6), shapes, _whisker(bar, to_x, top + _BAR + 20))


def _whisker(bar: Bar, to_x: Scale, y: int) -> Html | None:
    if bar.low is None or bar.high is None:
        return None
    low, high = to_x(bar.low), to_x(bar.high)
    figures = f"{significant(bar.low)} to {significant(bar.high)}"
    label, x, below, anchor = figures, to_x.end, 17, "end"
    # In a narrow drawing the figures alone have room; what they are stands in the text.
    for shorter in (f"{figures}, eight times in ten", figures):
        width = 6.2 * len(shorter)
        if low - 8 > width:
            label, x, below, anchor = shorter, low - 8, 4, "end"
            break
        if high + 8 + width < to_x.end:
            label, x, below, anchor = shorter, high + 8, 4, "start"
            break
    return join(
        h("path", class_="whisker", d=f"M{low:.1f} {y - 4}v8M{low:.1f} {y}H{high:.1f}M{high:.1f} {y - 4}v8"),
        h("text", label, x=x, y=y + below, text_anchor=anchor),
    )


def hatch() -> Html:
    """The pattern of what is reserved. A page with meters holds it once."""
    pattern = h(
        "pattern",
        h("rect", width=6, height=6, class_="hatch-bg"),
        h("line", x1=0, y1=0, x2=0, y2=6, class_="hatch-line"),
        id="hatch",
        width=6,
        height=6,
        patternUnits="userSpaceOnUse",
        patternTransform="rotate(45)",
    )
    return h("svg", h("defs", pattern), width=0, height=0, aria_hidden="true", focusable="false", class_="vh")


def meter(
    finding: str, *, total: float, used: float, reserved: float = 0.0, pace: float | None = None, large: bool = False
) -> Html:
    """A course of `total`: used solid, reserved hatched, the rest empty; `pace` is the share of time gone by."""
    solid = _share(used, total)
    hatched = min(_share(reserved, total), 1 - solid)
    return h(
        "svg",
        h("rect", class_="m-left", width="100%", height="100%"),
        h("rect", class_="m-used", width=_percent(solid), height="100%"),
        h("rect", x=_percent(solid), width=_percent(hatched), height="100%", fill="url(#hatch)") if hatched else None,
        None if pace is None else h("line", class_="m-pace", x1=_percent(pace), x2=_percent(pace), y1=-5, y2=23),
        class_="meter meter--l" if large else "meter",
        role="img",
        aria_label=finding,
    )


def meter_key(*entries: tuple[Literal["used", "reserved", "free", "today"], str]) -> Html:
    """The fills of a meter, each with its number."""
    return h("ul", [h("li", _swatch(fill), label) for fill, label in entries], class_="key")


def _swatch(fill: str) -> Html:
    shape = {
        "used": h("rect", width=16, height=10, class_="m-used"),
        "reserved": h("rect", width=16, height=10, fill="url(#hatch)"),
        "free": h("rect", x=0.5, y=0.5, width=15, height=9, class_="free"),
        "today": h("line", x1=8, x2=8, y1=0, y2=10, class_="today"),
    }[fill]
    return h("svg", shape, viewBox="0 0 16 10", aria_hidden="true")


def swatch(tone: Tone) -> Html:
    return h(
        "svg", h("rect", width=12, height=12, class_=tone), class_="swatch", viewBox="0 0 12 12", aria_hidden="true"
    )


def _share(part: float, total: float) -> float:
    return min(max(part / total, 0.0), 1.0) if total > 0 else 0.0


def _percent(share: float) -> str:
    return f"{min(max(share, 0.0), 1.0) * 100:.4g}%"
