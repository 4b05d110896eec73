"""Amounts of computing that the law asks for, from a run's record: operations, energy, carbon. None is unknown."""

from __future__ import annotations

from statistics import median

from hanse.contracts.record import RunRecord
from hanse.rules import prefill


def parameters(record: RunRecord) -> int | None:
    """Of the whole model; a result of LoRA counts those that were trained."""
    plan = record.run.plan
    if record.result is not None and record.run.spec.training != "lora":
        return record.result.parameters
    return plan.workload.parameters if plan else None


def by_architecture(record: RunRecord) -> float | None:
    """6 × active parameters × tokens really trained on, in FLOP (C(2025) 7719, annex A.2.1).

    Of a mixture of experts, the parameters that a token passes through count; where they are unknown, so is this.
    The formula is the gate's (`rules/prefill.py`), so that both say the same of one run.
    """
    result, plan = record.result, record.run.plan
    if result is None:
        return None
    passed, trained = result.parameters, None
    shape = plan.workload.shape if plan else None
    if shape is not None and shape.experts is not None:
        if plan is None or plan.workload.active_parameters is None:
            return None
        passed = plan.workload.active_parameters
    if record.run.spec.training == "lora":
        if plan is None or plan.workload.trainable_parameters is None:
            return None
        # What was trained is not what every token passes through: that is the model as the plan has it.
        passed, trained = (
            plan.workload.active_parameters or plan.workload.parameters,
            plan.workload.trainable_parameters,
        )
    return prefill.by_architecture(passed, result.tokens, trained=trained)


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
