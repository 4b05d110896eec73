"""The charts of one run, from its step rows and its plan: loss, throughput, a step's parts, attempts along time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from hanse.contracts.across_record import LegRecord
from hanse.contracts.plan import Plan
from hanse.contracts.run import FINAL_RUN_STATES, Run
from hanse.contracts.telemetry import StepSummary
from hanse.contracts.units import format_seconds, significant
from hanse.reporting.bars import Bar, Tone, stacked_bars, swatch
from hanse.reporting.charts import Band, Level, Line, LineChart, Segment, line_chart
from hanse.reporting.markup import Child, Html, h, join
from hanse.reporting.measured import Breakdown, middle
from hanse.reporting.scale import Axis
from hanse.reporting.spans import Spans, attempts_chart
from hanse.reporting.tables import Column, part_head, table
from hanse.reporting.words import plural

_TONES: tuple[Tone, ...] = ("d1", "d2", "d3", "d5")
_TOKENS = Axis("Tokens")


def loss_figure(rows: Sequence[StepSummary], *, plan: Plan | None, unigram: float | None, running: bool) -> Html:
    finding = loss_finding(rows, unigram)
    chart = LineChart(
        finding=f"Training loss against tokens. {finding}.",
        empty=_nothing("loss", running=running),
        x=_TOKENS,
        y=Axis("Training loss", "nats per token"),
        lines=(Line(label="measured", segments=_segments(rows, lambda row: row.loss)),),
        level=None if unigram is None else Level(label=f"unigram entropy {significant(unigram)}", value=unigram),
        x_from_zero=True,
        x_end=plan.workload.total_tokens if plan and running else None,
        now=rows[-1].tokens if rows and running else None,
    )
    known = (
        "Below the dotted line, the model knows more than how frequent each token is. " if unigram is not None else ""
    )
    return _figure(finding, line_chart(chart), f"{known}Solid is measured{_gaps(rows)}." if rows else None)


def legs_figures(
    legs: Sequence[LegRecord], *, unigram: float | None, running: bool, names: Mapping[str, str]
) -> Html:  # fmt: skip
    """The loss of each leg of a run across machines, two legs a chart. `names` are the machines', by id."""
    pairs = (legs[place : place + 2] for place in range(0, len(legs), 2))
    charts = [_legs_figure(pair, unigram=unigram, running=running, names=names) for pair in pairs]
    return join([h("div", each, class_="card") for each in charts])


def _legs_figure(
    legs: Sequence[LegRecord], *, unigram: float | None, running: bool, names: Mapping[str, str]
) -> Html:  # fmt: skip
    lines = tuple(
        Line(label=each.name, segments=_segments(each.telemetry, lambda row: row.loss), series=1 if place == 0 else 2)
        for place, each in enumerate(legs)
    )
    chart = LineChart(
        finding=f"Training loss of {' and '.join(each.name for each in legs)}, by each one's tokens.",
        empty=_nothing("loss", running=running),
        x=_TOKENS,
        y=Axis("Training loss", "nats per token"),
        lines=lines,
        level=None if unigram is None else Level(label=f"unigram entropy {significant(unigram)}", value=unigram),
        x_from_zero=True,
    )
    title = [
        join(
            h("br") if place else None,
            names.get(each.name, each.name),
            ": ",
            h("span", loss_finding(each.telemetry, None)),
        )
        for place, each in enumerate(legs)
    ]
    drawn = any(each.telemetry for each in legs)
    return _figure(join(*title), line_chart(chart), "Each leg by its own tokens. Solid is measured." if drawn else None)


def throughput_figure(rows: Sequence[StepSummary], *, plan: Plan | None, running: bool) -> Html:
    finding = throughput_finding(rows, plan)
    band = plan.tokens_per_s if plan else None
    chart = LineChart(
        finding=f"Throughput against tokens. {finding}.",
        empty=_nothing("throughput", running=running),
        x=_TOKENS,
        y=Axis("Throughput", "tokens per second"),
        lines=(Line(label="measured", segments=_segments(rows, lambda row: row.tokens_per_s)),),
        band=Band(label="predicted", low=band.low, expected=band.expected, high=band.high) if band else None,
        y_from_zero=True,
        x_from_zero=True,
        x_end=plan.workload.total_tokens if plan and running else None,
        now=rows[-1].tokens if rows and running else None,
    )
    predicted = ", dashed is predicted; the band should hold eight times in ten" if band else ""
    return _figure(finding, line_chart(chart), f"Solid is measured{_gaps(rows)}{predicted}." if rows else None)


def loss_finding(rows: Sequence[StepSummary], unigram: float | None) -> str:
    values = [row.loss for row in rows if math.isfinite(row.loss)]
    if len(values) < 2:
        return "Loss"
    went = "fell" if values[-1] < values[0] else "rose" if values[-1] > values[0] else "stayed"
    finding = f"Loss {went} from {significant(values[0])} to {significant(values[-1])}"
    if unigram is None:
        return finding
    away = unigram - values[-1]
    return f"{finding}, {significant(abs(away), 2)} {'below' if away >= 0 else 'above'} the unigram entropy"


def throughput_finding(rows: Sequence[StepSummary], plan: Plan | None) -> str:
    speed = middle(rows, lambda row: row.tokens_per_s)
    if speed is None:
        return "Throughput"
    if plan is None:
        return f"Throughput was {speed:,.0f} tokens per second in the middle"
    band = plan.tokens_per_s
    where = "below" if speed < band.low else "above" if speed > band.high else "inside"
    return f"Throughput lay {where} the predicted range"


def breakdown_figure(parts: Breakdown, plan: Plan) -> Html:
    """Two bars on one scale, and the table with the same figures and the plan's finer parts."""
    interval = plan.step_time.total_s
    measured = sum(value for _, _, value in parts.groups)
    bars = (
        Bar(
            label=f"Predicted, {format_seconds(interval.expected)}",
            low=interval.low,
            high=interval.high,
            parts=tuple((tone, value or 0.0) for tone, (_, value, _) in zip(_TONES, parts.groups, strict=True)),
        ),
        Bar(
            label=f"Measured, {format_seconds(measured)}",
            parts=tuple((tone, value) for tone, (_, _, value) in zip(_TONES, parts.groups, strict=True)),
        ),
    )
    said = "; ".join(f"{name.lower()} {format_seconds(value)}" for name, _, value in parts.groups)
    rows: list[Sequence[Html | str | None]] = []
    for tone, (name, predicted, value) in zip(_TONES, parts.groups, strict=True):
        expected = "not predicted" if predicted is None else format_seconds(predicted)
        rows.append((join(swatch(tone), name), expected, format_seconds(value)))
        if tone == "d1":
            rows += [(part_head(finer), format_seconds(seconds), None) for finer, seconds in parts.within_compute]
            rows += [(part_head(seen), "not predicted apart", format_seconds(s)) for seen, s in parts.seen_within]
    caption = (
        "Medians over steps and ranks. Forward and backward hold the communication that is in them; "
        "the plan's finer parts have no measurement of their own."
    )
    finding = f"One step, measured: {said}. The table beside it holds the same figures."
    figure = h("figure", stacked_bars(finding, bars, Axis("One step", "seconds")), h("figcaption", caption))
    columns = ("Part", Column("Predicted", number=True), Column("Measured", number=True))
    foot = ("A step", format_seconds(interval.expected), format_seconds(measured))
    return h("div", figure, table(columns, rows, keep=True, foot=foot), class_="cols cols--pair")


def attempts_figure(run: Run, *, names: dict[str, str], made_at: datetime) -> Html:
    planned = plural(sum(len(leg.attempts) for leg in run.legs), "attempt")
    held = plural(run.plan.layout.nodes, "node") if run.plan else ""
    return attempts_chart(
        Spans(
            legs=run.legs,
            names=names,
            notes={leg.machine: held for leg in run.legs},
            made_at=made_at,
            running=run.state not in FINAL_RUN_STATES,
            finding=f"{planned} along time; the table below holds the same facts",
        )
    )


def _figure(title: Child, drawing: Html, caption: str | None) -> Html:
    return h(
        "figure", h("strong", title, class_="figure-title"), drawing, h("figcaption", caption) if caption else None
    )


def _nothing(what: str, *, running: bool) -> str:
    if running:
        return f"No step has been reported yet. The {what} appears here with the first one."
    return f"No step was reported, so there is no {what} to show."


def _segments(rows: Sequence[StepSummary], of: Callable[[StepSummary], float]) -> tuple[Segment, ...]:
    """One segment an attempt: what lies between is a wait, and is not joined."""
    by_attempt: dict[int, list[tuple[float, float]]] = {}
    for row in rows:
        by_attempt.setdefault(row.attempt, []).append((float(row.tokens), of(row)))
    return tuple(tuple(points) for points in by_attempt.values())


def _gaps(rows: Sequence[StepSummary]) -> str:
    several = len({row.attempt for row in rows}) > 1
    return ", one line an attempt" if several else ""
