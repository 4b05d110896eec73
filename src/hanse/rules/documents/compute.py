"""Amounts of computing that the law asks for, from a run's record: operations, energy, carbon. None is unknown."""

from __future__ import annotations

from statistics import median

from hanse.contracts.machine import Machine
from hanse.contracts.plan import Plan
from hanse.contracts.record import RunRecord
from hanse.contracts.spec import TrainSpec
from hanse.rules import prefill


def parameters(record: RunRecord) -> int | None:
    """Of the whole model; a result of LoRA counts those that were trained."""
    plan = record.run.plan
    if record.result is not None and record.run.spec.training != "lora":
        return record.result.parameters
    return plan.workload.parameters if plan else None


def by_architecture(record: RunRecord) -> float | None:
    """FLOP of the tokens really trained on; None before there is a result."""
    result = record.result
    if result is None:
        return None
    return architecture_flops(record.run.spec, record.run.plan, result.tokens, parameters=result.parameters)


def architecture_flops(
    spec: TrainSpec, plan: Plan | None, tokens: int, *, parameters: int | None = None
) -> float | None:
    """6 × active parameters × tokens, in FLOP (C(2025) 7719, annex A.2.1); None where the parameters are unknown.

    `parameters` are those counted, or else the plan's. Of a mixture of experts, the parameters that a token passes
    through count. The formula is the gate's (`rules/prefill.py`), so that gate, watch and documents say the same.
    """
    workload = plan.workload if plan else None
    passed, trained = parameters or (workload.parameters if workload else None), None
    if workload is not None and workload.shape is not None and workload.shape.experts is not None:
        passed = workload.active_parameters
    if spec.training == "lora":
        if workload is None or workload.trainable_parameters is None:
            return None
        # What was trained is not what every token passes through: that is the model as the plan has it.
        passed, trained = workload.active_parameters or workload.parameters, workload.trainable_parameters
    return None if passed is None else prefill.by_architecture(passed, tokens, trained=trained)


def by_hardware(record: RunRecord) -> float | None:
    """FLOP of the whole record; None where it ran on several machines, or nothing of it was measured."""
    if not record.telemetry or len(record.machines) != 1:
        return None
    seconds = sum(entry.accelerator_seconds for entry in record.usage if entry.kind != "site")
    measured = median(row.tokens_per_s for row in record.telemetry)
    return hardware_flops(record.run.spec, record.run.plan, record.machines[0], seconds, measured)


def hardware_flops(
    spec: TrainSpec, plan: Plan | None, machine: Machine, accelerator_seconds: int, tokens_per_s: float
) -> float | None:
    """Accelerator-seconds × peak FLOP/s × utilisation, in FLOP (C(2025) 7719, annex A.2.1).

    Utilisation is the plan's, scaled by measured over predicted throughput: operations a token and peak are the same.
    """
    peak = machine.accelerator.peak_flops.get(spec.precision)
    if plan is None or not peak or accelerator_seconds <= 0 or plan.tokens_per_s.expected <= 0:
        return None
    return accelerator_seconds * peak * plan.mfu * tokens_per_s / plan.tokens_per_s.expected


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
