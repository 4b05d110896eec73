"""What `hanse plan` writes beside its answer: a page, or the layout for another trainer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hanse.cli.home import short
from hanse.cli.output import note, require_file_can_be
from hanse.contracts.errors import UsageError

if TYPE_CHECKING:
    from hanse.contracts.machine import Machine
    from hanse.contracts.plan import Plan


def check(*, tool: str | None, out: Path | None, html: Path | None) -> None:
    """Nothing if all of it can be written; said before the work, not after it."""
    if tool is not None:
        from hanse.files.contract import nearest
        from hanse.planning.handover import TOOLS

        if tool not in TOOLS:
            raise UsageError(
                f'there is no trainer "{tool}" to export to{nearest(tool, TOOLS)}', fix=f"Known: {', '.join(TOOLS)}."
            )
    elif out is not None:
        raise UsageError("--out is where --export writes to.", fix="Add for instance: --export torchtitan")
    for path in (out, html):
        if path is not None:
            require_file_can_be(path)


def export(plan: Plan, tool: str, out: Path | None) -> str | None:
    """The text for stdout, or None where it went into a file; what the file has no place for is said beside it."""
    from hanse.planning.handover import TOOLS

    made = TOOLS[tool](plan)
    for said in made.notes:
        note(said)
    if out is None:
        return made.text
    out.write_text(made.text, encoding="utf-8")
    note(f"The layout for {made.tool} is in {short(out)}")
    return None


def page(plan: Plan, machine: Machine, out: Path) -> None:
    from hanse.reporting.plan_page import render

    out.write_text(render(plan, machine), encoding="utf-8")
    note(f"The page is in {short(out)}")
