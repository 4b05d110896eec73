"""A plan in plain sentences: which layout and why, what a step spends its time on, what would make it faster."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from hanse.contracts.layout import Layout
from hanse.contracts.plan import Candidate, Interval, Plan, StepPart
from hanse.contracts.scaling import Option
from hanse.contracts.units import (
    NBSP,
    format_bytes,
    format_count,
    format_percent,
    format_seconds,
    gpu_hours,
    significant,
)

NAMES: Final[dict[StepPart, str]] = {
    "matmul": "matrix products",
    "attention": "attention",
    "memory-bound": "moving data through memory",
    "head": "embedding, head and loss",
    "recompute": "computing activations again",
    "launch": "starting small operations",
    "tensor-parallel": "splitting matrices (tp)",
    "context-parallel": "splitting the sequence (cp)",
    "expert-parallel": "sending tokens to experts (ep)",
    "pipeline": "sending between stages (pp)",
    "sharding": "gathering sharded parameters",
    "data-parallel": "adding up gradients",
    "communication": "waiting for communication",
    "bubble": "waiting in the pipeline",
    "imbalance": "waiting for the slowest stage",
    "optimiser": "the optimiser",
}
"""Every part of a step as a noun, all communication being what is not hidden behind computation."""
_FASTER: Final[dict[StepPart, str]] = {
    "matmul": "That is the work itself: only more or faster accelerators, or a lower precision, would shorten it.",
    "attention": "A shorter context would shorten it; layouts hardly differ in it.",
    "memory-bound": "A smaller vocabulary, or fused kernels, would shorten it; more ranks share it.",
    "head": "A smaller vocabulary would shorten it; more ranks share it.",
    "recompute": "More memory a rank, by more nodes or more sharding, would save it.",
    "launch": "The pieces are small for this accelerator: a larger batch or fewer ranks would use it better.",
    "tensor-parallel": "A lower tp, or a faster network in the node, would shorten it.",
    "context-parallel": "A lower cp, or a shorter context, would shorten it.",
    "expert-parallel": "A lower ep, or a faster network between nodes, would shorten it.",
    "pipeline": "Larger micro-batches or fewer stages would make it smaller.",
    "sharding": "A larger micro-batch, or sharding within fewer nodes, would hide more of it.",
    "data-parallel": "A larger batch or fewer nodes would make it a smaller share.",
    "communication": "A larger batch, fewer nodes or a faster network would make it a smaller share.",
    "imbalance": "Stages of other sizes would shorten it.",
    "bubble": "More micro-batches in a step or fewer pipeline stages would make it smaller.",
    "optimiser": "A larger batch would spread it over more tokens; sharding (fsdp) divides it.",
}
_SHARED: Final = {
    1: "the optimiser's state is",
    2: "gradients and optimiser state are",
    3: "parameters, gradients and optimiser state are",
}
_NOTABLE: Final = 0.1
_MOST_DIFFERENCES: Final = 5
_SAME: Final = "the same layout"


def sentences(
    plan: Plan, *, nodes_because: str = "", job_limit_s: float | None = None, charged: str = ""
) -> tuple[str, ...]:
    """What `Plan.why` holds; of a finished plan, its own sentences.

    A plan does not hold why that many nodes, how long one job may be, nor what the site charges ('12 core-hours').
    """
    if plan.why:
        return plan.why
    said = [_layout(plan.layout), nodes_because, _time(plan), _limit(plan), _memory(plan), _cost(plan, charged)]
    said += [_jobs(plan, job_limit_s), _alternative(plan), _nearest_miss(plan)]
    return tuple(each for each in said if each)


def _layout(layout: Layout) -> str:
    ranks = layout.world_size
    data_ranks = layout.dp * layout.fsdp
    parts = []
    if layout.tp > 1:
        parts.append(f"matrices are split over {layout.tp} ranks (tp)")
    if layout.pp > 1:
        parts.append(f"layers are split into {layout.pp * layout.chunks} stages on {layout.pp} ranks (pp)")
    if layout.cp > 1:
        parts.append(f"each sequence is split over {layout.cp} ranks (cp)")
    if layout.ep > 1:
        parts.append(f"experts are spread over {layout.ep} ranks (ep)")
    if layout.fsdp > 1:
        copies = f", in {layout.dp} copies" if layout.dp > 1 else ""
        what = _SHARED[layout.zero]
        parts.append(
            f"{what} split over {layout.fsdp} ranks ({'fsdp' if layout.zero == 3 else f'zero-{layout.zero}'}{copies})"
        )
    elif layout.dp > 1:
        parts.append(f"each of {layout.dp} ranks holds the whole model and they average gradients once a step (dp)")
    elif not parts:
        parts.append("one rank holds the whole model")
    times = f", {layout.accumulate} times a step" if layout.accumulate > 1 else ""
    sequences = f"{layout.micro_batch} sequence{'s' if layout.micro_batch > 1 else ''}"
    each = "each rank" if data_ranks == ranks else "each copy of the model"
    parts.append(
        f"{each} works on {sequences} at once{times}" if ranks > 1 else f"it works on {sequences} at once{times}"
    )
    if layout.recompute != "none":
        kept = "attention's activations" if layout.recompute == "selective" else "activations"
        parts.append(f"{kept} are computed again going back rather than kept")
    if layout.offload:
        parts.append("the optimiser's state lies in the node's main memory")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def briefly(plan: Plan) -> tuple[str, ...]:
    """Why that many nodes, where that was a choice, and what would shorten a step."""
    said = takewhile(lambda each: each != _time(plan), sentences(plan))
    return (*(each for each in said if each != _layout(plan.layout)), _advice(plan))


def difference(chosen: Layout, other: Layout) -> str:
    """What `other` has that `chosen` has not: 'tp 8, micro-batch 2'; as many nodes go without saying."""
    words = {"micro_batch": "micro-batch", "accumulate": "accumulate", "sequence_parallel": "sequence parallel"}
    found = []
    for name in type(chosen).model_fields:
        value = getattr(other, name)
        if value == getattr(chosen, name) or name in _said_by_others(other):
            continue
        word = "yes" if value is True else "no" if value is False else value
        several = f"{value} node{'s' * (value != 1)}"
        found.append(several if name == "nodes" else f"{words.get(name, name)} {word}")
    return ", ".join(found) or _SAME


def told(chosen: Layout, other: Layout) -> str:
    """The difference, or the whole of `other` where that is shorter to say."""
    said = difference(chosen, other)
    return other.describe() if said.count(", ") >= _MOST_DIFFERENCES else said


def _said_by_others(layout: Layout) -> set[str]:
    """Fields that mean nothing in this layout, or follow from the rest of it."""
    alone = {"stages"}
    if layout.fsdp == 1:
        alone.add("zero")
    if layout.pp == 1:
        alone |= {"pipeline", "chunks"}
    if layout.tp == 1:
        alone.add("sequence_parallel")
    return alone


def same(one: Layout, other: Layout) -> bool:
    """Whether they differ in nothing but how exactly they are written down."""
    return one.nodes == other.nodes and difference(one, other) == _SAME


def _time(plan: Plan) -> str:
    step = _range(plan.step_time.total_s)
    rate = format_count(float(f"{plan.tokens_per_s.expected:.2e}"))
    return f"A step should take {step}: {rate} tokens/s, {format_percent(plan.mfu)} of the accelerators' peak."


def _range(interval: Interval) -> str:
    low, high = format_seconds(interval.low), format_seconds(interval.high)
    return f"{format_seconds(interval.expected)} (four times in five between {low} and {high})"


def _notable(plan: Plan) -> list[tuple[StepPart, float]]:
    """Parts and their shares of a step, the largest first, down to what matters."""
    total = sum(plan.step_time.parts.values()) or 1.0
    ranked = sorted(plan.step_time.parts.items(), key=lambda part: -part[1])
    return [(name, seconds / total) for name, seconds in ranked if seconds / total >= _NOTABLE] or [
        (ranked[0][0], ranked[0][1] / total)
    ]


def _limit(plan: Plan) -> str:
    spent = ", ".join(f"{format_percent(share)} {NAMES[name]}" for name, share in _notable(plan))
    return f"Of a step, {spent}. {_advice(plan).split('. ', 1)[1]}"


def _advice(plan: Plan) -> str:
    notable = [name for name, _ in _notable(plan)]
    first = notable[0]
    # The work itself is seldom worth advice; what stands beside it is.
    advised = next((name for name in notable if name != "matmul"), first)
    about = f" As for {NAMES[advised]}: {_lower(_FASTER[advised])}" if advised != first else ""
    return f"Most of a step is {NAMES[first]}. {_FASTER[first]}{about}"


def _lower(text: str) -> str:
    return f"{text[0].lower()}{text[1:]}"


def _memory(plan: Plan) -> str:
    memory = plan.memory
    kinds = {
        "parameters": memory.parameters,
        "gradients": memory.gradients,
        "optimiser state": memory.optimiser,
        "activations": memory.activations,
        "buffers and libraries": memory.other,
    }
    largest = max(kinds, key=lambda kind: kinds[kind])
    return (
        f"A rank needs {format_bytes(memory.total)} of {format_bytes(memory.limit)} usable, "
        f"most of it for {largest} ({format_bytes(kinds[largest])})."
    )


def _cost(plan: Plan, charged: str) -> str:
    wall, hours = format_seconds(plan.wall_time_s.expected), significant(gpu_hours(plan.accelerator_seconds))
    site = f"; the site charges {charged}" if charged else ""
    return f"The whole run: {plan.steps:,} steps, {wall}, {hours}{NBSP}GPU-hours{site}."


def _jobs(plan: Plan, job_limit_s: float | None) -> str:
    if job_limit_s is None or plan.wall_time_s.expected <= job_limit_s:
        return ""
    jobs = -(-plan.wall_time_s.expected // job_limit_s)
    return (
        f"{plan.partition or 'The queue'} gives one job {format_seconds(job_limit_s)}: the run takes "
        f"{jobs:.0f} jobs one after another, each going on from the last checkpoint."
    )


def _alternative(plan: Plan) -> str:
    """The next best layout that differs in more than the size of a micro-batch."""
    chosen = plan.layout
    for other in plan.considered[1:]:
        if other.note or (other.layout.dp, other.layout.fsdp) == (chosen.dp, chosen.fsdp):
            continue
        slower = other.step_time_s / plan.step_time.total_s.expected - 1
        if slower < 0.005:
            return f"{_named(other)} would be as fast."
        return f"{_named(other)} would be {format_percent(slower)} slower."
    return ""


def _nearest_miss(plan: Plan) -> str:
    faster = [each for each in plan.considered if each.note and each.step_time_s < plan.step_time.total_s.expected]
    if not faster:
        return ""
    best = min(faster, key=lambda each: each.step_time_s)
    gain = 1 - best.step_time_s / plan.step_time.total_s.expected
    return f"{_named(best)} would be {format_percent(gain)} faster but {best.note}."


def _named(candidate: Candidate) -> str:
    text = candidate.layout.describe()
    return f"{text[0].upper()}{text[1:]}"


def notable(options: Sequence[Option]) -> list[Option]:
    """Of every machine the size that costs least, and the soonest of those that nothing beats, in the order given."""
    cheapest: dict[str, Option] = {}
    soonest: dict[str, Option] = {}
    for one in options:
        held = cheapest.get(one.machine)
        if held is None or one.accelerator_seconds < held.accelerator_seconds:
            cheapest[one.machine] = one
        if one.best and (
            one.machine not in soonest or one.wall_time_s.expected < soonest[one.machine].wall_time_s.expected
        ):
            soonest[one.machine] = one
    return [one for one in options if one is cheapest[one.machine] or one is soonest.get(one.machine)]
