"""When no layout will do: what is short by how much, and the smallest change with which one would."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from hanse.contracts.errors import PlanError
from hanse.contracts.layout import Layout
from hanse.contracts.machine import Machine
from hanse.contracts.units import SECONDS_PER_HOUR, format_bytes, format_percent, format_seconds
from hanse.contracts.workload import ModelShape, Workload
from hanse.planning import space
from hanse.planning.choose import Limits, missed_memory
from hanse.planning.space import Rules, Space
from hanse.planning.weigh import Weighed, least_memory, weigh
from hanse.workloads import shapes

_SHOWN: Final = 3
_SOME: Final = 0.01
_LEAST_CONTEXT: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was searched, so that its neighbourhood can be."""

    workload: Workload
    shape: ModelShape
    machine: Machine
    rules: Rules
    nodes: tuple[int, ...]
    most_nodes: int
    partition: str | None = None
    """The one asked for by name."""
    stages: tuple[int, ...] = ()
    """Of the one layout that is weighed, where it has its own."""

    @property
    def where(self) -> str:
        return f"{self.workload.name} on {self.machine.id}"

    def space(self, nodes: tuple[int, ...], rules: Rules) -> Space:
        return space.whole(nodes, self.shape, rules)


def refusal(asked: Asked, weighed: Weighed, limits: Limits) -> PlanError:
    """Which limit stood in the way, the layouts that came nearest, and what would do."""
    fits = weighed.fits_memory & np.isfinite(weighed.step_s)
    if not fits.any():
        return _no_link(asked) if weighed.fits_memory.any() else _no_memory(asked, weighed)
    in_time = limits.in_time(weighed.wall_s)
    if not (fits & in_time).any():
        what, fix, values = "no layout finishes in the wall time", _more_time(asked, weighed, limits), weighed.wall_s
        among = fits
        if limits.finish_by_s is not None and limits.finish_by_s == limits.time_s:
            what = "no layout finishes by the date"
    else:
        what = "no layout that is fast enough keeps to the cap on GPU-hours"
        among, values = fits & in_time, weighed.accelerator_seconds
        least = float(values[among].min())
        fix = (
            f"Raise where.max_gpu_hours to {_rounded_up(least / SECONDS_PER_HOUR)}, allow more time on fewer nodes, "
            "or train on fewer tokens."
        )
    positions = np.flatnonzero(among)
    positions = positions[np.lexsort((weighed.numbers[positions], values[positions]))][:_SHOWN]
    notes = tuple(
        f"{weighed.source.take(weighed.numbers[[each]]).at(0).describe()}: "
        + limits.missed(float(weighed.wall_s[each]), float(weighed.accelerator_seconds[each]))
        for each in positions
    )
    return PlanError(what, where=asked.where, fix=fix, history=notes)


def _more_time(asked: Asked, weighed: Weighed, limits: Limits) -> str:
    usable = np.flatnonzero(weighed.fits_memory & np.isfinite(weighed.step_s))
    quickest = usable[np.argmin(weighed.wall_s[usable])]
    needed, nodes = float(weighed.wall_s[quickest]), int(weighed.nodes[quickest])
    share = (limits.time_s or 0.0) / needed
    fewer = f" (about {format_percent(share)} of them)" if share > _SOME else ""
    return (
        f"Allow {format_seconds(needed)} on {nodes} node{'s' if nodes > 1 else ''}, the quickest there is, "
        f"{'or more nodes, ' if max(asked.nodes) < asked.most_nodes else ''}or train on fewer tokens{fewer}."
    )


def _rounded_up(hours: float) -> str:
    return f"{math.ceil(hours):,}" if hours > 10 else f"{math.ceil(hours * 100) / 100:g}"


def _no_link(asked: Asked) -> PlanError:
    """Layouts fit, and none has a step time: no link is known that its ranks could speak over."""
    facts = (("between_nodes", asked.machine.between_nodes), ("in_node", asked.machine.in_node))
    missing = " and ".join(name for name, link in facts if link is None) or "a link"
    alone = (
        "" if (asked.machine.nodes or 0) * asked.machine.accelerators_per_node == 1 else ", or train on one accelerator"
    )
    return PlanError(
        f"no step can be predicted for several ranks: the machine's description lacks {missing}",
        where=asked.where,
        fix=f"State {missing} there, or measure it: hanse machines calibrate{alone}.",
    )


def _no_memory(asked: Asked, weighed: Weighed) -> PlanError:
    numbers = weighed.misses.numbers
    if not len(numbers):
        numbers = weighed.numbers[np.argsort(weighed.memory_bytes, kind="stable")]
    _, first = np.unique(weighed.families(numbers), return_index=True)
    numbers = numbers[np.sort(first)][:_SHOWN]
    nearest = weigh(asked.workload, asked.shape, asked.machine, weighed.source.take(numbers), stages=asked.stages)
    short = float(nearest.memory_bytes.min(initial=np.inf)) - nearest.memory_limit
    if short <= 0:
        return PlanError(
            "no layout fits: main memory does not hold the optimiser's state", where=asked.where, fix=_what_fits(asked)
        )
    return PlanError(
        f"no layout fits into memory: the nearest is short by {format_bytes(short)} a rank",
        where=asked.where,
        fix=_what_fits(asked),
        history=tuple(
            f"{nearest.source.take(np.array([each])).at(0).describe()}: {missed_memory(nearest, each)}"
            for each in range(len(numbers))
        ),
    )


def _what_fits(asked: Asked) -> str:
    """The smallest changes with which a layout fits, one of each kind."""
    found = []
    more = tuple(each for each in _counts(asked) if each > max(asked.nodes))
    if (layout := _fitting(asked, more, asked.rules)) is not None:
        found.append(f"on {layout.nodes} nodes ({layout.describe()})")
    if asked.rules.executable_only:
        freer = replace(asked.rules, executable_only=False)
        if (layout := _fitting(asked, asked.nodes, freer)) is not None:
            found.append(f"split in ways Hanse's trainer does not know yet ({layout.describe()})")
        elif not found and (layout := _fitting(asked, more, freer)) is not None:
            found.append(f"split in ways Hanse's trainer does not know yet, on {layout.nodes} nodes")
    if (context := _shorter(asked)) is not None:
        found.append(f"with a context of {context:,} tokens")
    if found:
        return f"It would fit {'; or '.join(found)}."
    smallest = asked.workload.parameters
    return (
        f"Nothing near it fits either: {smallest:,} parameters need a machine with more nodes or memory, "
        "or a smaller model."
    )


def _counts(asked: Asked) -> list[int]:
    return space.node_counts(asked.most_nodes, asked.rules.global_batch, asked.rules.ranks_per_node)


def _fitting(asked: Asked, nodes: tuple[int, ...], rules: Rules) -> Layout | None:
    """The least in memory on the fewest of these nodes on which one fits."""
    found = asked.space(nodes, rules)
    memory_bytes, limit, numbers = least_memory(asked.workload, asked.shape, asked.machine, found)
    fits = np.flatnonzero(memory_bytes <= limit)
    if not len(fits):
        return None
    layouts = found.take(numbers[fits])
    best = np.lexsort((numbers[fits], memory_bytes[fits], layouts.nodes))[0]
    return layouts.at(int(best))


def _shorter(asked: Asked) -> int | None:
    """The longest context of half, a quarter … with which a layout fits on the same nodes."""
    context = asked.workload.context // 2
    while context >= _LEAST_CONTEXT and asked.workload.shape is not None:
        shape = asked.shape.model_copy(update={"context": context})
        flops = shapes.flops_per_token(shape)
        workload = asked.workload.model_copy(update={"shape": shape, "context": context, "flops_per_token": flops})
        rules = replace(asked.rules, context=context)
        if _fitting(replace(asked, workload=workload, shape=shape, rules=rules), asked.nodes, rules) is not None:
            return context
        context //= 2
    return None
