"""`hanse plan --check`: the plan's model under its layout, built and taken through a step without memory or network.

The trainer does it in processes of its own (it needs torch), one for the first and one for the last pipeline rank.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typer

from hanse.contracts.errors import PlanError
from hanse.contracts.units import format_bytes

if TYPE_CHECKING:
    from hanse.contracts.plan import Plan

_PARTS = ("parameters", "gradients", "optimiser", "activations")


def run(plan: Plan, spec_path: Path | None) -> list[dict[str, int]]:
    """Bytes by kind of every rank that was taken through a step.

    Raises:
        PlanError: the trainer cannot build or run it; the trainer's own words.
    """
    layout = plan.layout
    stride = layout.world_size // layout.pp
    ranks = sorted({0, (layout.pp - 1) * stride})
    with TemporaryDirectory() as folder:
        path = Path(folder, "plan.json")
        path.write_text(plan.to_json())
        with_spec = [str(spec_path)] if spec_path is not None else []
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "hanse.training.check", str(path), str(rank), *with_spec],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for rank in ranks
        ]  # fmt: skip
        ended = [(each, *each.communicate()) for each in started]
    for process, _, said in ended:
        if process.returncode:
            lines = [line.strip() for line in said.strip().splitlines() if line.strip()]
            own = [line for line in lines if "could not" in line or "Hanse's trainer" in line]
            raise PlanError(
                f"the dry run failed: {(own or lines[-1:] or ['it said nothing'])[0]}",
                where=f"layout {layout.describe()}", fix="Choose another layout, or mend the module.",
            )  # fmt: skip
    return [json.loads(out) for _, out, _ in ended]


def facts(plan: Plan, checked: list[dict[str, int]]) -> dict[str, Any]:
    """As JSON knows it."""
    planned = {part: getattr(plan.memory, part) for part in _PARTS} | {"other": plan.memory.other}
    return {"ranks_in_all": plan.layout.world_size, "ranks": checked, "planned": planned}


def tell(plan: Plan, checked: list[dict[str, int]]) -> None:
    for line in lines(plan, checked):
        typer.echo(line)


def lines(plan: Plan, checked: list[dict[str, int]]) -> Iterator[str]:
    """What was counted beside what was planned; the planner's is of the fullest rank."""
    layout = plan.layout
    yield f"Checked: {layout.describe()} was built and taken through a step as one of {layout.world_size:,} ranks."
    fullest = max(checked, key=lambda rank: sum(rank[part] for part in _PARTS))
    memory = plan.memory
    planned = {part: getattr(memory, part) for part in _PARTS}
    planned["activations"] += memory.other
    for part in _PARTS:
        yield f"  {part:<12}{format_bytes(fullest[part]):>12} counted, {format_bytes(planned[part]):>12} planned"
    counted = sum(fullest[part] for part in _PARTS)
    yield f"  {'in all':<12}{format_bytes(counted):>12} counted, {format_bytes(memory.total):>12} planned"
    if counted > memory.limit:
        yield f"  It does not fit: a rank has {format_bytes(memory.limit)}."
