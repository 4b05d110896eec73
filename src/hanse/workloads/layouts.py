"""Which layouts Hanse's trainer can carry out: a table of reasons without torch, and the nearest layout that works.

The planner asks it before it proposes, `hanse launch` before it submits, and the trainer once more before it builds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from hanse.contracts.layout import Layout
from hanse.contracts.workload import ModelShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One thing the trainer cannot do. `change` names fields of the layout with which it can."""

    reason: str
    change: dict[str, Any]


def refusal(
    layout: Layout,
    shape: ModelShape | None = None,
    *,
    own_module: bool = False,
    tuned: bool = False,
    compiled: bool = False,
) -> str | None:
    """Why the trainer cannot execute `layout`, as one or two sentences; None if it can.

    `shape` None asks for what holds for every model; `own_module` is one of the user's, `tuned` one that begins from
    weights, `compiled` one by torch.compile.
    """
    found = next(_limits(layout, shape, own_module=own_module, tuned=tuned, compiled=compiled), None)
    if found is None:
        return None
    near = nearest(layout, shape, own_module=own_module, tuned=tuned, compiled=compiled)
    return f"{found.reason} Nearest that works: {near.describe()}." if near is not None else found.reason


def nearest(
    layout: Layout,
    shape: ModelShape | None = None,
    *,
    own_module: bool = False,
    tuned: bool = False,
    compiled: bool = False,
) -> Layout | None:
    """`layout` with as little changed as makes it executable on as many ranks with the same batch; None: nothing does.

    Ranks that a degree gives up go to fsdp, where the batch divides over them.
    """
    for _ in range(_MOST_CHANGES):
        found = next(_limits(layout, shape, own_module=own_module, tuned=tuned, compiled=compiled), None)
        if found is None:
            return layout
        changed = _with_ranks(layout, found.change)
        if changed is None or changed == layout:
            return None
        layout = changed
    return None


def even_stages(layers: int, stages: int) -> tuple[int, ...]:
    """Layers of each stage, as even as can be; the first and the last stage, which hold more besides, get less."""
    each, over = divmod(layers, stages)
    order = [*range(stages - 2, 0, -1), 0, stages - 1] if stages > 1 else [0]
    favoured = set(order[:over])
    return tuple(each + (stage in favoured) for stage in range(stages))


_MOST_CHANGES: Final = 12


def _limits(
    layout: Layout, shape: ModelShape | None, *, own_module: bool, tuned: bool, compiled: bool
) -> Iterator[Limit]:
    for rule in _RULES:
        yield from rule(layout)
    if tuned:
        yield from _by_data_alone(layout, "fine-tuning runs")
    if compiled:
        yield from _by_data_alone(layout, "compiled blocks run")
    if own_module:
        yield from _of_own_module(layout)
    elif shape is not None:
        for of_shape in _SHAPE_RULES:
            yield from of_shape(layout, shape)


def _state(layout: Layout) -> Iterator[Limit]:
    if layout.fsdp > 1 and layout.zero < 3:
        yield Limit(
            reason="Hanse's trainer divides parameters, gradients and optimiser state together, "
            f"not as zero {layout.zero}.",
            change={"zero": 3},
        )
    if layout.offload:
        yield Limit(reason="Hanse's trainer keeps the optimiser's state on the accelerator.", change={"offload": False})


def _pipeline(layout: Layout) -> Iterator[Limit]:
    if layout.pp == 1:
        if layout.chunks > 1:
            yield Limit(reason="chunks are a pipeline's, and pp is 1.", change=_PLAIN_PIPELINE)
        return
    if layout.pipeline == "zero-bubble" and layout.chunks != 2:
        yield Limit(reason="zero-bubble is ZB-V, which has two chunks a rank.", change={"chunks": 2})
    if layout.pipeline == "interleaved" and layout.chunks == 1:
        yield Limit(reason="interleaved with one chunk a rank is 1f1b.", change=_PLAIN_PIPELINE)
    if layout.accumulate < layout.pp:
        micro_batches = layout.micro_batch * layout.accumulate
        enough = next((n for n in range(layout.pp, micro_batches + 1) if micro_batches % n == 0), None)
        reason = (
            f"A pipeline of {layout.pp} ranks needs as many micro-batches a step; accumulate is {layout.accumulate}."
        )
        if enough is not None:
            yield Limit(reason=reason, change={"accumulate": enough, "micro_batch": micro_batches // enough})
        yield Limit(reason=reason, change={"pp": _smaller(layout.pp, layout.accumulate), "stages": ()})
    if layout.pipeline == "interleaved" and layout.accumulate % layout.pp:
        yield Limit(
            reason=f"Interleaving sends micro-batches in groups of pp {layout.pp}; accumulate {layout.accumulate} "
            "is no multiple of it.",
            change=_PLAIN_PIPELINE,
        )
    if layout.pipeline == "zero-bubble" and layout.recompute != "none":
        yield Limit(
            reason="zero-bubble splits the backward pass in two, which recomputing would join again.",
            change=_PLAIN_PIPELINE,
        )


def _experts(layout: Layout) -> Iterator[Limit]:
    ranks = layout.dp * layout.fsdp * layout.cp
    if ranks % layout.ep:
        yield Limit(
            reason=f"ep {layout.ep} does not divide the {ranks} ranks of dp × fsdp × cp.",
            change={"ep": _divisor(ranks, layout.ep)},
        )


def _heads(layout: Layout, shape: ModelShape) -> Iterator[Limit]:
    widths = [shape.heads, shape.kv_heads, shape.ffn if shape.experts is None else shape.experts.ffn]
    if any(width % layout.tp for width in widths):
        best = max(each for each in range(1, layout.tp + 1) if not any(width % each for width in widths))
        yield Limit(
            reason=f"tp {layout.tp} does not divide {shape.heads} heads, {shape.kv_heads} of keys and values, and a "
            f"feed-forward of {widths[2]}; Hanse's trainer holds no head twice.",
            change={"tp": _divisor(layout.tp, best)},
        )
    if layout.tp > 1 and shape.vocab % layout.tp:
        yield Limit(
            reason=f"tp {layout.tp} does not divide a vocabulary of {shape.vocab}.",
            change={"tp": max(n for n in range(1, layout.tp) if layout.tp % n == 0 and shape.vocab % n == 0)},
        )


def _sequence(layout: Layout, shape: ModelShape) -> Iterator[Limit]:
    pieces = 2 * layout.cp
    if layout.cp > 1 and shape.context % pieces:
        yield Limit(
            reason=f"cp {layout.cp} cuts a context in {pieces} pieces, and {shape.context} does not divide so.",
            change={"cp": max(n for n in range(1, layout.cp) if layout.cp % n == 0 and shape.context % (2 * n) == 0)},
        )
    if layout.tp > 1 and layout.sequence_parallel and shape.context // layout.cp % layout.tp:
        yield Limit(
            reason=f"Sequence parallelism splits {shape.context // layout.cp} tokens over tp {layout.tp}, "
            "which does not divide them.",
            change={"sequence_parallel": False},
        )


def _layers(layout: Layout, shape: ModelShape) -> Iterator[Limit]:
    stages = layout.pp * layout.chunks
    if stages > shape.layers:
        change = _PLAIN_PIPELINE if layout.chunks > 1 else {"pp": _smaller(layout.pp, shape.layers), "stages": ()}
        yield Limit(reason=f"{stages} stages are more than the model's {shape.layers} layers.", change=change)
    if layout.stages and sum(layout.stages) != shape.layers:
        reason = f"Its stages hold {sum(layout.stages)} layers and the model has {shape.layers}."
        yield Limit(reason=reason, change={"stages": ()})
    if shape.tied_head and layout.pipeline == "zero-bubble" and layout.pp > 1 and layout.fsdp > 1:
        yield Limit(
            reason="zero-bubble puts embedding and head on one rank, where a tied weight cannot be sharded twice.",
            change=_PLAIN_PIPELINE,
        )


def _held_experts(layout: Layout, shape: ModelShape) -> Iterator[Limit]:
    copies = layout.dp * layout.fsdp * layout.cp // layout.ep
    if layout.ep > 1 and layout.fsdp > 1 and shape.hidden % copies:
        yield Limit(
            reason=f"Experts' weights of width {shape.hidden} are sharded over {copies} ranks, which do not divide it.",
            change={"ep": 1},
        )
    held = shape.experts.count if shape.experts is not None else 1
    if held % layout.ep:
        yield Limit(
            reason=f"ep {layout.ep} does not divide {held} expert{'s' if held > 1 else ''}.",
            change={"ep": _divisor(held, layout.ep)},
        )


def _of_own_module(layout: Layout) -> Iterator[Limit]:
    for name, why in (
        ("pp", "stages are cut from models that Hanse builds; where a module of yours may be cut it cannot know"),
        ("cp", "attention over several ranks is that of models Hanse builds; a module of yours has its own"),
        ("ep", "experts are spread in models that Hanse builds; a module of yours routes its own"),
    ):
        if getattr(layout, name) > 1:
            change = {name: 1} | (_PLAIN_PIPELINE if name == "pp" else {})
            yield Limit(reason=f"{name} {getattr(layout, name)}: {why}.", change=change)


def _by_data_alone(layout: Layout, what: str) -> Iterator[Limit]:
    for name in ("pp", "tp", "cp", "ep"):
        if getattr(layout, name) > 1:
            change = {name: 1} | (_PLAIN_PIPELINE if name == "pp" else {})
            yield Limit(reason=f"{name} {getattr(layout, name)}: {what} with dp and fsdp only.", change=change)


_PLAIN_PIPELINE: Final[dict[str, Any]] = {"pipeline": "1f1b", "chunks": 1, "stages": ()}
_RULES: Final[tuple[Callable[[Layout], Iterator[Limit]], ...]] = (_state, _pipeline, _experts)
_SHAPE_RULES: Final[tuple[Callable[[Layout, ModelShape], Iterator[Limit]], ...]] = (
    _held_experts, _heads, _sequence, _layers,
)  # fmt: skip


def _with_ranks(layout: Layout, change: dict[str, Any]) -> Layout | None:
    """The layout so changed, ranks that became free added to fsdp; None where the batch does not divide over them."""
    values = layout.model_dump() | change
    if values["pp"] == 1:
        values |= _PLAIN_PIPELINE
    kept = values["dp"] * values["fsdp"] * values["tp"] * values["pp"] * values["cp"]
    free, over = divmod(layout.world_size, kept)
    if over:
        return None
    if free > 1:
        values["fsdp"] *= free
        sequences, left = divmod(layout.global_batch, values["dp"] * values["fsdp"])
        if left or not sequences:
            return None
        micro_batch = max(n for n in range(1, min(sequences, layout.micro_batch) + 1) if sequences % n == 0)
        values |= {"zero": 3, "micro_batch": micro_batch, "accumulate": sequences // micro_batch}
    return Layout.model_validate(values)


def _divisor(number: int, most: int) -> int:
    """The largest divisor of `number` up to `most`."""
    return max(each for each in range(1, most + 1) if number % each == 0)


def _smaller(degree: int, most: int) -> int:
    """The largest divisor of `degree` up to `most`, and below it."""
    return max(each for each in range(1, max(1, min(most, degree - 1)) + 1) if degree % each == 0)
