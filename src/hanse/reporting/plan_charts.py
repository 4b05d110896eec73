"""The figures of a plan: a step's parts, memory against its limit, the scaling curve, and machines by time and cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hanse.contracts.plan import COMMUNICATION, Memory, Plan, StepPart
from hanse.contracts.scaling import Option, ScalingTable
from hanse.contracts.units import format_bytes, format_percent, format_seconds, gpu_hours, significant
from hanse.planning.explain import NAMES
from hanse.reporting.bars import Bar, Tone, stacked_bars, swatch
from hanse.reporting.logplot import Curve, LogPlot, Mark, log_plot
from hanse.reporting.markup import Child, Html, h, join
from hanse.reporting.scale import Axis
from hanse.reporting.tables import Column, part_head, table

_GROUPS: Final[tuple[tuple[str, Tone, tuple[StepPart, ...]], ...]] = (
    ("Computing", "d1", ("matmul", "attention", "memory-bound", "head")),
    ("Computing again", "d2", ("recompute",)),
    ("Communication, not hidden", "d3", COMMUNICATION),
    ("Stages waiting", "d4", ("bubble", "imbalance")),
    ("Starting operations", "d5", ("launch",)),
    ("Optimiser", "d6", ("optimiser",)),
)
_KINDS: Final[tuple[tuple[str, Tone, str], ...]] = (
    ("parameters", "d1", "Parameters"),
    ("gradients", "d2", "Gradients"),
    ("optimiser", "d6", "Optimiser state"),
    ("activations", "d3", "Activations"),
    ("other", "d5", "Buffers and libraries"),
)
_TELLS: Final = 5e-4
"""Share of a step below which a part is not told."""
_STAGES_SHOWN: Final = 8


def step_figure(plan: Plan) -> Html:
    """One bar with its interval, and the table of the same parts."""
    parts, step = plan.step_time.parts, plan.step_time.total_s
    total = sum(parts.values()) or 1.0
    sums = [(name, tone, sum(parts.get(part, 0.0) for part in members)) for name, tone, members in _GROUPS]
    rows: list[Sequence[Child]] = []
    for (name, tone, seconds), (_, _, members) in zip(sums, _GROUPS, strict=True):
        if seconds < _TELLS * total:
            continue
        rows.append((join(swatch(tone), name), format_seconds(seconds), format_percent(seconds / total)))
        finer = [part for part in members if parts.get(part, 0.0) >= _TELLS * total]
        if len(finer) > 1:
            rows += [
                (part_head(NAMES[part]), format_seconds(parts[part]), format_percent(parts[part] / total))
                for part in sorted(finer, key=lambda part: -parts[part])
            ]
    bar = Bar(label="", parts=tuple((tone, s) for _, tone, s in sums), low=step.low, high=step.high)
    said = "; ".join(f"{name.lower()} {format_seconds(s)}" for name, _, s in sums if s > 0)
    columns = ("Part", Column("Time", number=True), Column("Share", number=True))
    hidden = sum(plan.step_time.hidden.values())
    note = f"Another {format_seconds(hidden)} of communication goes on behind computation." if hidden else None
    return join(
        stacked_bars(f"One step, predicted: {said}.", (bar,), Axis("One step", "seconds")),
        table(columns, rows, keep=True, foot=("Predicted", format_seconds(step.expected), "")),
        h("p", note, class_="small muted") if note else None,
    )


def memory_figure(plan: Plan) -> Html:
    """The fullest rank by kind against what is usable, and the stages beside it."""
    memory = plan.memory
    rows: list[Sequence[Child]] = [
        (
            join(swatch(tone), name),
            format_bytes(getattr(memory, kind)),
            format_percent(getattr(memory, kind) / memory.limit),
        )
        for kind, tone, name in _KINDS
        if getattr(memory, kind)
    ]
    columns = ("Kind", Column("Size", number=True), Column("Of usable", number=True))
    said = f"{format_bytes(memory.total)} of {format_bytes(memory.limit)} usable memory"
    foot = ("Peak", format_bytes(memory.total), format_percent(memory.total / memory.limit))
    return join(
        stacked_bars(
            f"The fullest rank holds {said}. The table holds the parts.",
            tuple(_memory_bar(each, label) for label, each in _stages(plan)),
            Axis("Memory of one rank", "GB"),
            limit=(memory.limit / 1e9, f"{format_bytes(memory.limit)} usable"),
        ),
        table(columns, rows, keep=True, foot=foot),
    )


def _memory_bar(memory: Memory, label: str) -> Bar:
    return Bar(label=label, parts=tuple((tone, getattr(memory, kind) / 1e9) for kind, tone, _ in _KINDS))


def _stages(plan: Plan) -> list[tuple[str, Memory]]:
    """The stages that can be drawn: all, or the fullest with the first and the last."""
    found = plan.memory_by_stage
    if len(found) < 2:
        return [("", plan.memory)]
    named = [(f"Stage {number}, {format_bytes(each.total)}", each) for number, each in enumerate(found, 1)]
    if len(named) <= _STAGES_SHOWN:
        return named
    fullest = max(range(len(found)), key=lambda stage: found[stage].total)
    return [named[stage] for stage in sorted({0, fullest, len(found) - 1})]


def scaling_figure(scaling: ScalingTable) -> Html:
    """Tokens a second by accelerators, in its band, beside what a perfect machine would do."""
    rows = scaling.rows
    points = tuple((float(row.option.accelerators), row.option.tokens_per_s.expected) for row in rows)
    (x0, y0), last = points[0], rows[-1]
    predicted = Curve(
        label="predicted",
        points=points,
        low=tuple(row.option.tokens_per_s.low for row in rows),
        high=tuple(row.option.tokens_per_s.high for row in rows),
    )
    ideal = Curve(label="perfect", points=tuple((x, y0 * x / x0) for x, _ in points), kind="reference")
    finding = (
        f"{scaling.kind.capitalize()} scaling: {significant(last.speed_up)} times as fast on "
        f"{last.option.accelerators // rows[0].option.accelerators} times the accelerators, "
        f"{format_percent(last.efficiency)} efficiency"
    )
    plot = LogPlot(
        finding=f"{finding}. The table below holds the figures.",
        x=Axis("Accelerators"),
        y=Axis("Throughput", "tokens per second"),
        curves=(predicted, ideal),
    )
    caption = "Both axes are logarithmic. The band holds four outcomes in five; dotted is perfect scaling."
    return _figure(finding, log_plot(plot), caption)


def machines_figure(options: Sequence[Option], plan: Plan) -> Html:
    """Every machine and size by days and GPU-hours; filled is what nothing else beats in both."""
    best = [one for one in options if one.best]
    marks = tuple(
        Mark(
            at=(one.wall_time_s.expected / 86400, gpu_hours(one.accelerator_seconds)),
            label=f"{one.machine}, {one.nodes:,}" if one.best else "",
            filled=one.best,
        )
        for one in options
    )
    own = Mark(
        at=(plan.wall_time_s.expected / 86400, gpu_hours(plan.accelerator_seconds)), label="this plan", chosen=True
    )
    finding = f"{len(best)} of {len(options)} choices are not beaten in both time and cost"
    plot = LogPlot(
        finding=f"{finding}. The table below holds them.",
        x=Axis("Wall time", "days"),
        y=Axis("Cost", "GPU-hours"),
        marks=(*marks, own),
    )
    caption = (
        "Both axes are logarithmic. Filled: nothing else is both sooner and cheaper; names give machine and nodes."
    )
    return _figure(finding, log_plot(plot), caption)


def _figure(title: str, drawing: Html, caption: str) -> Html:
    return h("figure", h("strong", title, class_="figure-title"), drawing, h("figcaption", caption))
