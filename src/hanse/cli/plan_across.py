"""`hanse plan --across`: one machine, several apart, or several together, on one screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanse.cli import launching_across, plan_answers
from hanse.cli.output import note
from hanse.contracts.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hanse.cli.plan_answers import Bounds
    from hanse.cli.plan_source import Described
    from hanse.contracts.machine import Machine
    from hanse.contracts.plan import Plan
    from hanse.planning.ways import Between, Way


@dataclass(frozen=True, slots=True, kw_only=True)
class Across:
    """What is typed beside --across; None: the planner's choice."""

    machines: str
    link_gbit_s: float | None = None
    inner_steps: int | None = None
    codec: str | None = None
    partition: str | None = None
    """As train.yaml has it."""


def refuse_beside(others: list[str], across: Across, *, typed: bool) -> None:
    """Raises UsageError for what answers another question; `typed`: by --across, and not by what train.yaml says."""
    if others and typed:
        raise UsageError(f"--across answers another question than {others[0]}.", fix="Give one of them.")
    if others:
        raise UsageError(
            f"train.yaml has across:, which plans a leg on each of its machines; {others[0]} is of a plan on one.",
            fix=f"Leave {others[0]} out, or add --machine {across.machines.partition(',')[0]} to plan the whole there.",
        )


def named_by(spec_path: Path | None) -> Across | None:
    """What a train.yaml with `across:` asks; None of any other, also of one that cannot be read."""
    path = spec_path or Path("train.yaml")
    try:
        if "across" not in path.read_text(encoding="utf-8"):  # most have no such key, and are read once only
            return None
    except (OSError, ValueError):
        return None
    from hanse.workloads.load import load_spec

    spec = load_spec(path)
    if spec.across is None:
        return None
    return Across(
        machines=",".join(spec.where.machines), inner_steps=spec.across.inner_steps, codec=spec.across.codec,
        partition=spec.where.partition,
    )  # fmt: skip


def asked(
    written: Across | None, machines: str | None, link_gbit_s: float | None, inner_steps: int | None, codec: str | None
) -> Across | None:
    """What is typed before what is written; None where neither asks for several machines."""
    if machines is None and written is None:
        return None
    known = written or Across(machines="")
    return Across(
        machines=machines or known.machines, link_gbit_s=link_gbit_s, inner_steps=inner_steps or known.inner_steps,
        codec=codec or known.codec, partition=known.partition,
    )  # fmt: skip


def compare(spec_path: Path | None, described: Described, bounds: Bounds, across: Across) -> Between:
    """The comparison of what was typed.

    Raises:
        UsageError: fewer than two machines, or an option that is none.
        PlanError: the training fits on one of the machines in no way.
    """
    from hanse.cli.machine import resolve
    from hanse.planning import between
    from hanse.planning.ways import UNKNOWN

    names = [name for name in (each.strip() for each in across.machines.split(",")) if name]
    if len(names) < 2:
        raise UsageError("--across compares two machines or more.", fix="For instance: --across leonardo,lumi-g")
    if across.codec is not None and across.codec not in between.BYTES_PER_VALUE:
        raise UsageError(f'There is no codec "{across.codec}".', fix=f"Known: {', '.join(between.BYTES_PER_VALUE)}.")
    link = UNKNOWN
    if across.link_gbit_s is not None:
        if not 0 < across.link_gbit_s < float("inf"):
            raise UsageError(f"A link of {across.link_gbit_s:g} Gbit/s is none.", fix="Give --link a number above 0.")
        link = between.given(across.link_gbit_s * 1e9 / 8)
    asked = plan_answers.asked(spec_path, described, bounds)
    machines = [resolve(name) for name in names]
    alone = [launching_across.alone(asked, machine) for machine in machines]
    codec = next((each for each in between.BYTES_PER_VALUE if each == across.codec), None)
    return between.compare(
        alone, machines, link=link, inner_steps=across.inner_steps, codec=codec, limits=asked.limits(),
        objective=asked.objective, executable_only=asked.executable_only,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLeg:
    """What one machine would train, were it launched apart."""

    machine: Machine
    plan: Plan
    checked: list[dict[str, int]] | None = None
    """What a dry run of it counted."""

    def facts(self) -> dict[str, Any]:
        """As JSON knows it."""
        from hanse.cli import check

        found: dict[str, Any] = {"machine": self.machine.id, "plan": self.plan.model_dump(mode="json")}
        return found if self.checked is None else found | {"check": check.facts(self.plan, self.checked)}


def legs_of(
    made: Between, spec_path: Path | None, *, partition: str | None, check: bool
) -> tuple[PlannedLeg, ...]:  # fmt: skip
    """Each leg's own plan, as `hanse launch` would make it, and with `check` taken through a step.

    Raises:
        PlanError: it fits in no way there, or the trainer cannot build it.
    """
    from hanse.cli import check as dry_run
    from hanse.cli.machine import resolve
    from hanse.planning import legs

    found, way = [], legs.apart(made.ways)
    for name in way.machines:
        machine = resolve(name)
        plan = legs.plan_of(way, machine, made.workload, partition=partition)
        checked = dry_run.run(plan, spec_path) if check else None
        found.append(PlannedLeg(machine=machine, plan=plan, checked=checked))
    return tuple(found)


def pages(legs: Sequence[PlannedLeg], out: Path) -> None:
    """A page of each leg beside the name that was asked for: plan.html becomes plan-lumi-g.html."""
    from hanse.cli.home import short
    from hanse.cli.output import require_file_can_be
    from hanse.reporting.plan_page import render

    paths = [out.with_name(f"{out.stem}-{leg.machine.id}{out.suffix}") for leg in legs]
    for path in paths:
        require_file_can_be(path)
    for leg, path in zip(legs, paths, strict=True):
        path.write_text(render(leg.plan, leg.machine), encoding="utf-8")
        note(f"The page of the leg on {leg.machine.id} is in {short(path)}")


def tell(made: Between, legs: Sequence[PlannedLeg] = (), *, as_json: bool) -> None:
    from hanse.cli import check
    from hanse.cli.output import print_json, tell

    if as_json:
        print_json(facts(made) | {"legs": [each.facts() for each in legs]})
        return
    tell(view(made))
    for leg in legs:
        if leg.checked is not None:
            tell("", f"The leg on {leg.machine.id}:")
            check.tell(leg.plan, leg.checked)
    if not made.link.known:
        note("The speed between the machines decides much here: measure it, and give it with --link.")


def facts(made: Between) -> dict[str, Any]:
    """As JSON knows it; intervals are {low, expected, high} in the unit of their key."""
    from hanse.planning import between_text

    found = _plain(asdict(made))
    assert isinstance(found, dict)
    found["workload"] = made.workload.model_dump(mode="json")
    for way, shown in zip(made.ways, found["ways"], strict=True):
        shown["arithmetic"] = between_text.arithmetic(made, way)
    found["best"] = None if made.best is None else made.ways.index(made.best)
    found["proposal"] = between_text.proposal(made)
    return found


def _plain(value: Any) -> Any:
    from hanse.contracts.base import Contract

    if isinstance(value, Contract):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def view(made: Between) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from hanse.cli.views import sentences, table
    from hanse.contracts.units import format_gpu_hours, format_seconds
    from hanse.planning import between_text

    right = ("Wall time", "GPU-hours", "Link needed", "Loss")
    columns = ("", "Way", "Nodes", "Wall time", "GPU-hours", "Link needed", "Loss")
    shown = table(*columns, right=right, whole=("Way",))
    for way in made.ways:
        wall = way.wall_time_s
        shown.add_row(
            "■" if way is made.best else "",
            way.machines[0] if way.kind == "one machine" else way.kind,
            " + ".join(f"{leg.nodes:,}" for leg in way.legs),
            f"{format_seconds(wall.expected)}\n{format_seconds(wall.low)} to {format_seconds(wall.high)}",
            format_gpu_hours(way.accelerator_seconds.expected).partition("\N{NO-BREAK SPACE}")[0],
            between_text.needed(way),
            _loss(way),
        )
    parts: list[RenderableType] = [
        Text.assemble(
            (made.workload.name, "bold"), " on one machine or across: ", (between_text.proposal(made), "bold")
        ),
        shown,
        Text(between_text.footnote(), style="dim"),
    ]
    for way in made.ways:
        said = [*between_text.arithmetic(made, way), *way.remarks, *(f"Against it: {each}." for each in way.against)]
        if said:
            parts += [Text(f"{between_text.NAMES[way.kind].capitalize()}: {', '.join(way.machines)}", style="bold")]
            parts.append(sentences(said))
    return Group(*parts, Text(between_text.link(made.link), style="dim"))


def _loss(way: Way) -> str:
    if way.loss is not None:
        return f"{way.loss.share.expected * 100:+.1f}\N{NO-BREAK SPACE}%".replace("-", "−")
    return "not known" if way.kind == "apart" else "–"
