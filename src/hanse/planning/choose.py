"""Choose among weighed layouts: those within the limits, then the number of nodes the objective asks for, then the
fastest on it; of layouts as fast as one another the plainest.

On one number of nodes the fastest layout is also the cheapest and takes the least energy; objectives differ in nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.plan import Candidate
from hanse.contracts.units import format_bytes, format_gpu_hours, format_seconds
from hanse.contracts.workload import Workload
from hanse.planning.space import Integers, Layouts
from hanse.planning.weigh import Array, Mask, Weighed

Objective = Literal["time", "cost", "energy"]

AS_FAST: Final = 1e-4
"""Relative difference in time that decides nothing."""
_SHOWN_FITTING: Final = 5
_SHOWN_MISSED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a plan must keep to; None is no limit."""

    wall_time_s: float | None = None
    finish_by_s: float | None = None
    """Seconds from now; unlike a wall time it does not ask for few nodes."""
    accelerator_seconds: float | None = None

    @property
    def time_s(self) -> float | None:
        """The tighter of the two limits of time."""
        given = [each for each in (self.wall_time_s, self.finish_by_s) if each is not None]
        return min(given) if given else None

    def in_time(self, wall_s: Array) -> Mask:
        return np.asarray(wall_s <= (np.inf if self.time_s is None else self.time_s))

    def in_cost(self, accelerator_seconds: Array) -> Mask:
        return np.asarray(
            accelerator_seconds <= (np.inf if self.accelerator_seconds is None else self.accelerator_seconds)
        )

    def missed(self, wall_s: float, accelerator_seconds: float) -> str:
        """Which limit is broken and by how much, as a note; empty if none is."""
        if self.time_s is not None and wall_s > self.time_s:
            return f"takes {format_seconds(wall_s)} of {format_seconds(self.time_s)}"
        if self.accelerator_seconds is not None and accelerator_seconds > self.accelerator_seconds:
            return f"costs {format_gpu_hours(accelerator_seconds)} of {format_gpu_hours(self.accelerator_seconds)}"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The position chosen in `weighed`, why that many nodes, and the table of what was considered."""

    weighed: Weighed
    position: int
    reason: str
    considered: tuple[Candidate, ...]

    @property
    def layouts(self) -> Layouts:
        """The chosen one, as arrays of length 1."""
        return self.weighed.source.take(self.weighed.numbers[[self.position]])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """Of each number of nodes with a layout in the limits: the best wall time and accelerator-seconds on it."""

    nodes: Integers
    wall_s: Array
    accelerator_seconds: Array


def within(weighed: Weighed, limits: Limits) -> Mask:
    found = weighed.fits_memory & np.isfinite(weighed.step_s) & limits.in_time(weighed.wall_s)
    return found & limits.in_cost(weighed.accelerator_seconds)


def choose(workload: Workload, weighed: Weighed, limits: Limits, objective: Objective | None = None) -> Choice | None:
    """None if nothing keeps to the limits. Without an objective: under a wall time the fewest nodes, else the cost."""
    allowed = within(weighed, limits)
    if not allowed.any():
        return None
    counts = _counts(weighed, allowed)
    if objective is None:
        objective = "cost"
        fewest = limits.wall_time_s is not None
    else:
        fewest = False
    decides = counts.wall_s if objective == "time" else counts.accelerator_seconds
    nodes = int(counts.nodes[0] if fewest else counts.nodes[_first_of_least(decides)])
    ranked = fastest(weighed, np.flatnonzero(allowed & (weighed.nodes == nodes)))
    return Choice(
        weighed=weighed,
        position=int(ranked[0]),
        reason=_why_nodes(weighed, limits, "fewest" if fewest else objective, nodes, counts),
        considered=_considered(workload, weighed, ranked, nodes, allowed, limits),
    )


def best_of_each_count(weighed: Weighed, allowed: Mask) -> list[int]:
    """Positions of the best layout on each number of nodes, in their order."""
    positions = np.flatnonzero(allowed)
    nodes = weighed.nodes[positions]
    least = np.full(int(nodes.max(initial=0)) + 1, np.inf)
    np.minimum.at(least, nodes, weighed.step_s[positions])
    near = positions[weighed.step_s[positions] <= least[nodes] * (1 + AS_FAST)]
    plainest = near[_plainest_first(weighed, near, least[weighed.nodes[near]])]
    _, first = np.unique(weighed.nodes[plainest], return_index=True)
    return [int(each) for each in plainest[first]]


def fastest(weighed: Weighed, positions: Integers) -> Integers:
    """The best of each family, fastest first; of those as fast as the first the plainest."""
    step_s = weighed.step_s[positions]
    for most in (1024, 16_384, len(positions)):
        leading = positions if most >= len(positions) else positions[np.argpartition(step_s, most)[:most]]
        leading = leading[_plainest_first(weighed, leading, step_s.min())]
        _, first = np.unique(weighed.families(weighed.numbers[leading]), return_index=True)
        leading = leading[np.sort(first)]
        if len(leading) >= _SHOWN_FITTING or most >= len(positions):
            break
    return leading


def _plainest_first(weighed: Weighed, positions: Integers, least_s: Array) -> Integers:
    """Order by time in steps of AS_FAST from the least, then by plainness: less of everything, less memory."""
    layouts = weighed.source.take(weighed.numbers[positions])
    slower = np.floor(np.log(weighed.step_s[positions] / least_s) / AS_FAST)
    return np.lexsort(
        (
            weighed.numbers[positions], weighed.memory_bytes[positions], layouts.zero, layouts.fsdp, layouts.accumulate,
            layouts.recompute, layouts.chunks, layouts.pipeline, layouts.tp, layouts.pp, layouts.ep, layouts.cp,
            layouts.offload, slower,
        )
    )  # fmt: skip


def _first_of_least(values: Array) -> int:
    """The first that is as low as the lowest: the fewest nodes, as they ascend."""
    return int(np.flatnonzero(values <= values.min() * (1 + AS_FAST))[0])


def _counts(weighed: Weighed, allowed: Mask) -> _Counts:
    nodes = weighed.nodes[allowed]
    least = np.full(int(nodes.max()) + 1, np.inf)
    np.minimum.at(least, nodes, weighed.wall_s[allowed])
    found = np.flatnonzero(np.isfinite(least))
    return _Counts(
        nodes=found, wall_s=least[found], accelerator_seconds=least[found] * (found * weighed.ranks_per_node)
    )


def _why_nodes(weighed: Weighed, limits: Limits, rule: str, nodes: int, counts: _Counts) -> str:
    """Why that many nodes, with what another number would have given; empty if there was no choice."""
    # Asked for indices too, numpy need not import its masked arrays, which takes as long as a small plan.
    tried, _ = np.unique(np.concatenate([weighed.nodes, weighed.misses.nodes]), return_index=True)
    if len(tried) == 1:
        return ""
    several = f"{nodes} node{'s' if nodes > 1 else ''}"
    if rule == "fewest":
        return _why_fewest(weighed, limits, several, nodes, tried)
    others = counts.nodes != nodes
    if not others.any():
        kept = "on which the model fits" if limits == Limits() else "that keeps to the limits"
        return f"{several}: the only number {kept}."
    wall_s, used = counts.wall_s[others], counts.accelerator_seconds[others]
    other = int(np.argmin(used) if rule == "time" else np.argmin(wall_s))
    costs = (
        f"{counts.nodes[others][other]} would take {format_seconds(wall_s[other])} and {format_gpu_hours(used[other])}"
    )
    if rule == "time":
        return f"{several}: the soonest to finish; {costs}."
    if rule == "energy":
        return f"{several}: the least energy; {costs}."
    if limits.time_s is not None:
        return f"{several}: the cheapest that finish within {format_seconds(limits.time_s)}; {costs}."
    return f"{several}: the cheapest, since no wall time is asked for; {costs}."


def _why_fewest(weighed: Weighed, limits: Limits, several: str, nodes: int, tried: NDArray[np.int64]) -> str:
    fewer = tried[tried < nodes]
    limit = format_seconds(limits.time_s or 0.0)
    if not len(fewer):
        return f"{several}: the fewest there are, and they finish within {limit}."
    fitting = weighed.fits_memory & (weighed.nodes == fewer[-1])
    if not fitting.any():
        return f"{several}: on fewer the model does not fit into memory."
    best = format_seconds(float(weighed.wall_s[fitting].min()))
    return f"{several}: the fewest that finish within {limit}; {fewer[-1]} would need {best}."


def _considered(
    workload: Workload, weighed: Weighed, ranked: Integers, nodes: int, allowed: Mask, limits: Limits
) -> tuple[Candidate, ...]:
    rows = [candidate(workload, weighed, int(each), "") for each in ranked[:_SHOWN_FITTING]]
    beyond = np.flatnonzero(weighed.fits_memory & ~allowed)
    if len(beyond) > _SHOWN_MISSED:
        beyond = beyond[np.argpartition(weighed.step_s[beyond], _SHOWN_MISSED)[:_SHOWN_MISSED]]
    beyond = beyond[np.lexsort((weighed.numbers[beyond], weighed.step_s[beyond]))]
    for each in beyond:
        wall_s, used = float(weighed.wall_s[each]), float(weighed.accelerator_seconds[each])
        rows.append(candidate(workload, weighed, int(each), limits.missed(wall_s, used)))
    large = np.flatnonzero(~weighed.fits_memory & (weighed.nodes == nodes))
    large = large[np.lexsort((weighed.numbers[large], weighed.memory_bytes[large]))][:_SHOWN_MISSED]
    rows += [candidate(workload, weighed, int(each), missed_memory(weighed, int(each))) for each in large]
    return tuple(rows)


def candidate(workload: Workload, weighed: Weighed, position: int, note: str) -> Candidate:
    step_s = float(weighed.step_s[position])
    return Candidate(
        layout=weighed.source.take(weighed.numbers[[position]]).at(0),
        step_time_s=step_s,
        tokens_per_s=workload.tokens_per_step / step_s,
        memory_bytes=round(float(weighed.memory_bytes[position])),
        fits=bool(weighed.fits_memory[position]),
        note=note,
    )


def missed_memory(weighed: Weighed, position: int) -> str:
    needed = float(weighed.memory_bytes[position])
    if needed <= weighed.memory_limit:
        return "the optimiser's state does not fit into the node's main memory"
    return f"needs {format_bytes(needed)} a rank of {format_bytes(weighed.memory_limit)} usable"
