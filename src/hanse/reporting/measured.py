"""What a record's telemetry says, in single figures: medians, peaks, repeated work, and each held against the plan.

MFU is not measured by itself: it is the plan's, times measured over predicted throughput, because the model's FLOPs
and the hardware's peak are the same in both. The range of GPU-hours is the wall time's, scaled to the charge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Literal

from hanse.contracts.plan import Plan, StepPart
from hanse.contracts.record import RunRecord
from hanse.contracts.run import FINAL_RUN_STATES, Attempt, Run
from hanse.contracts.telemetry import StepSummary
from hanse.contracts.units import format_bytes, format_percent, format_seconds, gpu_hours, significant

Verdict = Literal["inside", "above", "below", "not-over"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One quantity, predicted and measured. `low` and `high` are None where the prediction has no interval."""

    quantity: str
    unit_note: str = ""
    predicted: float
    low: float | None
    high: float | None
    measured: float | None
    final: bool
    """False while the run goes on and the quantity still grows."""
    write: Callable[[float], str]

    @property
    def verdict(self) -> Verdict | None:
        if self.measured is None or self.high is None:
            return None
        if self.measured > self.high:
            return "above"
        if not self.final:
            return "not-over"
        return "below" if self.low is not None and self.measured < self.low else "inside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Seconds of one step: what the trainer's clock can tell apart, and what the plan says of the same groups."""

    groups: tuple[tuple[str, float | None, float], ...]
    """Name, predicted (None: the plan has no such part), measured."""
    within_compute: tuple[tuple[str, float], ...]
    """The plan's finer parts of the first group; nothing measures them apart."""
    seen_within: tuple[tuple[str, float], ...] = ()
    """What the clock tells apart in the first group: name, measured."""


_COMPUTE_PARTS: dict[StepPart, str] = {
    "matmul": "Matrix products",
    "attention": "Attention",
    "memory-bound": "Element-wise work",
    "head": "Head and loss",
    "recompute": "Recomputation",
    "communication": "Communication not hidden",
    "tensor-parallel": "Tensor-parallel exchange",
    "context-parallel": "Context-parallel exchange",
    "expert-parallel": "Expert-parallel exchange",
    "pipeline": "Sending between stages",
    "sharding": "Gathering shards",
    "data-parallel": "Reducing gradients",
    "bubble": "Pipeline bubble",
    "imbalance": "Waiting for the slowest stage",
    "launch": "Kernel launches",
}
"""All parts but the optimiser's: together what the trainer's clock sees as forward and backward."""


def attempts(run: Run) -> tuple[Attempt, ...]:
    """Every attempt of every leg, as they were planned."""
    return tuple(sorted((a for leg in run.legs for a in leg.attempts), key=lambda a: (a.planned_at, a.number)))


def is_final(record: RunRecord) -> bool:
    return record.run.state in FINAL_RUN_STATES


def duration_s(attempt: Attempt, at: datetime) -> float | None:
    """How long its job held the machine, up to `at` for one that runs; None if it never started."""
    if attempt.started_at is None:
        return None
    return max(0.0, ((attempt.ended_at or max(at, attempt.started_at)) - attempt.started_at).total_seconds())


def held_s(run: Run, at: datetime, *, abreast: bool = False) -> float | None:
    """Time on the machine over all attempts, up to `at` for those that run; None if none ever did.

    `abreast`: its legs trained on several machines at once; it is that of the machine that was held longest.
    """
    on: dict[str, float] = {}
    for leg in run.legs:
        for attempt in leg.attempts:
            if (lasted := duration_s(attempt, at)) is not None:
                where = leg.machine if abreast else ""
                on[where] = on.get(where, 0.0) + lasted
    return max(on.values()) if on else None


def middle(rows: Sequence[StepSummary], of: Callable[[StepSummary], float]) -> float | None:
    """The median over the rows; None without a finite value. It is deaf to the slow first steps of an attempt."""
    values = [value for row in rows if math.isfinite(value := of(row))]
    return median(values) if values else None


def peak_memory_bytes(rows: Sequence[StepSummary]) -> float | None:
    return max((r.memory_bytes.max for r in rows if r.memory_bytes.max > 0), default=None)


def energy_joules(record: RunRecord) -> int | None:
    """None if nobody counted: an unknown is not a zero."""
    counted = [entry.energy_joules for entry in record.usage if entry.energy_joules is not None]
    return sum(counted) if counted else None


def repeated_steps(record: RunRecord, before: Attempt) -> int:
    """Steps of `before` that a later attempt did again, as far as the telemetry shows."""
    lost = [row.step for row in record.telemetry if row.attempt == before.number]
    again = [row.step for row in record.telemetry if row.attempt > before.number]
    if not lost or not again:
        return 0
    return max(0, max(max(lost), before.last_step or 0) - min(again) + 1)


def comparisons(record: RunRecord) -> tuple[Comparison, ...]:
    """The plan's quantities beside the measured ones; empty without a plan.

    Of a run across machines only what is the whole run's: its legs each have a plan of their own (`of_steps`).
    """
    if record.across is not None:
        plans = [leg.plan for leg in record.across.legs]
        known = [each for each in plans if each is not None]
        return of_whole(known, record) if known and len(known) == len(plans) else ()
    plan = record.run.plan
    return () if plan is None else (*of_steps(plan, record.telemetry), *of_whole([plan], record))


def predicted_accelerator_seconds(record: RunRecord) -> int:
    """Of all legs together; 0 where nothing was predicted."""
    plans = [leg.plan for leg in record.across.legs] if record.across else [record.run.plan]
    return sum(each.accelerator_seconds for each in plans if each is not None)


def of_steps(plan: Plan, rows: Sequence[StepSummary]) -> tuple[Comparison, ...]:
    """What each step says: its time, throughput, memory and MFU."""
    speed, expected = middle(rows, lambda r: r.tokens_per_s), plan.tokens_per_s
    return (
        Comparison(
            quantity="Step time",
            predicted=plan.step_time.total_s.expected,
            low=plan.step_time.total_s.low,
            high=plan.step_time.total_s.high,
            measured=middle(rows, lambda r: r.step_s.median),
            final=True,
            unit_note="median of the steps",
            write=format_seconds,
        ),
        Comparison(
            quantity="Throughput",
            predicted=expected.expected,
            low=expected.low,
            high=expected.high,
            measured=speed,
            final=True,
            unit_note="tokens per second",
            write=_rate,
        ),
        Comparison(
            quantity="Memory, fullest rank",
            predicted=float(plan.memory.total),
            low=None,
            high=float(plan.memory.limit),
            measured=peak_memory_bytes(rows),
            final=True,
            unit_note="at its peak",
            write=format_bytes,
        ),
        Comparison(
            quantity="MFU",
            predicted=plan.mfu,
            low=_ratio(plan.mfu, expected.low, expected.expected),
            high=_ratio(plan.mfu, expected.high, expected.expected),
            measured=None if speed is None else _ratio(plan.mfu, speed, expected.expected),
            final=True,
            unit_note="model FLOPs used of the peak",
            write=format_percent,
        ),
    )


def of_whole(plans: Sequence[Plan], record: RunRecord) -> tuple[Comparison, ...]:
    """Wall time and GPU-hours. Of several plans, one a machine at the same time, the longest and the sum."""
    final, longest = is_final(record), max(plans, key=lambda each: each.wall_time_s.expected).wall_time_s
    charge = float(sum(each.accelerator_seconds for each in plans))
    walls = [(float(each.accelerator_seconds), each.wall_time_s) for each in plans]
    return (
        Comparison(
            quantity="Wall time",
            predicted=longest.expected,
            low=longest.low,
            high=longest.high,
            measured=held_s(record.run, record.made_at, abreast=record.across is not None),
            final=final,
            unit_note="on the machine, all attempts" if record.across is None else "of the longest leg, all attempts",
            write=format_seconds,
        ),
        Comparison(
            quantity="GPU-hours",
            predicted=charge,
            low=sum(_ratio(each, wall.low, wall.expected) for each, wall in walls),
            high=sum(_ratio(each, wall.high, wall.expected) for each, wall in walls),
            measured=float(record.run.used_accelerator_seconds),
            final=final,
            unit_note="by the scheduler's count",
            write=hours,
        ),
    )


def breakdown(record: RunRecord) -> Breakdown | None:
    """Where a step's time went; None unless there are both a plan and steps."""
    plan, rows = record.run.plan, record.telemetry
    parts = [middle(rows, of) for of in (_compute, _optimiser, _data, _step)]
    if plan is None or any(part is None for part in parts):
        return None
    compute, optimiser, data, step = (part or 0.0 for part in parts)
    predicted = sum(plan.step_time.parts.get(part, 0.0) for part in _COMPUTE_PARTS)
    return Breakdown(
        groups=(
            ("Forward and backward", predicted, compute),
            ("Optimiser", plan.step_time.parts.get("optimiser", 0.0), optimiser),
            ("Waiting for data", None, data),
            ("Other", None, max(0.0, step - compute - optimiser - data)),
        ),
        within_compute=tuple(
            (name, value) for part, name in _COMPUTE_PARTS.items() if (value := plan.step_time.parts.get(part, 0.0)) > 0
        ),
        seen_within=tuple(_seen_within(rows)),
    )


def _seen_within(rows: Sequence[StepSummary]) -> Iterator[tuple[str, float]]:
    """Forward, backward, and each communication of the steps that were sampled."""
    for name, spread_of in (("Forward", _forward), ("Backward", _backward)):
        if (value := middle(rows, spread_of)) is not None:
            yield name, value
    sampled = [row.communication_s for row in rows if row.communication_s]
    for operation in sorted({name for each in sampled for name in each}):
        seconds = median(each.get(operation, 0.0) for each in sampled)
        yield f"{operation.replace('_', '-')}, overlapped or not, in {len(sampled)} sampled steps", seconds


def _forward(row: StepSummary) -> float:
    return row.forward_s.median if row.forward_s else math.nan


def _backward(row: StepSummary) -> float:
    return row.backward_s.median if row.backward_s else math.nan


def tokens_total(plan: Plan | None) -> int | None:
    return plan.workload.total_tokens if plan else None


def hours(accelerator_seconds: float) -> str:
    """GPU-hours as a bare number: whole from a hundred on."""
    value = gpu_hours(accelerator_seconds)
    text = f"{value:,.0f}" if abs(value) >= 100 else significant(value)
    return text.replace("-", "\N{MINUS SIGN}")


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else significant(value)


def _ratio(value: float, part: float, whole: float) -> float:
    return value * part / whole if whole > 0 else value


def _compute(row: StepSummary) -> float:
    return row.compute_s.median


def _optimiser(row: StepSummary) -> float:
    return row.optimiser_s.median


def _data(row: StepSummary) -> float:
    return row.data_s.median


def _step(row: StepSummary) -> float:
    return row.step_s.median
