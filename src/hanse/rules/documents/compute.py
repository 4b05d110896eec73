"""Amounts of computing that the law asks for, from a run's record: operations, energy, carbon. None is unknown."""

from __future__ import annotations

from statistics import median

from hanse.contracts.record import RunRecord


def parameters(record: RunRecord) -> int | None:
    if record.result is not None:
        return record.result.parameters
    plan = record.run.plan
    return plan.workload.parameters if plan else None


def by_architecture(record: RunRecord) -> float | None:
    """6 × active parameters × tokens really trained on, in FLOP (C(2025) 7719, annex A.2.1).

    Of a mixture of experts, the parameters that a token passes through count; where they are unknown, so is this.
    LoRA: (4 × all + 2 × trained parameters) × tokens, as frozen weights get no gradient of their own; the guidelines
    do not say it.
    """
    result, plan = record.result, record.run.plan
    if result is None:
        return None
    active: float = result.parameters
    shape = plan.workload.shape if plan else None
    if shape is not None and shape.experts is not None:
        if plan is None or plan.workload.active_parameters is None:
            return None
        active = plan.workload.active_parameters
    if record.run.spec.training == "lora":
        trained = plan.workload.trainable_parameters if plan else None
        return None if trained is None else (4.0 * active + 2.0 * trained) * result.tokens
    return 6.0 * active * result.tokens


def by_hardware(record: RunRecord) -> float | None:
    """Accelerator-seconds × peak FLOP/s × utilisation, in FLOP (C(2025) 7719, annex A.2.1).

    Utilisation is the plan's, scaled by measured over predicted throughput: operations a token and peak are the same.
    """
    plan = record.run.plan
    if plan is None or not record.telemetry or len(record.machines) != 1:
        return None
    peak = record.machines[0].accelerator.peak_flops.get(record.run.spec.precision)
    seconds = sum(entry.accelerator_seconds for entry in record.usage if entry.kind != "site")
    if not peak or seconds <= 0 or plan.tokens_per_s.expected <= 0:
        return None
    measured = median(row.tokens_per_s for row in record.telemetry)
    return seconds * peak * plan.mfu * measured / plan.tokens_per_s.expected


def energy_joules(record: RunRecord) -> int | None:
    """None if nobody counted: an unknown is not a zero."""
    counted = [entry.energy_joules for entry in record.usage if entry.energy_joules is not None]
    return sum(counted) if counted else None


def co2_grams(record: RunRecord) -> float | None:
    """Energy times the grid's intensity as the plan had it (its expected carbon over its expected energy)."""
    joules, plan = energy_joules(record), record.run.plan
    expense = plan.expense if plan else None
    if joules is None or expense is None or expense.co2_grams is None or expense.energy_joules is None:
        return None
    if expense.energy_joules.expected <= 0:
        return None
    return joules * expense.co2_grams.expected / expense.energy_joules.expected
