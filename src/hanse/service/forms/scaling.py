"""The plot of a scaling study: throughput by accelerators, beside perfect scaling."""

from __future__ import annotations

from hanse.contracts.application import ScalingPoint
from hanse.contracts.units import format_percent
from hanse.reporting.logplot import Curve, LogPlot, log_plot
from hanse.reporting.markup import Html, h
from hanse.reporting.scale import Axis


def figure(points: tuple[ScalingPoint, ...]) -> Html | None:
    """None where there are fewer than two sizes; the table of the same section holds the figures."""
    ordered = sorted(points, key=lambda one: one.accelerators)
    if len({one.accelerators for one in ordered}) < 2:
        return None
    first, last = ordered[0], ordered[-1]
    kept = format_percent(last.efficiency)
    finding = f"{last.accelerators:,} accelerators: {kept}"
    drawn = tuple((float(one.accelerators), one.tokens_per_s) for one in ordered)
    perfect = tuple((x, first.tokens_per_s * x / first.accelerators) for x, _y in drawn)
    plot = LogPlot(
        finding=finding, x=Axis("Accelerators"), y=Axis("Throughput", "tokens per second"),
        curves=(Curve(label="given", points=drawn), Curve(label="perfect", points=perfect, kind="reference")),
    )  # fmt: skip
    return h("figure", h("strong", finding, class_="figure-title"), log_plot(plot))
