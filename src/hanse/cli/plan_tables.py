"""What is asked beside a plan, as tables on a terminal: machines and sizes, scaling, another layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.text import Text

from hanse.cli.views import sentences, table
from hanse.contracts.units import (
    format_bytes,
    format_gpu_hours,
    format_percent,
    format_seconds,
    gpu_hours,
)
from hanse.planning import explain, scaling_text

if TYPE_CHECKING:
    from hanse.cli.plan_answers import Answers
    from hanse.contracts.scaling import Option, ScalingTable
    from hanse.planning.compare import Comparison

_PARTS_SHOWN: Final = 7
_TELLS: Final = 0.005
"""Share of a step below which a difference is not worth a row."""


def asked(found: Answers, *, details: bool) -> Iterator[RenderableType]:
    """What was asked beside the plan, one part after the other."""
    if found.comparison is not None:
        yield comparison(found.comparison, found.why_not, details=details)
    if found.survey is not None:
        listed = found.survey.options if details else explain.notable(found.survey.options)
        yield options(listed, of=len(found.survey.options), within_s=found.within_s)
        if found.survey.left_out:
            yield left_out(found.survey.left_out)
    if found.scaling is not None:
        yield scaling(found.scaling)


def options(listed: Sequence[Option], *, of: int | None = None, within_s: float | None = None) -> RenderableType:
    """Machines and sizes, soonest first; a brick marks those that nothing else beats in both time and cost."""
    right = ("Nodes", "Wall time", "GPU-hours", "MFU")
    shown = table("", "Machine", "Nodes", "Wall time", "GPU-hours", "MFU", "Layout", right=right, whole=("Machine",))
    for one in listed:
        shown.add_row(
            "■" if one.best else "",
            one.machine,
            f"{one.nodes:,}",
            format_seconds(one.wall_time_s.expected),
            f"{gpu_hours(one.accelerator_seconds):,.0f}",
            format_percent(one.mfu),
            one.layout.describe().split(", ", 1)[-1],
        )
    more = ""
    if of is not None and of > len(listed):
        more = f" Shown are the soonest of these and the cheapest of each machine; --details shows all {of}."
    aside = "" if within_s is None else f", all within {format_seconds(within_s)}"
    head = Text.assemble(("Machines and sizes", "bold"), (f"  soonest first{aside}", "dim"))
    return Group(head, shown, Text(f"■ nothing else is both sooner and cheaper.{more}", style="dim"))


def left_out(machines: Iterable[tuple[str, str]]) -> RenderableType:
    """Machines without any option, those of one reason together."""
    by_reason: dict[str, list[str]] = {}
    for machine, because in machines:
        by_reason.setdefault(because, []).append(machine)
    said = [f"{', '.join(found)}: {because}" for because, found in by_reason.items()]
    return Group(Text("Left out", style="bold"), sentences(said))


def scaling(made: ScalingTable) -> RenderableType:
    hidden = {"Range", "MFU", "Accelerators", *(["Batch"] if made.kind == "strong" else [])}
    kept = [name for name in scaling_text.COLUMNS if name not in hidden]
    shown = table(*kept, right=[name for name in kept if name != "Layout"])
    for row in made.rows:
        cells = dict(zip(scaling_text.COLUMNS, scaling_text.cells(row), strict=True))
        shown.add_row(*(cells[name] for name in kept))
    head = Text(scaling_text.heading(made), style="bold")
    return Group(head, shown, Text(scaling_text.footnote(made), style="dim"))


def comparison(made: Comparison, typed: str, *, details: bool) -> RenderableType:
    """Two layouts side by side: the parts that differ, memory, the whole run, and what the other one breaks."""
    first, second = made.first, made.second
    head = Text.assemble(("Why not ", "bold"), (typed, "bold"), f": {verdict(made)}")
    shown = table("", "This plan", "The other", "More", right=("This plan", "The other", "More"))
    step_s = first.candidate.step_time_s
    ranked = [(part, more) for part, more in made.differences.items() if details or abs(more) > _TELLS * step_s]
    for part, more in ranked if details else ranked[:_PARTS_SHOWN]:
        mine, its = first.parts.get(part, 0.0), second.parts.get(part, 0.0)
        shown.add_row(explain.NAMES[part], _time(mine), _time(its), _more(more))
    its_s = second.candidate.step_time_s
    shown.add_row("a step, all in all", _time(step_s), _time(its_s), _more(its_s - step_s))
    ours, theirs = first.memory, second.memory
    shown.add_row("memory a rank", format_bytes(ours.total), format_bytes(theirs.total), "")
    shown.add_row("wall time", format_seconds(first.wall_time_s), format_seconds(second.wall_time_s), "")
    shown.add_row("cost", format_gpu_hours(first.accelerator_seconds), format_gpu_hours(second.accelerator_seconds), "")
    parts: list[RenderableType] = [head, Text(f"  The other is {second.candidate.layout.describe()}."), shown]
    if second.breaks:
        parts += [Text("What stands against it", style="bold"), sentences(_begun(each) for each in second.breaks)]
    return Group(*parts)


def verdict(made: Comparison) -> str:
    """The outcome in one clause."""
    slower, broken = made.slower, made.second.breaks
    if abs(slower) < _TELLS:
        speed = "it is as fast"
    elif slower >= 1:
        speed = f"a step takes {1 + slower:.1f} times as long"
    else:
        speed = f"it is {format_percent(abs(slower))} {'slower' if slower > 0 else 'faster'}"
    if not broken:
        return f"{speed}."
    return f"{speed}, {'and' if slower > 0 else 'but'} it cannot be launched."


def _begun(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _time(seconds: float) -> str:
    return format_seconds(seconds) if seconds else "–"


def _more(seconds: float) -> str:
    return f"{'+' if seconds > 0 else '−'}{format_seconds(abs(seconds))}" if seconds else ""
