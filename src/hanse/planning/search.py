"""Weigh a whole space of layouts and choose: what fits memory, wall time and the cap on GPU-hours, then the fastest.

With several node counts possible: under a wall time, the fewest nodes that keep it; without one, the fewest
accelerator-seconds. What fails is told with what the nearest layouts missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.errors import PlanError
from hanse.contracts.machine import Machine
from hanse.contracts.plan import Candidate
from hanse.contracts.units import format_bytes, format_gpu_hours, format_seconds
from hanse.contracts.workload import ModelShape, Workload
from hanse.planning.memory import Footprint, footprint
from hanse.planning.space import Layouts
from hanse.planning.steptime import StepTimes, step_times

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_BLOCK: Final = 32_768
"""Layouts weighed at once: the arrays of a block stay in the processor's cache."""
_SHOWN_FITTING: Final = 5
_SHOWN_MISSED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a plan must keep to; None is no limit. `startup_s` is added to every run's wall time."""

    wall_time_s: float | None = None
    accelerator_seconds: float | None = None
    startup_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """All layouts with their time and memory; arrays have shape (layouts,)."""

    layouts: Layouts
    step_s: Array
    memory_bytes: Array
    memory_limit: float
    wall_s: Array
    accelerator_seconds: Array

    @property
    def fits_memory(self) -> Mask:
        return np.asarray(self.memory_bytes <= self.memory_limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The position chosen in `weighed`, why that many nodes, and the table of what was considered."""

    weighed: Weighed
    position: int
    reason: str
    considered: tuple[Candidate, ...]


def weigh(workload: Workload, shape: ModelShape, machine: Machine, layouts: Layouts, limits: Limits) -> Weighed:
    """Time and memory of every layout, a block at a time."""
    times: list[Array] = []
    memories: list[Array] = []
    limit = 0.0
    for start in range(0, len(layouts), _BLOCK):
        part = layouts.take(np.arange(start, min(start + _BLOCK, len(layouts))))
        prints: Footprint = footprint(workload, shape, machine, part)
        parts: StepTimes = step_times(workload, shape, machine, part)
        times.append(parts.total)
        memories.append(prints.total)
        limit = prints.limit
    step_s = np.concatenate(times) if times else np.empty(0)
    wall_s = step_s * workload.steps + limits.startup_s
    return Weighed(
        layouts=layouts,
        step_s=step_s,
        memory_bytes=np.concatenate(memories) if memories else np.empty(0),
        memory_limit=limit,
        wall_s=wall_s,
        accelerator_seconds=wall_s * layouts.world,
    )


def choose(workload: Workload, machine: Machine, weighed: Weighed, limits: Limits) -> Choice:
    """Raises PlanError, with a history of the nearest misses, if no layout keeps to the limits."""
    fits = weighed.fits_memory
    in_time = weighed.wall_s <= (limits.wall_time_s if limits.wall_time_s is not None else np.inf)
    in_cost = weighed.accelerator_seconds <= (
        limits.accelerator_seconds if limits.accelerator_seconds is not None else np.inf
    )
    allowed = fits & in_time & in_cost
    if not allowed.any():
        raise _refusal(workload, machine, weighed, limits, fits, in_time, in_cost)
    layouts = weighed.layouts
    options = np.unique(layouts.nodes[allowed])
    if limits.wall_time_s is not None:
        nodes = int(options[0])
    else:
        cheapest = {int(each): weighed.accelerator_seconds[allowed & (layouts.nodes == each)].min() for each in options}
        nodes = min(cheapest, key=lambda each: (cheapest[each], each))
    candidates = np.flatnonzero(allowed & (layouts.nodes == nodes))
    # Of equally fast layouts the plainest: no recompute, no accumulation, less sharding, less memory.
    order = np.lexsort(
        (
            weighed.memory_bytes[candidates],
            layouts.fsdp[candidates],
            layouts.accumulate[candidates],
            layouts.recompute[candidates],
            np.round(np.log(weighed.step_s[candidates]), 4),
        )
    )
    ranked = candidates[order]
    reason = _reason(weighed, limits, nodes, np.unique(layouts.nodes), allowed)
    return Choice(
        weighed=weighed,
        position=int(ranked[0]),
        reason=reason,
        considered=_considered(workload, weighed, ranked, fits & ~allowed, ~fits, limits),
    )


def _reason(weighed: Weighed, limits: Limits, nodes: int, considered: NDArray[np.int64], allowed: Mask) -> str:
    if len(considered) == 1:
        return ""
    plural = "s" if nodes > 1 else ""
    if limits.wall_time_s is not None:
        fewer = considered[considered < nodes]
        limit = format_seconds(limits.wall_time_s)
        if not len(fewer):
            return f"{nodes} node{plural}: the fewest there are, and they finish within {limit}."
        tried = weighed.layouts.nodes == fewer[-1]
        if not (tried & weighed.fits_memory).any():
            return f"{nodes} node{plural}: on fewer the model does not fit into memory."
        best = format_seconds(float(weighed.wall_s[tried & weighed.fits_memory].min()))
        return f"{nodes} node{plural}: the fewest that finish within {limit}; {fewer[-1]} would need {best}."
    others = allowed & (weighed.layouts.nodes != nodes)
    if not others.any():
        return f"{nodes} node{plural}: the only number that keeps to the limits."
    fastest = np.flatnonzero(others)[np.argmin(weighed.wall_s[others])]
    wall = format_seconds(float(weighed.wall_s[fastest]))
    cost = format_gpu_hours(float(weighed.accelerator_seconds[fastest]))
    return (
        f"{nodes} node{plural}: the cheapest, since no wall time is asked for; "
        f"{weighed.layouts.nodes[fastest]} would take {wall} and {cost}."
    )


def _considered(
    workload: Workload, weighed: Weighed, ranked: NDArray[np.int64], missed: Mask, too_large: Mask, limits: Limits
) -> tuple[Candidate, ...]:
    rows = [_candidate(workload, weighed, int(each), "") for each in ranked[:_SHOWN_FITTING]]
    beyond = np.flatnonzero(missed)
    beyond = beyond[np.argsort(weighed.step_s[beyond])][:_SHOWN_MISSED]
    rows += [_candidate(workload, weighed, int(each), _missed_limit(weighed, int(each), limits)) for each in beyond]
    large = np.flatnonzero(too_large)
    large = large[np.argsort(weighed.memory_bytes[large])][:_SHOWN_MISSED]
    rows += [_candidate(workload, weighed, int(each), _missed_memory(weighed, int(each))) for each in large]
    return tuple(rows)


def _candidate(workload: Workload, weighed: Weighed, position: int, note: str) -> Candidate:
    step_s = float(weighed.step_s[position])
    return Candidate(
        layout=weighed.layouts.at(position),
        step_time_s=step_s,
        tokens_per_s=workload.tokens_per_step / step_s,
        memory_bytes=round(float(weighed.memory_bytes[position])),
        fits=bool(weighed.fits_memory[position]),
        note=note,
    )


def _missed_memory(weighed: Weighed, position: int) -> str:
    needed, limit = float(weighed.memory_bytes[position]), weighed.memory_limit
    return f"needs {format_bytes(needed)} a rank of {format_bytes(limit)} usable"


def _missed_limit(weighed: Weighed, position: int, limits: Limits) -> str:
    wall_s, used = float(weighed.wall_s[position]), float(weighed.accelerator_seconds[position])
    if limits.wall_time_s is not None and wall_s > limits.wall_time_s:
        return f"takes {format_seconds(wall_s)} of {format_seconds(limits.wall_time_s)}"
    if limits.accelerator_seconds is not None and used > limits.accelerator_seconds:
        return f"costs {format_gpu_hours(used)} of {format_gpu_hours(limits.accelerator_seconds)}"
    return ""


def _refusal(
    workload: Workload, machine: Machine, weighed: Weighed, limits: Limits, fits: Mask, in_time: Mask, in_cost: Mask
) -> PlanError:
    """Which limit stood in the way, and the layouts that came nearest to it."""
    if not fits.any():
        nearest = np.argsort(weighed.memory_bytes)[:_SHOWN_MISSED]
        what = "no layout fits into memory"
        fix = "Use more nodes, a machine with more memory, a smaller model or a shorter context."
        notes = [_missed_memory(weighed, int(each)) for each in nearest]
    elif not (fits & in_time).any():
        fitting = np.flatnonzero(fits)
        nearest = fitting[np.argsort(weighed.wall_s[fitting])][:_SHOWN_MISSED]
        what = "no layout finishes in the wall time"
        fix = "Allow more time or more nodes, or train on fewer tokens."
        notes = [_missed_limit(weighed, int(each), limits) for each in nearest]
    else:
        within = np.flatnonzero(fits & in_time if (fits & in_time & ~in_cost).any() else fits)
        nearest = within[np.argsort(weighed.accelerator_seconds[within])][:_SHOWN_MISSED]
        what = "no layout that is fast enough keeps to the cap on GPU-hours"
        fix = "Raise where.max_gpu_hours, allow more time on fewer nodes, or train on fewer tokens."
        notes = [_missed_limit(weighed, int(each), limits) for each in nearest]
    history = tuple(
        f"{weighed.layouts.at(int(each)).describe()}: {note}" for each, note in zip(nearest, notes, strict=True)
    )
    return PlanError(what, where=f"{workload.name} on {machine.id}", fix=fix, history=history)
