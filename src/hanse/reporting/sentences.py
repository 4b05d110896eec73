"""Plain sentences on a run: what was trained, how long it took, what it cost, against which prediction."""

from __future__ import annotations

import math

from hanse.contracts.record import RunRecord
from hanse.contracts.run import RunState
from hanse.contracts.units import (
    format_count,
    format_gpu_hours,
    format_percent,
    format_seconds,
    significant,
)
from hanse.reporting.measured import attempts, held_s, predicted_accelerator_seconds
from hanse.reporting.words import plural, sentence


def opening(record: RunRecord) -> str:
    """The first paragraph of the report."""
    return " ".join(part for part in (_what(record), _cost(record), _reached(record), _ended(record)) if part)


def place(record: RunRecord) -> str:
    """'2 nodes of Leonardo', or as much of it as is known."""
    names = {machine.id: machine.name for machine in record.machines}
    machines = " and ".join(dict.fromkeys(names.get(leg.machine, leg.machine) for leg in record.run.legs))
    nodes = record.run.plan.layout.nodes if record.run.plan else record.run.spec.where.nodes
    if record.across is not None:
        nodes = sum(leg.plan.layout.nodes for leg in record.across.legs if leg.plan)
    if not machines:
        return ""
    return f"{plural(nodes, 'node')} of {machines}" if nodes else machines


def subject(record: RunRecord) -> str:
    """'A language model of 6.9 billion parameters', or what else the run is."""
    run = record.run
    if run.spec.command is not None:
        return "A program of the user's"
    count = record.result.parameters if record.result else run.plan.workload.parameters if run.plan else None
    return f"A language model of {format_count(count)} parameters" if count else "A language model"


def tokens_done(record: RunRecord) -> int:
    if record.result:
        return record.result.tokens
    return max((row.tokens for row in record.telemetry), default=0)


def progress(record: RunRecord) -> str:
    """'step 40 of 120, 33 %'."""
    run = record.run
    if not run.steps:
        return ""
    return f"step {run.step:,} of {run.steps:,}, {format_percent(min(1.0, run.step / run.steps))}"


def _what(record: RunRecord) -> str:
    run, held = record.run, held_s(record.run, record.made_at, abreast=record.across is not None)
    lasted = f" in {format_seconds(held)}" if held else ""
    where = f" on {place(record)}" if place(record) else ""
    if run.state is RunState.FINISHED:
        done = tokens_done(record)
        trained = (
            f", trained on {format_count(done)} tokens"
            if done
            else ", run to its end"
            if run.spec.command
            else ", trained"
        )
        return f"{subject(record)}{trained}{where}{lasted}."
    at = progress(record)
    if run.state is RunState.QUEUED and held is None:
        return f"{subject(record)} that waits to start{where}."
    state = {
        RunState.QUEUED: "whose next attempt waits",
        RunState.RUNNING: "that is under way",
        RunState.CANCELLING: "that is being stopped",
        RunState.FAILED: "whose training failed" if not run.spec.command else "that failed",
        RunState.CANCELLED: "that was stopped before its end",
    }[run.state]
    return f"{subject(record)} {state}{where}{lasted and f' after {lasted[4:]}'}{f', at {at}' if at else ''}."


def _cost(record: RunRecord) -> str:
    run = record.run
    used = run.used_accelerator_seconds
    if not used:
        return "No GPU-hours were charged so far." if attempts(record.run) else ""
    text = f"It used {format_gpu_hours(used)}"
    predicted = predicted_accelerator_seconds(record)
    if not predicted:
        return f"{text}; nothing was predicted for it."
    if run.state is not RunState.FINISHED:
        return f"{text} of the {format_gpu_hours(predicted)} predicted for the whole."
    more = used / predicted - 1
    if abs(more) < 0.005:
        return f"{text}, as predicted."
    if more >= 1:
        return f"{text}, {significant(more + 1, 2)} times what was predicted."
    return f"{text}, {format_percent(abs(more))} {'more' if more > 0 else 'less'} than predicted."


def _reached(record: RunRecord) -> str:
    result = record.result
    if result is None or not math.isfinite(result.final_loss):
        return ""
    held_out = result.validation_loss
    shown = f" ({significant(held_out)} on held-out text)" if held_out is not None and math.isfinite(held_out) else ""
    away = result.unigram_entropy - result.final_loss
    compared = f"{significant(abs(away), 2)} {'below' if away >= 0 else 'above'} what token frequencies alone give"
    return f"It reached a loss of {significant(result.final_loss)}{shown}, {compared}."


def _ended(record: RunRecord) -> str:
    if record.run.state in (RunState.FAILED, RunState.CANCELLED, RunState.CANCELLING) and record.run.reason:
        return f"Reason: {sentence(record.run.reason)}"
    return ""
