"""What `hanse plan` says and writes: its answer, a page, the layout for another trainer, a scaling table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from hanse.cli.home import short
from hanse.cli.output import note, print_json, require_file_can_be
from hanse.contracts.errors import UsageError

if TYPE_CHECKING:
    from hanse.cli.plan_answers import Answers, Wishes
    from hanse.contracts.plan import Plan
    from hanse.contracts.scaling import ScalingTable

FORMATS: Final = ("markdown", "csv")


def check(*, tool: str | None, out: Path | None, html: Path | None, style: str | None, scaling: str | None) -> None:
    """Nothing if all of it can be written; said before the work, not after it."""
    if tool is not None:
        from hanse.files.contract import nearest
        from hanse.planning.handover import TOOLS

        if tool not in TOOLS:
            raise UsageError(
                f'there is no trainer "{tool}" to export to{nearest(tool, TOOLS)}', fix=f"Known: {', '.join(TOOLS)}."
            )
    if style is not None:
        if style not in FORMATS:
            raise UsageError(f'There is no format "{style}".', fix=f"Known: {', '.join(FORMATS)}.")
        if scaling is None:
            raise UsageError("--format is of a scaling table.", fix="Add --scaling strong or --scaling weak.")
        if tool is not None:
            raise UsageError("--format and --export each take standard output.", fix="Give one of them.")
    if out is not None and tool is None and style is None:
        raise UsageError("--out is where --export or --format writes to.", fix="Add for instance: --export torchtitan")
    for path in (out, html):
        if path is not None:
            require_file_can_be(path)


def tell(found: Answers, wishes: Wishes, *, details: bool, as_json: bool) -> None:
    """The answer on stdout, and remarks beside it."""
    from hanse.cli.output import tell

    if as_json:
        print_json(found.facts() if wishes.any or found.checked is not None else found.plan)
        return
    from hanse.cli import plan_tables, plan_views

    if details or not wishes.any:
        tell(plan_views.overview(found.plan, found.machine, details=details))
    else:
        tell(plan_views.brief(found.plan, found.machine))
    for part in plan_tables.asked(found, details=details):
        tell("", part)
    _remarks(found)


def _remarks(found: Answers) -> None:
    from hanse.cli.machine import LOCAL

    if found.machine.id == LOCAL and found.machine.calibration is None:
        note("This machine was not measured yet: 'hanse machines calibrate' (half a minute) makes this plan better.")
    if found.also and found.spec_path is not None:
        name = found.spec_path
        note(f"{name.name} also allows {', '.join(found.also)}: hanse plan {name} --machine {found.also[0]}")


def export(plan: Plan, tool: str, out: Path | None) -> str | None:
    """The text for stdout, or None where it went into a file; what the file has no place for is said beside it."""
    from hanse.planning.handover import TOOLS

    made = TOOLS[tool](plan)
    for said in made.notes:
        note(said)
    return _written(made.text, f"The layout for {made.tool}", out)


def scaling(table: ScalingTable, style: str, out: Path | None) -> str | None:
    """As `export`, of a scaling table."""
    from hanse.planning import scaling_text

    text = scaling_text.markdown(table) if style == "markdown" else scaling_text.as_csv(table)
    return _written(text, "The scaling table", out)


def _written(text: str, what: str, out: Path | None) -> str | None:
    if out is None:
        return text
    out.write_text(text, encoding="utf-8")
    note(f"{what} is in {short(out)}")
    return None


def page(found: Answers, out: Path) -> None:
    from hanse.reporting.plan_page import render

    tables = () if found.scaling is None else (found.scaling,)
    options = () if found.survey is None else found.survey.options
    text = render(found.plan, found.machine, options=options, scaling=tables, names=found.names)
    out.write_text(text, encoding="utf-8")
    note(f"The page is in {short(out)}")
