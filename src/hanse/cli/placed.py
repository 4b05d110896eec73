"""A placement on a terminal: why this machine, the others in a table, and of those that are out, why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from hanse.cli.views import sentences, table, when
from hanse.contracts.units import NBSP, format_gpu_hours, format_seconds

if TYPE_CHECKING:
    from hanse.contracts.placement import Placement, PlacementOption

_DATA = {True: "yes", False: "no", None: "–"}


def view(placement: Placement, *, decided: bool = True) -> RenderableType:
    """Amounts are GPU-hours; `decided`: say when it was."""
    at = f" Decided {when(placement.decided_at)}." if decided else ""
    parts: list[RenderableType] = [Text(f"{placement.why}{at}")]
    figures = ("Nodes", "A step", "Starts", "Ends", "GPU-hours", "Free")
    made = table("Machine", *figures, "Data there", right=figures, whole=("Machine",))
    for number, each in enumerate(placement.options):
        made.add_row(f"{'→' if number == 0 else ' '} {each.machine}", *_figures(each))
    parts.append(made)
    told = [f"{each.machine}: {' '.join(each.reasons)}" for each in placement.options if each.reasons]
    out = [f"Not {each.machine}: {each.reason}" for each in placement.unusable]
    if told or out:
        parts.append(sentences([*told, *out]))
    return Group(*parts)


def _figures(each: PlacementOption) -> tuple[str, ...]:
    wait = "at once" if each.wait_s.expected < 1 else f"in {format_seconds(each.wait_s.expected)}"
    return (
        str(each.nodes),
        format_seconds(each.step_time_s.expected) if each.step_time_s else "–",
        wait if each.wait_known else f"{wait}?",
        f"in {format_seconds(each.finish_s.expected)}" if each.finish_s else "–",
        _hours(each.accelerator_seconds),
        _hours(each.free_accelerator_seconds),
        _DATA[each.data_there],
    )


def _hours(accelerator_seconds: int | None) -> str:
    return "–" if accelerator_seconds is None else format_gpu_hours(accelerator_seconds).partition(NBSP)[0]
