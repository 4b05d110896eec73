"""What would change a plan: each change made alone and the best layout found again.

All changes train on as many tokens in all. A change with which nothing fits is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from hanse.contracts.errors import HanseError
from hanse.contracts.layout import Layout
from hanse.contracts.machine import Machine
from hanse.contracts.plan import Lever
from hanse.contracts.scaling import Option
from hanse.contracts.workload import ModelShape, Workload
from hanse.planning import across, bounds, space
from hanse.planning.choose import Limits, best_of_each_count, within
from hanse.planning.weigh import seek
from hanse.workloads import shapes

_RECOMPUTE: Final = {
    "none": "keeping all activations",
    "selective": "with selective recompute",
    "full": "with full recompute",
}
_DEGREES: Final = {
    "tp": "split over {} ranks (tp)",
    "pp": "with {} pipeline stages (pp)",
    "cp": "with the sequence in {} parts (cp)",
}


def levers(
    workload: Workload,
    shape: ModelShape,
    machine: Machine,
    layout: Layout,
    *,
    others: Iterable[Machine] = (),
    executable_only: bool = True,
) -> tuple[Lever, ...]:
    """Every change with which a layout still fits; `others` are machines to try instead."""

    def tried(
        change: str, wanted: Mapping[str, int], *, of: Workload = workload, nodes: int = layout.nodes
    ) -> Iterator[Lever]:
        options = _options(of, of.shape or shape, machine, [nodes], wanted, executable_only=executable_only)
        yield from (_lever(change, option) for option in options)

    found: list[Lever] = []
    for change, workload_then in _workloads(workload, shape, machine):
        found += tried(change, {}, of=workload_then)
    for nodes in (layout.nodes * 2, layout.nodes // 2):
        if 1 <= nodes <= bounds.widest(machine):
            found += tried(f"on {nodes} node{'s' if nodes > 1 else ''}", {}, nodes=nodes)
    for number, name in enumerate(space.RECOMPUTE):
        if name != layout.recompute:
            found += tried(_RECOMPUTE[name], {"recompute": number})
    for change, wanted in _degrees(layout) if not executable_only else ():
        found += tried(change, wanted)
    for other in others:
        if other.id != machine.id and (lever := _elsewhere(workload, shape, other, layout, executable_only)):
            found.append(lever)
    return tuple(found)


def _workloads(workload: Workload, shape: ModelShape, machine: Machine) -> Iterator[tuple[str, Workload]]:
    """Other batch, context and precision, on as many tokens in all."""
    batch, context = workload.global_batch, workload.context
    yield "with twice the batch", workload.model_copy(update={"global_batch": batch * 2})
    if batch % 2 == 0:
        yield "with half the batch", workload.model_copy(update={"global_batch": batch // 2})
    if workload.shape is not None and context % 2 == 0:
        shorter = shape.model_copy(update={"context": context // 2})
        changes = {"shape": shorter, "context": context // 2, "global_batch": batch * 2}
        flops = shapes.flops_per_token(shorter)
        yield "with half the context", workload.model_copy(update={**changes, "flops_per_token": flops})
    for precision in ("bf16", "fp8"):
        if precision in machine.accelerator.peak_flops and workload.precision != precision:
            yield f"in {precision}", workload.model_copy(update={"precision": precision})


def _degrees(layout: Layout) -> Iterator[tuple[str, Mapping[str, int]]]:
    for name, words in _DEGREES.items():
        now = getattr(layout, name)
        for degree in (now * 2, now // 2):
            if degree >= 1:
                yield words.format(degree) if degree > 1 else f"without {name}", {name: degree}


def _elsewhere(
    workload: Workload, shape: ModelShape, machine: Machine, layout: Layout, executable_only: bool
) -> Lever | None:
    """On the number of another machine's nodes whose ranks come nearest to the plan's."""
    per_node, ranks = machine.accelerators_per_node, layout.world_size
    counts = space.node_counts(bounds.widest(machine), workload.global_batch, per_node)
    near = [each for each in counts if ranks <= 2 * each * per_node and each * per_node <= 2 * ranks] or counts[-1:]
    for count in sorted(near, key=lambda each: (abs(each * per_node - ranks), each)):
        for option in _options(workload, shape, machine, [count], {}, executable_only=executable_only):
            return _lever(f"on {count} node{'s' if count > 1 else ''} of {machine.id}", option)
    return None


def _lever(change: str, option: Option) -> Lever:
    return Lever(
        change=change,
        step_time_s=option.step_time_s.expected,
        wall_time_s=option.wall_time_s.expected,
        accelerator_seconds=option.accelerator_seconds,
        layout=option.layout,
    )


def _options(
    workload: Workload,
    shape: ModelShape,
    machine: Machine,
    nodes: Sequence[int],
    wanted: Mapping[str, int],
    *,
    executable_only: bool,
) -> list[Option]:
    try:
        bounds.check_machine(workload, machine, nodes=min(nodes, default=None))
    except HanseError:
        return []
    rules = bounds.rules(workload, machine, executable_only=executable_only, wanted=wanted)
    found = space.whole(nodes, shape, rules)
    if not len(found):
        return []
    weighed = seek(workload, shape, machine, found)
    allowed = within(weighed, Limits())
    positions = best_of_each_count(weighed, allowed) if np.any(allowed) else []
    return [across.option(workload, shape, machine, weighed, each) for each in positions]
