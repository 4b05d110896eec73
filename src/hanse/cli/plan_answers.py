"""All that `hanse plan` is asked at once: the plan, and beside it other machines, a scaling table, a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from hanse.cli import plan_source, planning, typed
from hanse.cli.output import note
from hanse.cli.plan_source import Described
from hanse.cli.planning import Question
from hanse.contracts.errors import PlanError, UsageError
from hanse.contracts.units import format_percent

if TYPE_CHECKING:
    from hanse.contracts.machine import Machine
    from hanse.contracts.plan import Plan
    from hanse.contracts.scaling import Option, ScalingTable
    from hanse.contracts.spec import TrainSpec
    from hanse.planning.across import Survey
    from hanse.planning.choose import Objective
    from hanse.planning.compare import Comparison

OBJECTIVES: Final[dict[str, Objective]] = {"time": "time", "gpu-hours": "cost", "energy": "energy"}
_ALTERNATIVES: Final = ("lumi-g", "leonardo-booster", "jupiter-booster")
"""Europe's largest that take applications: tried as a change where a train.yaml names no other machine."""
_MOST_ALTERNATIVES: Final = 2
_GOOD_TIME_S: Final = 90 * 86400.0
_OPTION: Final = {"split in ways Hanse's trainer": "with --whole-space, split in ways Hanse's trainer"}
_CLOSED: Final = {"tp": 1, "pp": 1, "cp": 1, "ep": 1, "offload": 0}
"""Degrees that Hanse's own trainer does not execute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is asked beside the plan."""

    why_not: str | None = None
    all_machines: bool = False
    scaling: Literal["strong", "weak"] | None = None
    tool: str | None = None
    """The trainer the layout goes to, which may know fewer layouts than there are."""

    @property
    def any(self) -> bool:
        return self.why_not is not None or self.all_machines or self.scaling is not None


_SOFTWARE: Final = {"torchtitan": "torchtitan", "megatron": "megatron-core", "deepspeed": "deepspeed"}
"""What carries out a layout that is exported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What is typed to bound the choice; None: as the spec says, or not at all."""

    nodes: int | None = None
    partition: str | None = None
    gpu_hours: float | None = None
    finish_by_s: float | None = None
    objective: Objective | None = None
    executable_only: bool = True
    software: str | None = None
    """What trains it, where that is not Hanse's own trainer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    plan: Plan
    machine: Machine
    survey: Survey | None = None
    names: dict[str, str] = field(default_factory=dict)
    """Machines' names by id."""
    within_s: float | None = None
    """What is surveyed finishes in so long."""
    scaling: ScalingTable | None = None
    comparison: Comparison | None = None
    why_not: str = ""
    spec_path: Path | None = None
    checked: dict[str, Any] | None = None
    """What a dry run counted."""
    also: tuple[str, ...] = ()
    """Other machines the spec allows."""

    def facts(self) -> dict[str, Any]:
        """Of what was asked, as JSON knows it."""
        found: dict[str, Any] = {"plan": self.plan.model_dump(mode="json")}
        if self.survey is not None:
            found["options"] = [each.model_dump(mode="json") for each in self.survey.options]
            found["left_out"] = dict(self.survey.left_out)
        if self.checked is not None:
            found["check"] = self.checked
        if self.scaling is not None:
            found["scaling"] = self.scaling.model_dump(mode="json")
        if self.comparison is not None:
            sides = {"plan": self.comparison.first, "other": self.comparison.second}
            found["comparison"] = {
                name: {**asdict(side), "candidate": side.candidate.model_dump(mode="json"),
                       "memory": side.memory.model_dump(mode="json")}
                for name, side in sides.items()
            } | {"slower": self.comparison.slower}  # fmt: skip
        return found


def objective(word: str | None) -> Objective | None:
    if word is None:
        return None
    if word not in OBJECTIVES:
        from hanse.files.contract import nearest

        raise UsageError(f'There is no objective "{word}"{nearest(word, OBJECTIVES) or "."}', fix=_known(OBJECTIVES))
    return OBJECTIVES[word]


def kind(word: str | None) -> Literal["strong", "weak"] | None:
    match word:
        case None | "strong" | "weak":
            return word
    raise UsageError(f'There is no scaling "{word}".', fix=_known(("strong", "weak")))


def _known(words: Iterable[str]) -> str:
    return f"Known: {', '.join(words)}."


def seconds_left(finish_by: str | None) -> float | None:
    """Until --finish-by, in the reader's own zone."""
    from datetime import datetime

    return None if finish_by is None else typed.seconds_until(finish_by, "--finish-by", now=datetime.now().astimezone())


def for_options(
    spec_path: Path | None, described: Described, machine: str | None, bounds: Bounds, wishes: Wishes
) -> Answers:
    """From what was typed: a train.yaml, or a training described by options.

    Raises:
        UsageError: something is missing, or said twice.
        PlanError: no layout keeps to the limits.
    """
    if spec_path is None and described.model is not None:
        return _described(described, machine, bounds, wishes)
    path, spec = _spec(spec_path, described)
    chosen = planning.machine_for(spec, path, machine)
    asked = _of_spec(path, spec, bounds)
    others = [] if machine is not None else [name for name in spec.where.machines if name != chosen.id]
    try:
        found = answers(asked, chosen, wishes, allowed=spec.where.machines)
    except PlanError as error:
        raise _refused(error, _OPTION) from None
    return replace(found, spec_path=path, also=tuple(others))


def asked(spec_path: Path | None, described: Described, bounds: Bounds) -> Question:
    """What was typed, whatever the machine. Raises UsageError as `for_options` does."""
    if spec_path is None and described.model is not None:
        plan_source.check_complete(described, machine=True)
        return _of_described(described, bounds)
    return _of_spec(*_spec(spec_path, described), bounds)


def _spec(spec_path: Path | None, described: Described) -> tuple[Path, TrainSpec]:
    from hanse.workloads.load import load_spec

    path = spec_path or Path("train.yaml")
    described.refuse_beside(path)
    if spec_path is None and not path.exists():
        raise UsageError("There is no train.yaml here.", fix=f"Give its path, or name a model: {plan_source.EXAMPLE}")
    return path, load_spec(path)


def _of_spec(path: Path, spec: TrainSpec, bounds: Bounds) -> Question:
    asked = planning.question(
        spec, path, nodes=bounds.nodes, partition=bounds.partition, gpu_hours=bounds.gpu_hours,
        executable_only=bounds.executable_only,
    )  # fmt: skip
    asked = replace(asked, objective=bounds.objective, finish_by_s=bounds.finish_by_s)
    return _trained_by(bounds.software, asked)


def _of_described(described: Described, bounds: Bounds) -> Question:
    asked = Question(
        workload=plan_source.workload_of(described), nodes=bounds.nodes, partition=bounds.partition,
        gpu_hours=bounds.gpu_hours, finish_by_s=bounds.finish_by_s, objective=bounds.objective,
        executable_only=bounds.executable_only,
    )  # fmt: skip
    return _trained_by(bounds.software, asked)


def _described(described: Described, machine: str | None, bounds: Bounds, wishes: Wishes) -> Answers:
    from hanse.cli.machine import resolve

    plan_source.check_complete(described, machine=machine is not None or wishes.all_machines)
    if machine is None and bounds.partition is not None:
        raise UsageError("--partition is one of a machine's.", fix="Add --machine.")
    own = None if machine is None else resolve(machine)
    asked = _of_described(described, bounds)
    try:
        return _in_good_time(asked, own, wishes)
    except PlanError as error:  # there is no train.yaml whose keys could be changed
        raise _refused(error, {"where.max_gpu_hours": "--budget", "Set batch:": "Set --batch", **_OPTION}) from None


def software(name: str | None, tool: str | None, *, whole_space: bool) -> str | None:
    """The training software meant: named, or the one that all layouts are exported to. Raises UsageError."""
    if name is None:
        return _SOFTWARE.get(tool or "") if whole_space else None
    from hanse.planning import stacks

    if name not in stacks.names():
        from hanse.files.contract import nearest

        raise UsageError(
            f'The planner knows no software "{name}"{nearest(name, stacks.names()) or "."}', fix=_known(stacks.names())
        )
    return name


def _trained_by(software: str | None, asked: Question) -> Question:
    """Another trainer has its own kernels and memory, and can carry out more than Hanse's."""
    if software is None or software == asked.workload.software:
        return asked
    return replace(asked, workload=asked.workload.model_copy(update={"software": software}), executable_only=False)


def _in_good_time(asked: Question, machine: Machine | None, wishes: Wishes) -> Answers:
    """Where nothing says how soon, in a quarter of a year if that can be: the cheapest of all would take for ever."""
    if any(each is not None for each in (asked.nodes, asked.finish_by_s, asked.objective, asked.gpu_hours)):
        return answers(asked, machine, wishes)
    try:
        found = answers(replace(asked, finish_by_s=_GOOD_TIME_S), machine, wishes)
    except PlanError:
        found = answers(replace(asked, objective="time"), machine, wishes)
        note("Nothing finishes within 90 days, so this is the soonest; --nodes or --objective say otherwise.")
        return found
    note("Planned to finish within 90 days; --nodes, --finish-by or --objective say otherwise.")
    return found


def _refused(error: PlanError, words: dict[str, str]) -> PlanError:
    """The same refusal in the words of this verb's options."""
    fix = error.fix
    for old, new in words.items():
        fix = fix.replace(old, new)
    return PlanError(error.what, where=error.where, fix=fix, history=error.history)


def alternatives(machine: Machine, allowed: Sequence[str]) -> list[Machine]:
    """Machines to try instead: those the spec allows too, else the largest public ones beside a machine with GPUs."""
    from hanse.cli.machine import LOCAL
    from hanse.machines import catalogue

    others = [name for name in allowed if name not in (machine.id, LOCAL)]
    if not others and machine.accelerator.kind != "cpu":
        others = [name for name in _ALTERNATIVES if name != machine.id]
    known = catalogue.ids()
    return [catalogue.load(name) for name in others if name in known][:_MOST_ALTERNATIVES]


def catalogued(own: Machine | None) -> list[Machine]:
    """All machines with accelerators that there are, the one in hand among them."""
    from hanse.machines import catalogue

    found = {name: catalogue.load(name) for name in catalogue.ids()}
    return list((found | ({own.id: own} if own is not None else {})).values())


def survey(asked: Question, own: Machine | None) -> tuple[Survey, dict[str, str], float]:
    """Machines and sizes that finish in the time there is, else in a quarter of a year; names, and that time."""
    from hanse.planning import across

    machines = catalogued(own)
    limits = asked.limits()
    if limits.time_s is None:
        limits = replace(limits, finish_by_s=_GOOD_TIME_S)
    found = across.survey(asked.workload, machines, limits=limits, executable_only=asked.executable_only)
    return found, {each.id: each.name for each in machines}, limits.time_s or _GOOD_TIME_S


def best(found: Survey, asked: Question) -> Option:
    """What the objective would choose of all, without one the fewest GPU-hours. Raises PlanError for nothing."""
    if not found.options:
        raise PlanError(
            "nothing in the catalogue can train this within the limits",
            where=asked.workload.name,
            fix="Ask for one of them with --machine to hear what is short"
            + (", or add --whole-space." if asked.executable_only else "."),
            history=tuple(f"{name}: {because}" for name, because in found.left_out[:4]),
        )
    if asked.objective == "time":
        return min(found.options, key=lambda each: each.wall_time_s.expected)
    if asked.objective == "energy":
        known = [each for each in found.options if each.energy_joules is not None]
        return min(known or found.options, key=lambda each: each.energy_joules or 0.0)
    return min(found.options, key=lambda each: each.accelerator_seconds)


def answers(asked: Question, machine: Machine | None, wishes: Wishes, *, allowed: Sequence[str] = ()) -> Answers:
    """Everything at once. `machine` None: the one on which the objective is best. Raises PlanError, UsageError."""
    wanted = None
    if wishes.why_not is not None:
        from hanse.planning import compare

        wanted = compare.parse(wishes.why_not)
    surveyed, names, within_s = survey(asked, machine) if wishes.all_machines else (None, {}, None)
    if machine is None:
        assert surveyed is not None, "a machine is asked for where not all are tried"
        from hanse.machines import catalogue

        machine = catalogue.load(best(surveyed, asked).machine)
    plan = planning.answer(asked, machine, with_levers=True, others=alternatives(machine, allowed))
    if wishes.tool is not None and asked.layout is None:
        plan = _for_tool(asked, machine, plan, wishes.tool)
    table = None
    if wishes.scaling is not None:
        from hanse.planning import scaling

        table = scaling.table(asked.workload, machine, wishes.scaling, executable_only=asked.executable_only)
    comparison = None if wanted is None else _compared(asked, machine, plan, wanted)
    return Answers(
        plan=plan, machine=machine, survey=surveyed, names=names, within_s=within_s, scaling=table,
        comparison=comparison, why_not=wishes.why_not or "",
    )  # fmt: skip


def _for_tool(asked: Question, machine: Machine, plan: Plan, tool: str) -> Plan:
    """The plan if the tool can be told it, else the soonest to finish of those it can; else the plan, to be refused."""
    from hanse.planning.handover import TOOLS, WITHIN

    def takes(made: Plan) -> bool:
        try:
            TOOLS[tool](made)
        except UsageError:
            return False
        return True

    if takes(plan):
        return plan
    found = []
    for wanted in WITHIN[tool]:
        try:
            made = planning.answer(replace(asked, wanted=wanted, nodes=plan.layout.nodes), machine)
        except PlanError:
            continue
        found += [made] if takes(made) else []
    if not found:
        return plan
    best = min(found, key=lambda each: each.wall_time_s.expected)
    longer = best.wall_time_s.expected / plan.wall_time_s.expected - 1
    note(f"{tool} cannot be told {plan.layout.describe()}; the best it can takes {format_percent(longer)} longer.")
    return best


def _compared(asked: Question, machine: Machine, plan: Plan, wanted: dict[str, int]) -> Comparison:
    """Against the best layout with these degrees; of what was not named, only what the trainer executes is used."""
    from hanse.planning import compare
    from hanse.planning.supported import refusal

    closed = {} if not asked.executable_only else {name: n for name, n in _CLOSED.items() if name not in wanted}
    nodes = plan.layout.nodes
    try:
        found = compare.compare(
            asked.workload, machine, plan.layout, wanted | closed, nodes=nodes, limits=asked.limits()
        )
    except PlanError as error:
        what = error.what
        for name in closed:  # nobody asked for these
            what = what.replace(f", {name} {'no' if name == 'offload' else 1}", "")
        least = 1
        for name in ("tp", "pp", "cp"):
            least *= wanted.get(name, 1)
        ranks = machine.accelerators(wanted.get("nodes", nodes))
        needed = -(-least // machine.accelerators_per_node)
        fix = f"They take {needed} nodes: add nodes={needed} to --why-not." if least > ranks else error.fix
        raise UsageError(what, where=error.where or f"--why-not on {machine.id}", fix=fix) from None
    if asked.executable_only:
        return found
    second = found.second  # whoever asks for the whole space does not ask what Hanse's trainer executes
    trainers = refusal(second.candidate.layout)
    return replace(found, second=replace(second, breaks=tuple(each for each in second.breaks if each != trainers)))
