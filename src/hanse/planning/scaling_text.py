"""Scaling tables as an application for compute asks for them: Markdown to paste, CSV to draw from."""

from __future__ import annotations

import csv
import io
from typing import Final

from hanse.contracts.scaling import ScalingRow, ScalingTable
from hanse.contracts.units import NBSP, format_percent, format_seconds, gpu_hours, significant

COLUMNS: Final = (
    "Nodes", "Accelerators", "Batch", "Step time", "Range", "Tokens/s", "Speed-up", "Efficiency", "MFU", "Wall time",
    "GPU-hours", "Layout",
)  # fmt: skip
_CSV: Final = (
    "machine", "kind", "nodes", "accelerators", "global_batch", "step_time_s", "step_time_low_s", "step_time_high_s",
    "tokens_per_s", "speed_up", "efficiency", "mfu", "wall_time_s", "gpu_hours", "layout",
)  # fmt: skip


def cells(row: ScalingRow) -> tuple[str, ...]:
    """One row in the order of COLUMNS, with units."""
    one = row.option
    step = one.step_time_s
    return (
        f"{one.nodes:,}", f"{one.accelerators:,}", f"{one.global_batch:,}", format_seconds(step.expected),
        f"{format_seconds(step.low)} to {format_seconds(step.high)}", f"{one.tokens_per_s.expected:,.0f}",
        f"{significant(row.speed_up)}", format_percent(row.efficiency), format_percent(one.mfu),
        format_seconds(one.wall_time_s.expected), f"{gpu_hours(one.accelerator_seconds):,.0f}",
        one.layout.describe().split(", ", 1)[1],
    )  # fmt: skip


def heading(table: ScalingTable) -> str:
    how = "the same batch on more nodes" if table.kind == "strong" else "the batch grows with the nodes"
    return f"{table.kind.capitalize()} scaling on {table.machine}: {how}"


def footnote(table: ScalingTable) -> str:
    first = table.rows[0].option.nodes
    return (
        f"Predicted, not measured. The range of a step holds four times in five; speed-up and efficiency are against "
        f"{first} node{'s' * (first > 1)}."
    )


def markdown(table: ScalingTable) -> str:
    """A table to paste; numbers stand to the right."""
    rule = "|" + "|".join("---:" if name not in ("Range", "Layout") else "---" for name in COLUMNS) + "|"
    rows = [f"| {' | '.join(cells(row))} |" for row in table.rows]
    lines = [f"**{heading(table)}**", "", f"| {' | '.join(COLUMNS)} |", rule, *rows, "", footnote(table)]
    return "\n".join(lines).replace(NBSP, " ") + "\n"


def as_csv(table: ScalingTable) -> str:
    """One line a row, plain numbers in SI units."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV)
    for row in table.rows:
        one = row.option
        figures = (
            one.step_time_s.expected, one.step_time_s.low, one.step_time_s.high, one.tokens_per_s.expected,
            row.speed_up, row.efficiency, one.mfu, one.wall_time_s.expected, gpu_hours(one.accelerator_seconds),
        )  # fmt: skip
        counts = (one.nodes, one.accelerators, one.global_batch)
        written = [f"{figure:.6g}" for figure in figures]
        writer.writerow([table.machine, table.kind, *counts, *written, one.layout.describe()])
    return out.getvalue()
