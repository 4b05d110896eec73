"""Two layouts of one workload side by side: where the time goes, what the memory holds, which limit is broken.

A layout may be given in part ('tp=8,pp=4'): then it is the best one with those degrees.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from hanse.contracts.errors import PlanError, UsageError
from hanse.contracts.layout import Layout
from hanse.contracts.machine import Machine
from hanse.contracts.plan import Candidate, Memory, StepPart
from hanse.contracts.workload import ModelShape, Workload
from hanse.planning import options, space
from hanse.planning.bounds import check_machine, rules
from hanse.planning.choose import Limits, candidate, fastest, missed_memory
from hanse.planning.memory import fullest
from hanse.planning.space import Layouts
from hanse.planning.steptime import step_times
from hanse.planning.supported import refusal
from hanse.planning.weigh import Weighed, seek, weigh
from hanse.workloads.shapes import stand_in

_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "recompute": options.RECOMPUTE,
    "pipeline": options.PIPELINES,
    "offload": ("no", "yes"),
    "sequence_parallel": ("no", "yes"),
}
_NAMES: Final = tuple(each.name for each in fields(Layouts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """One of the two, in full."""

    candidate: Candidate
    parts: dict[StepPart, float]
    memory: Memory
    wall_time_s: float
    accelerator_seconds: float
    breaks: tuple[str, ...]
    """Limits it does not keep, each as 'needs … of …'; empty if it could be launched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    first: Weighing
    second: Weighing

    @property
    def slower(self) -> float:
        """Time of the second over the first's, less one."""
        return self.second.candidate.step_time_s / self.first.candidate.step_time_s - 1

    @property
    def differences(self) -> dict[StepPart, float]:
        """Seconds the second spends more on each part, the largest difference first."""
        names = self.first.parts.keys() | self.second.parts.keys()
        found = {name: self.second.parts.get(name, 0.0) - self.first.parts.get(name, 0.0) for name in names}
        return dict(sorted(found.items(), key=lambda part: (-abs(part[1]), part[0])))


def parse(text: str) -> dict[str, int]:
    """'tp=8,pp=4,recompute=full' as columns of `Layouts`. Raises UsageError that names what is known."""
    found: dict[str, int] = {}
    for piece in filter(None, (each.strip() for each in text.split(","))):
        name, _, value = (each.strip() for each in piece.partition("="))
        name = name.replace("-", "_")
        if name not in _NAMES:
            near = difflib.get_close_matches(name, _NAMES, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f'no degree "{name}"{hint}', where=text, fix=f"Known: {', '.join(_NAMES)}.")
        found[name] = _number(name, value, text)
    if not found:
        raise UsageError("no degree is given", where=text, fix="Write for example tp=8,pp=4.")
    return found


def _number(name: str, value: str, text: str) -> int:
    words = _WORDS.get(name)
    if words is not None and value in words:
        return words.index(value)
    if words is None and value.isdecimal() and int(value) > 0:
        return int(value)
    known = " or ".join(words) if words else "a whole number from 1 on"
    raise UsageError(f'{name} cannot be "{value}"', where=text, fix=f"{name} is {known}.")


def compare(
    workload: Workload,
    machine: Machine,
    first: Layout | Mapping[str, int],
    second: Layout | Mapping[str, int],
    *,
    nodes: int | None = None,
    limits: Limits | None = None,
) -> Comparison:
    """Both weighed on the same nodes: those given, else those of whichever is a whole layout.

    Raises PlanError if no layout has the degrees asked for.
    """
    whole = [each for each in (first, second) if isinstance(each, Layout)]
    nodes = nodes or (whole[0].nodes if whole else 1)
    check_machine(workload, machine, nodes=nodes)
    kept = limits or Limits()
    return Comparison(
        first=_weighing(workload, machine, first, nodes, kept), second=_weighing(workload, machine, second, nodes, kept)
    )


def _weighing(
    workload: Workload, machine: Machine, wanted: Layout | Mapping[str, int], nodes: int, limits: Limits
) -> Weighing:
    shape = workload.shape or stand_in(workload.parameters, workload.vocab, workload.context)
    held: tuple[int, ...] = ()
    if isinstance(wanted, Layout):
        held = wanted.stages
        weighed, position = weigh(workload, shape, machine, space.of([wanted]), stages=held), 0
    else:
        weighed, position = _best(workload, shape, machine, {"nodes": nodes, **wanted})
    layouts = weighed.source.take(weighed.numbers[[position]])
    times = step_times(workload, shape, machine, layouts, stages=held)
    wall_s, used = float(weighed.wall_s[position]), float(weighed.accelerator_seconds[position])
    breaks = [] if weighed.fits_memory[position] else [missed_memory(weighed, position)]
    breaks += [each for each in (limits.missed(wall_s, used), refusal(layouts.at(0), workload)) if each]
    return Weighing(
        candidate=candidate(workload, weighed, position, breaks[0] if breaks else ""),
        parts={name: float(part[0]) for name, part in times.parts.items()},
        memory=fullest(workload, shape, machine, layouts.at(0).model_copy(update={"stages": held})),
        wall_time_s=wall_s,
        accelerator_seconds=used,
        breaks=tuple(breaks),
    )


def _best(workload: Workload, shape: ModelShape, machine: Machine, wanted: Mapping[str, int]) -> tuple[Weighed, int]:
    """The fastest with these degrees that fits, else the one that is short of least memory."""
    bounds = rules(workload, machine, executable_only=False, wanted=wanted, beyond=True)
    found = space.whole([wanted["nodes"]], shape, bounds)
    if not len(found):
        raise PlanError(*_impossible(workload, shape, machine, wanted))
    weighed = seek(workload, shape, machine, found)
    if len(weighed.numbers):
        return weighed, int(fastest(weighed, np.arange(len(weighed.numbers)))[0])
    nearest = weighed.misses.numbers[:1]
    return weigh(workload, shape, machine, found.take(nearest)), 0


def _impossible(workload: Workload, shape: ModelShape, machine: Machine, wanted: Mapping[str, int]) -> tuple[str]:
    """Why no layout has these degrees."""
    ranks = machine.accelerators(wanted["nodes"])
    shown = ", ".join(f"{name} {_shown(name, value)}" for name, value in wanted.items() if name != "nodes")
    split = int(np.prod([wanted.get(name, 1) for name in ("tp", "pp", "cp")]))
    tp, pp = wanted.get("tp", 1), wanted.get("pp", 1)
    if ranks % split:
        because = f"{split} does not divide the {ranks} ranks"
    elif workload.global_batch % (ranks // split) and {"tp", "pp", "cp"} <= wanted.keys():
        because = f"the {ranks // split} data ranks it leaves do not divide a batch of {workload.global_batch}"
    elif shape.heads % tp or shape.ffn % tp:
        because = f"tp {tp} does not divide {shape.heads} heads and a feed-forward of {shape.ffn}"
    elif pp > shape.layers:
        because = f"the model has {shape.layers} layers"
    else:
        because = "ranks, batch and model do not divide so"
    return (f"no layout on {wanted['nodes']} nodes has {shown}: {because}",)


def _shown(name: str, value: int) -> str:
    return _WORDS[name][value] if name in _WORDS else str(value)
