"""One training on one machine, or on several: apart with few exchanges (DiLoCo), or together in every step.

Legs apart share the batch evenly. In a round each trains its inner steps, the slower a machine the fewer, and sends how
far its weights have moved (Douillard et al. 2023, arXiv:2311.08105), in fragments that travel behind computing (2025,
arXiv:2501.18512). A file goes up once and comes down once to each other leg. Together, each machine moves
2(M−1)/M of the gradients in every step (Patarasu and Yuan 2009), and a failure of one stops all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

from hanse.contracts.errors import PlanError, UsageError
from hanse.contracts.machine import Machine
from hanse.contracts.outer import Codec
from hanse.contracts.plan import Interval, Plan
from hanse.contracts.workload import Workload
from hanse.planning import legs_loss, plan
from hanse.planning.choose import Limits, Objective
from hanse.planning.clock import Clock
from hanse.planning.ways import UNKNOWN, Between, Leg, Link, Terms, Way

BYTES_PER_VALUE: Final[dict[Codec, float]] = {"fp32": 4.0, "bf16": 2.0, "int8": 1 + 4 / 256, "int4": 0.5 + 4 / 64}
"""With the scales: one of four bytes for 256 values as int8, for 64 as int4."""
WAITING: Final = 0.02
"""Share of a round that may be spent waiting for the others before more inner steps are worth their loss."""
_GRADIENT_BYTES: Final = 2
"""bf16, as gradients travel in every step."""
SOONER: Final = 0.1
"""More than one machine must be sooner by so much to be worth the trouble."""
_INNER_STEPS: Final = (30, 50, 100, 300, 500)
_WAYS: Final[tuple[tuple[Codec, int, float], ...]] = (
    ("bf16", 1, 0.0), ("int8", 1, 0.0), ("int8", 4, 0.25), ("int4", 4, 0.25), ("int4", 4, 0.5),
)  # fmt: skip
"""Codec, fragments and the share of the steps between two fragments that goes on meanwhile: from the plainest to what
waits least. All were published without a loss that could be told (arXiv:2407.07852, 2412.01152, 2501.18512, and of
long overlaps 2502.12996)."""


def compare(
    alone: Sequence[Plan],
    machines: Sequence[Machine],
    *,
    link: Link = UNKNOWN,
    inner_steps: int | None = None,
    codec: Codec | None = None,
    limits: Limits | None = None,
    objective: Objective | None = None,
    executable_only: bool = True,
) -> Between:
    """The ways of one workload, from its plan on each machine alone.

    `inner_steps` and `codec` None: the fewest, then the most exact, with which waiting at the expected link speed
    stays within `WAITING`; if none does, what waits least.

    Raises:
        UsageError: a machine is named twice, or the inner steps are none.
        PlanError: the batch cannot be shared, or a leg has no layout for its share.
    """
    names = [each.id for each in machines]
    if len(set(names)) < len(names):
        raise UsageError("a machine is named twice", where=", ".join(names), fix="Name each machine once.")
    if inner_steps is not None and inner_steps < 1:
        raise UsageError(f"{inner_steps} inner steps are none", fix="Give 1 or more.")
    kept, workload = limits or Limits(), alone[0].workload
    ways = [_alone(each, kept) for each in alone]
    if len(alone) > 1:
        shares = [
            _share(each, machine, len(alone), executable_only) for each, machine in zip(alone, machines, strict=True)
        ]
        ways += [
            _apart(workload, shares, machines, link, kept, inner_steps=inner_steps, codec=codec),
            _together(workload, shares, machines, link, kept),
        ]
    return Between(workload=workload, link=link, ways=tuple(ways), best=_best(ways, objective))


def given(bytes_per_s: float) -> Link:
    """A link whose speed is known; what the courier takes is not."""
    speed = Interval(low=bytes_per_s, expected=bytes_per_s, high=bytes_per_s)
    return replace(UNKNOWN, bytes_per_s=speed, known=True)


def shared_batches(batch: int, legs: int) -> tuple[int, ...]:
    """Sequences of one leg's step, best first: an even share (without one, the share rounded down to its three leading
    binary digits), then shares rounded to two digits and to one, which more numbers of ranks divide."""
    share = batch // legs
    rounded = [share >> cut << cut for cut in (max(0, share.bit_length() - digits) for digits in (3, 2, 1))]
    found = [share, *rounded] if batch % legs == 0 else rounded
    return tuple(dict.fromkeys(each for each in found if each))


def _alone(made: Plan, limits: Limits) -> Way:
    leg = Leg(
        machine=made.machine, nodes=made.layout.nodes, accelerators=made.layout.world_size,
        batch=made.workload.global_batch, inner_steps=0, step_time_s=made.step_time.total_s,
        wall_time_s=made.wall_time_s, sent_bytes=0, received_bytes=0,
    )  # fmt: skip
    return _limited(
        Way(
            kind="one machine", machines=(made.machine,), wall_time_s=made.wall_time_s,
            accelerator_seconds=_times(made.wall_time_s, made.layout.world_size), legs=(leg,),
        ),
        limits,
    )  # fmt: skip


def _share(alone: Plan, machine: Machine, legs: int, executable_only: bool) -> Plan:
    """The plan of a leg's share of the batch, on as many nodes as the whole takes there, else half, a quarter, …"""
    batch = alone.workload.global_batch
    nodes, because = alone.layout.nodes, "it has fewer sequences than legs"
    while nodes:
        for share in shared_batches(batch, legs):
            part = alone.workload.model_copy(update={"global_batch": share})
            try:
                return plan.make(
                    part, machine, nodes=nodes, partition=alone.partition, executable_only=executable_only
                )  # fmt: skip
            except PlanError as error:
                because = error.what
        nodes //= 2
    raise PlanError(
        f"a batch of {batch} cannot be shared by {legs} machines: {because}",
        where=f"{alone.workload.name} on {machine.id}",
        fix="Set a larger batch, or name fewer machines.",
    )  # fmt: skip


def _apart(
    workload: Workload, shares: Sequence[Plan], machines: Sequence[Machine], link: Link, limits: Limits, *,
    inner_steps: int | None, codec: Codec | None,
) -> Way:  # fmt: skip
    found = None
    for terms in _choices(workload, shares, inner_steps, codec):
        way = _under(terms, workload, shares, machines, link)
        assert way.waiting is not None
        if way.waiting.expected <= WAITING:
            found = way
            break
        if found is None or found.waiting is None or way.waiting.expected < found.waiting.expected:
            found = way
    assert found is not None, "there is at least one choice"
    return _limited(found, limits)


def _choices(workload: Workload, shares: Sequence[Plan], inner_steps: int | None, codec: Codec | None) -> list[Terms]:
    """What could be agreed on; no round is longer than the run."""
    most = workload.shape.layers if workload.shape else 1
    last = -(-workload.total_tokens // sum(each.workload.tokens_per_step for each in shares))
    steps_s = [each.step_time.total_s.expected for each in shares]
    known = [each for each in _WAYS if codec in (None, each[0])] or [
        ("fp32", 1, 0.0),
        ("fp32", 4, 0.25),
        ("fp32", 4, 0.5),
    ]
    found = []
    for steps in (inner_steps,) if inner_steps is not None else sorted({min(each, last) for each in _INNER_STEPS}):
        for name, wanted, overlapped in known:
            fragments = max(1, min(wanted, most, steps))
            fewest = min(_inner_steps(steps, fragments, steps_s)) // fragments
            overlap = min(fewest - 1, max(1, int(overlapped * fewest))) if overlapped else 0
            found.append(Terms(inner_steps=steps, codec=name, fragments=fragments, overlap_steps=overlap))
    return found


def _inner_steps(most: int, fragments: int, steps_s: Sequence[float]) -> list[int]:
    """Of each leg: nobody waits for a slow machine, it trains fewer steps of its own in a round."""
    return [max(fragments, round(most * min(steps_s) / each)) for each in steps_s]


def _under(terms: Terms, workload: Workload, shares: Sequence[Plan], machines: Sequence[Machine], link: Link) -> Way:
    count = len(shares)
    sent = _sent_bytes(workload, terms)
    steps_s = [each.step_time.total_s for each in shares]
    inner = _inner_steps(terms.inner_steps, terms.fragments, [each.expected for each in steps_s])
    per_round = sum(steps * each.workload.global_batch for steps, each in zip(inner, shares, strict=True))
    samples = -(-workload.total_tokens // workload.context)
    rounds = -(-samples // per_round)

    def round_s(pick: Literal["low", "expected", "high"]) -> tuple[float, float]:
        """The longest leg's round and how much of it computes; the worst link goes with the slowest steps."""
        other: Literal["low", "expected", "high"] = _OTHER[pick]
        way_s = exchange_s(
            sent, count, terms.fragments, getattr(link.bytes_per_s, other), getattr(link.courier_s, pick)
        )
        totals = []
        for steps, each in zip(inner, steps_s, strict=True):
            step_s = getattr(each, pick)
            waits = terms.fragments * max(0.0, way_s - terms.overlap_steps * step_s)
            totals.append((steps * step_s + waits, waits))
        return max(totals)

    rounds_s = {pick: round_s(pick) for pick in ("low", "expected", "high")}
    legs = []
    for each, machine, steps in zip(shares, machines, inner, strict=True):
        step_s = Interval(**{pick: total / steps for pick, (total, _) in rounds_s.items()})
        part = each.workload
        tokens = rounds * steps * part.tokens_per_step
        clock = Clock(
            workload=part.model_copy(update={"total_tokens": tokens}), machine=machine, partition=each.partition
        )
        legs.append(
            Leg(
                machine=machine.id, nodes=each.layout.nodes, accelerators=each.layout.world_size,
                batch=part.global_batch, inner_steps=steps, step_time_s=each.step_time.total_s,
                wall_time_s=clock.wall_time(each.layout.nodes, step_s), sent_bytes=sent,
                received_bytes=(count - 1) * sent,
            )
        )  # fmt: skip
    return Way(
        kind="apart", machines=tuple(each.id for each in machines), legs=tuple(legs), terms=terms, exchanges=rounds,
        wall_time_s=_longest([each.wall_time_s for each in legs]),
        accelerator_seconds=_sum([_times(each.wall_time_s, each.accelerators) for each in legs]),
        bytes_each=count * sent, waiting=Interval(**{pick: waits / total for pick, (total, waits) in rounds_s.items()}),
        needs_bytes_per_s=_needed(sent, terms, inner, steps_s, link),
        loss=legs_loss.penalty(workload.parameters, count, terms.inner_steps),
        remarks=(
            "Each leg is a job of its own: it may start later, fail or end by itself, and the others go on.",
            "across: in train.yaml, beside these machines in where.machines, launches it so.",
        ),
    )  # fmt: skip


_OTHER: Final[dict[str, Literal["low", "expected", "high"]]] = {"low": "high", "expected": "expected", "high": "low"}


def _sent_bytes(workload: Workload, terms: Terms) -> int:
    """Of one leg in one outer step: every trained value once, without the headers' few kilobytes."""
    return round(workload.trainable * BYTES_PER_VALUE[terms.codec])


def exchange_s(sent_bytes: int, legs: int, fragments: int, bytes_per_s: float, courier_s: float) -> float:
    """Seconds from sending one fragment to having those of all legs: up once, down once from each of the others."""
    return legs * sent_bytes / fragments / bytes_per_s + courier_s


def _needed(sent: int, terms: Terms, inner: Sequence[int], steps_s: Sequence[Interval], link: Link) -> float | None:
    """`exchange_s` set equal to what overlaps and what may be waited, solved for the link's speed."""
    speeds = []
    for steps, each in zip(inner, steps_s, strict=True):
        allowed_s = terms.overlap_steps * each.expected + WAITING * steps * each.expected / terms.fragments
        if allowed_s <= link.courier_s.expected:
            return None
        speeds.append(len(inner) * sent / terms.fragments / (allowed_s - link.courier_s.expected))
    return max(speeds)


def _together(
    workload: Workload, shares: Sequence[Plan], machines: Sequence[Machine], link: Link, limits: Limits
) -> Way:
    count, steps_s = len(shares), [each.step_time.total_s for each in shares]
    moved = round(2 * (count - 1) / count * workload.trainable * _GRADIENT_BYTES)
    computes = _longest(steps_s)

    def sending_s(bytes_per_s: float) -> float:
        return moved / bytes_per_s + 2 * (count - 1) * link.latency_s

    step_s = Interval(  # at best all of it goes on behind the backward pass
        low=max(computes.low, sending_s(link.bytes_per_s.high)),
        expected=computes.expected + sending_s(link.bytes_per_s.expected),
        high=computes.high + sending_s(link.bytes_per_s.low),
    )
    whole = workload.model_copy(update={"global_batch": sum(each.workload.global_batch for each in shares)})
    walls, useful = [], []
    for each, machine in zip(shares, machines, strict=True):
        clock = Clock(workload=whole, machine=machine, partition=each.partition)
        walls.append(clock.wall_time(each.layout.nodes, step_s))
        useful.append(clock.goodput(each.layout.nodes, step_s.expected).share.expected)
    stopped = 1.0
    for share in useful:
        stopped /= max(share, 1e-6)
    # Each machine's own failures are in its wall time already.
    wall_s = _longest([_times(wall, stopped * share) for wall, share in zip(walls, useful, strict=True)])
    ranks = sum(each.layout.world_size for each in shares)
    legs = tuple(
        Leg(
            machine=machine.id, nodes=each.layout.nodes, accelerators=each.layout.world_size,
            batch=each.workload.global_batch, inner_steps=1, step_time_s=each.step_time.total_s, wall_time_s=wall_s,
            sent_bytes=moved, received_bytes=moved,
        )
        for each, machine in zip(shares, machines, strict=True)
    )  # fmt: skip
    room_s = WAITING * computes.expected - 2 * (count - 1) * link.latency_s
    return _limited(
        Way(
            kind="together", machines=tuple(each.id for each in machines), wall_time_s=wall_s,
            accelerator_seconds=_times(wall_s, ranks), legs=legs, exchanges=whole.steps,
            bytes_each=2 * moved, needs_bytes_per_s=moved / room_s if room_s > 0 else None,
            waiting=Interval(
                low=1 - min(1.0, computes.low / step_s.low), expected=1 - computes.expected / step_s.expected,
                high=1 - computes.high / step_s.high,
            ),
            against=_no_route(machines),
            remarks=(
            "All machines must be held at the same time, and a failure of one stops all; Hanse starts no such job.",
        ),
        ),
        limits,
    )  # fmt: skip


def _no_route(machines: Sequence[Machine]) -> tuple[str, ...]:
    closed = [each.id for each in machines if each.internet_on_compute is False]
    unknown = [each.id for each in machines if each.internet_on_compute is None]
    said = [f"compute nodes of {', '.join(closed)} have no route out"] if closed else []
    return (
        *said,
        *([f"nobody knows whether compute nodes of {', '.join(unknown)} have a route out"] if unknown else []),
    )


def _limited(way: Way, limits: Limits) -> Way:
    missed = limits.missed(way.wall_time_s.expected, way.accelerator_seconds.expected)
    return replace(way, against=(*way.against, missed)) if missed else way


def _best(ways: Sequence[Way], objective: Objective | None) -> Way | None:
    """One machine where it will do, then apart, then together; for time the soonest, if it is so by a good deal."""
    open_ways = [each for each in ways if not each.against]
    single = [each for each in open_ways if each.kind == "one machine"]
    single.sort(key=lambda each: (each.wall_time_s if objective == "time" else each.accelerator_seconds).expected)
    rest = sorted((each for each in open_ways if each.kind != "one machine"), key=lambda each: each.kind)
    ranked = [*single, *rest]
    if not ranked:
        return None
    if objective == "time":
        soonest = min(ranked, key=lambda each: each.wall_time_s.expected)
        if soonest.wall_time_s.expected < (1 - SOONER) * ranked[0].wall_time_s.expected:
            return soonest
    return ranked[0]


def _times(value: Interval, factor: float) -> Interval:
    return Interval(low=value.low * factor, expected=value.expected * factor, high=value.high * factor)


def _longest(values: Sequence[Interval]) -> Interval:
    return Interval(
        low=max(each.low for each in values), expected=max(each.expected for each in values),
        high=max(each.high for each in values),
    )  # fmt: skip


def _sum(values: Sequence[Interval]) -> Interval:
    return Interval(
        low=sum(each.low for each in values), expected=sum(each.expected for each in values),
        high=sum(each.high for each in values),
    )  # fmt: skip
