"""Find the best layout of a workload on a machine: the whole space weighed, the limits kept, a refusal explained."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from hanse.contracts.errors import PlanError
from hanse.planning import refuse
from hanse.planning.bounds import rules
from hanse.planning.choose import Choice, Limits, Objective, candidate, choose, missed_memory
from hanse.planning.compare import Comparison, Weighing, compare
from hanse.planning.refuse import Asked
from hanse.planning.space import Layouts
from hanse.planning.weigh import Weighed, seek, weigh

__all__ = [
    "Choice", "Comparison", "Limits", "Objective", "Weighed", "Weighing", "compare", "find", "given", "rules", "seek",
    "weigh",
]  # fmt: skip

_SHOWN_TOO_LARGE: Final = 3


def find(asked: Asked, limits: Limits, objective: Objective | None = None) -> Choice:
    """The best layout. Raises PlanError, with the nearest misses and what would do, if none keeps to the limits."""
    space = asked.space(asked.nodes, asked.rules)
    if not len(space):
        raise _indivisible(asked)
    weighed = seek(asked.workload, asked.shape, asked.machine, space, partition=asked.partition)
    choice = choose(asked.workload, weighed, limits, objective)
    if choice is None:
        raise refuse.refusal(asked, weighed, limits)
    return _with_misses(asked, choice)


def given(asked: Asked, layouts: Layouts, limits: Limits) -> Choice:
    """The best of these layouts, which may be one. Raises PlanError as `find` does."""
    weighed = weigh(asked.workload, asked.shape, asked.machine, layouts, partition=asked.partition, stages=asked.stages)
    choice = choose(asked.workload, weighed, limits)
    if choice is None:
        raise refuse.refusal(asked, weighed, limits)
    return choice


def _with_misses(asked: Asked, choice: Choice) -> Choice:
    """Also the layouts on as many nodes that need a little more memory than there is."""
    misses = choice.weighed.misses
    nodes = choice.weighed.nodes[choice.position]
    numbers = misses.numbers[misses.nodes == nodes]
    if not len(numbers):
        return choice
    _, first = np.unique(choice.weighed.families(numbers), return_index=True)
    numbers = numbers[np.sort(first)][:_SHOWN_TOO_LARGE]
    near = weigh(asked.workload, asked.shape, asked.machine, choice.weighed.source.take(numbers))
    rows = (candidate(asked.workload, near, each, missed_memory(near, each)) for each in range(len(numbers)))
    return replace(choice, considered=(*choice.considered, *rows))


def _indivisible(asked: Asked) -> PlanError:
    batch, counts = asked.rules.global_batch, asked.nodes
    ranks = asked.machine.accelerators(min(counts)) if counts else asked.machine.accelerators_per_node
    below, above = batch // ranks * ranks, -(-batch // ranks) * ranks
    held = f"{counts[0]} node{'s' if counts[0] != 1 else ''}" if len(counts) == 1 else "a node"
    if asked.rules.wanted or not batch % ranks:
        names = ", ".join(f"{name} {value}" for name, value in asked.rules.wanted.items())
        return PlanError(
            f"no layout with {names or 'these degrees'} divides the {ranks} ranks of {held}, the model and the batch",
            where=asked.where,
        )
    return PlanError(
        f"a batch of {batch} sequences cannot be shared evenly by the {ranks} ranks of {held}",
        where=asked.where,
        fix=f"Set batch: {' or '.join(str(each) for each in (below, above) if each)}.",
    )
