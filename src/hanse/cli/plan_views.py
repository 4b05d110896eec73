"""A plan on a terminal: the answer on one screen, and all of it with details."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hanse.cli.views import pairs, sentences, table
from hanse.contracts.units import (
    NBSP,
    format_bytes,
    format_count,
    format_gpu_hours,
    format_percent,
    format_seconds,
    gpu_hours,
    hours_of,
    significant,
)
from hanse.planning import explain
from hanse.planning.picture import folded, picture

if TYPE_CHECKING:
    from hanse.contracts.machine import Machine
    from hanse.contracts.plan import Interval, Lever, Memory, Plan

_PARTS_SHOWN: Final = 6
_LEVERS_SHOWN: Final = 5
_RUNNERS_SHOWN: Final = 3
_BAR: Final = 26
_NEARLY_ALL: Final = 0.995
"""Useful share of the time from which on failures are not worth a line."""
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_SHADES: Final = {"parameters": "█", "gradients": "▓", "optimiser": "▒", "activations": "░", "other": "▚"}


def overview(made: Plan, machine: Machine, *, details: bool = False) -> RenderableType:
    """The choice, what it takes, where the time goes, why, and what would change it."""
    parts: list[RenderableType] = [_title(made, machine), pairs(_figures(made))]
    parts += ["", _heading("Where a step goes", "communication: what is not hidden"), _breakdown(made, details=details)]
    parts += ["", _heading("Memory of the fullest rank"), _memory(made, details=details)]
    parts += ["", _heading("Layout"), _picture(made)]
    parts += ["", _heading("Why"), sentences(explain.sentences(made) if details else explain.briefly(made))]
    if made.levers:
        parts += ["", _heading("What would change it"), _levers(made, details=details)]
    if details:
        parts += ["", candidates(made)]
    elif len(made.considered) > 1:
        parts += ["", _heading("Runners-up", f"{made.searched:,} layouts were weighed"), _runners_up(made)]
    parts += _rests_on(made, details=details)
    return Group(*parts)


def _title(made: Plan, machine: Machine) -> Text:
    return Text.assemble((made.workload.name, "bold"), f" on {machine.name}: ", (made.layout.describe(), "bold"))


def _heading(text: str, aside: str = "") -> Text:
    return Text.assemble((text, "bold"), (f"  {aside}" if aside else "", "dim"))


def _figures(made: Plan) -> Iterable[tuple[str, RenderableType]]:
    work, ranks = made.workload, made.layout.world_size
    tokens = f"{format_count(work.total_tokens)} tokens"
    yield "Model", f"{format_count(work.parameters)} parameters, {tokens} in {_steps(made.steps)}"
    yield "Step time", f"{_range(made.step_time.total_s, format_seconds)}, as all ranges here four times in five"
    share = f" ({_percents(made.mfu_range)})" if made.mfu_range else ""
    yield "Throughput", f"{_range(made.tokens_per_s, _rate)} tokens/s, {format_percent(made.mfu)}{share} MFU"
    yield "Wall time", _range(made.wall_time_s, format_seconds)
    wall = made.wall_time_s
    spread = f"({_hours(wall.low * ranks)} to {_hours(wall.high * ranks)})"
    yield "Cost", f"about {_hours(made.accelerator_seconds)}{NBSP}GPU-hours {spread}{_charged(made)}"
    if (spent := _energy(made)) is not None:
        yield "Energy", spent
    if (kept := made.goodput) is not None and kept.share.low < _NEARLY_ALL:
        share = f"{format_percent(kept.share.expected)} ({_percents(kept.share)}) of the time trains"
        failures = f"{significant(kept.failures_per_day.expected, 2)} failures a day"
        yield "Goodput", f"{share}: {failures}, a checkpoint every {format_seconds(kept.checkpoint_every_s)}"


def _steps(count: int) -> str:
    return f"{count:,} step{'s' * (count != 1)}"


def _hours(accelerator_seconds: float) -> str:
    return significant(gpu_hours(accelerator_seconds))


def _rate(value: float) -> str:
    return significant(value) if value < 1e6 else format_count(value)


def _range(value: Interval, shown: Callable[[float], str]) -> str:
    return f"{shown(value.expected)} ({shown(value.low)} to {shown(value.high)})"


def _percents(share: Interval) -> str:
    return f"{significant(share.low * 100, 2)} to {format_percent(share.high)}"


def _charged(made: Plan) -> str:
    spent = made.expense
    if spent is None or spent.amount is None or spent.unit is None or spent.unit == "GPU-hour":
        return ""
    return f"; {format_count(spent.amount.expected)} {hours_of(spent.unit)} to the site"


def _energy(made: Plan) -> str | None:
    spent = made.expense
    if spent is None or spent.energy_joules is None:
        return None
    said = f"about {_scaled(spent.energy_joules, ((3.6e9, 'MWh'), (3.6e6, 'kWh'), (3.6e3, 'Wh')))}"
    carbon = f"; {_scaled(spent.co2_grams, ((1e6, 't'), (1e3, 'kg'), (1.0, 'g')))} CO₂" if spent.co2_grams else ""
    return said + carbon


def _scaled(value: Interval, units: tuple[tuple[float, str], ...]) -> str:
    """In the largest unit of which there is one, else the last."""
    size, unit = next((each for each in units if value.expected >= each[0]), units[-1])
    return f"{_range(value, lambda one: significant(one / size))}{NBSP}{unit}"


def bar(share: float, width: int = _BAR) -> str:
    """`share` of `width` columns, to an eighth of one."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    return _EIGHTHS[8] * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def _breakdown(made: Plan, *, details: bool) -> RenderableType:
    total = sum(made.step_time.parts.values()) or 1.0
    ranked = sorted(((name, s) for name, s in made.step_time.parts.items() if s > 0), key=lambda part: -part[1])
    shown = ranked if details or len(ranked) <= _PARTS_SHOWN + 1 else ranked[:_PARTS_SHOWN]
    rows = [(explain.NAMES[name], seconds) for name, seconds in shown]
    if rest := ranked[len(shown) :]:
        rows.append((f"{len(rest)} smaller parts", sum(seconds for _, seconds in rest)))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    for name, seconds in rows:
        grid.add_row(name, format_seconds(seconds), format_percent(seconds / total), bar(seconds / total))
    if details:
        for hidden, seconds in made.step_time.hidden.items():
            grid.add_row(explain.NAMES[hidden], format_seconds(seconds), "", "hidden behind computation")
    return Padding(grid, (0, 0, 0, 2))


def _memory(made: Plan, *, details: bool) -> RenderableType:
    memory = made.memory
    kinds = {kind: getattr(memory, kind) for kind in _SHADES}
    key = [f"{_SHADES[kind]} {kind} {format_bytes(size)}" for kind, size in kinds.items() if size]
    spread = made.memory_range
    between = f" ({format_bytes(spread.low)} to {format_bytes(spread.high)})" if spread else ""
    bars = [f"{memory_bar(memory)} {format_bytes(memory.total)}{between} of {format_bytes(memory.limit)}"]
    stages: list[str] = []
    if details:
        most = max((each.total for each in made.memory_by_stage), default=0)
        for number, each in enumerate(made.memory_by_stage, 1):
            fullest = ", the fullest" if each.total == most else ""
            stages.append(f"{memory_bar(each)} stage {number}, {format_bytes(each.total)}{fullest}")
    return _Lines(lambda width: [*bars, *folded(key, width, "  "), *stages])


def memory_bar(memory: Memory, width: int = 48) -> str:
    """Every kind in its shade, what is free as dots, the limit as a rule; what lies beyond it stands behind."""
    whole = max(memory.limit, memory.total) or 1
    text, reached = "", 0
    for kind, shade in _SHADES.items():
        reached += getattr(memory, kind)
        text += shade * (round(reached / whole * width) - len(text))
    text += "·" * (width - len(text))
    edge = round(memory.limit / whole * width)
    return f"{text[:edge]}│{text[edge:]}"


class _Lines:
    """Lines made for the width there is, in the margin of two columns that everything here has."""

    def __init__(self, made: Callable[[int], Iterable[str]]) -> None:
        self._made = made

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._made(min(options.max_width, 100) - 2):
            yield Text(f"  {line}", no_wrap=True)


def _picture(made: Plan) -> RenderableType:
    return _Lines(lambda width: picture(made.layout, shape=made.workload.shape, width=width))


def _few(levers: Sequence[Lever]) -> list[Lever]:
    """The first, and the last where they are of other machines."""
    elsewhere = [each for each in levers if each.change.startswith("on ") and " of " in each.change][:2]
    here = [each for each in levers if each not in elsewhere]
    return [*here[: _LEVERS_SHOWN - len(elsewhere)], *elsewhere]


def _levers(made: Plan, *, details: bool) -> RenderableType:
    shown = table("", "Step", "Wall time", "GPU-hours", "Then", right=("Step", "Wall time", "GPU-hours"))
    step_s, wall_s = made.step_time.total_s.expected, made.wall_time_s.expected
    for lever in made.levers if details else _few(made.levers):
        shown.add_row(
            lever.change,
            _change(lever.step_time_s / step_s),
            _change(lever.wall_time_s / wall_s),
            _change(lever.accelerator_seconds / (made.accelerator_seconds or 1)),
            explain.told(made.layout, lever.layout),
        )
    return Padding(shown, (0, 0, 0, 2))


def _change(ratio: float) -> str:
    """+20 %, −5 %, or 'as now'; a large one as a factor."""
    if abs(ratio - 1) < 0.005:
        return "as now"
    if ratio >= 2:
        return f"×{NBSP}{significant(ratio, 2)}"
    sign = "+" if ratio > 1 else "−"
    return f"{sign}{format_percent(abs(ratio - 1))}"


def _runners_up(made: Plan) -> RenderableType:
    shown = table("", "Step", "Memory", "", right=("Step", "Memory"))
    fitting = [one for one in made.considered if not one.note and not explain.same(made.layout, one.layout)]
    missed = [one for one in made.considered if one.note]
    for one in [*fitting[:_RUNNERS_SHOWN], *missed[:1]]:
        step = _change(one.step_time_s / made.step_time.total_s.expected)
        shown.add_row(f"with {explain.told(made.layout, one.layout)}", step, format_bytes(one.memory_bytes), one.note)
    return Padding(shown, (0, 0, 0, 2))


def candidates(made: Plan) -> RenderableType:
    """The layouts that were weighed, best first."""
    shown = table("Layout", "Step time", "Tokens/s", "Memory", "", right=("Step time", "Tokens/s", "Memory"))
    for one in made.considered:
        shown.add_row(
            one.layout.describe(),
            format_seconds(one.step_time_s),
            format_count(one.tokens_per_s),
            format_bytes(one.memory_bytes),
            one.note or ("" if one.fits else "does not fit"),
        )
    head = Text(f"{made.searched:,} layouts were weighed; the best, and the nearest that did not fit:")
    return Group(head, Padding(shown, (0, 0, 0, 2)))


def _rests_on(made: Plan, *, details: bool) -> list[RenderableType]:
    if not details:
        count = len(made.estimates)
        said = [f"rests on {count} estimate{'s' * (count > 1)}"] if count else []
        said += ["goes beyond what the planner was validated on"] if made.outside else []
        return [Text(f"It {' and '.join(said)}; --details tells the rest.", style="dim")] if said else []
    parts: list[RenderableType] = []
    if made.outside:
        parts += ["", _heading("Outside what was validated"), sentences(made.outside)]
    if made.estimates:
        parts += ["", _heading("Estimates this rests on"), sentences(made.estimates)]
    return parts


def brief(made: Plan, machine: Machine) -> RenderableType:
    """The plan in two lines, above what else was asked."""
    said = f"{format_seconds(made.step_time.total_s.expected)} a step, {format_percent(made.mfu)} MFU, "
    wall, cost = format_seconds(made.wall_time_s.expected), format_gpu_hours(made.accelerator_seconds)
    return Group(_title(made, machine), Text(f"  {said}{wall}, {cost}"))


def line(made: Plan) -> str:
    """The plan in one sentence."""
    return (
        f"{made.layout.describe()}: {made.steps:,} steps of about {format_seconds(made.step_time.total_s.expected)}, "
        f"in all about {format_seconds(made.wall_time_s.expected)} and {format_gpu_hours(made.accelerator_seconds)}."
    )
