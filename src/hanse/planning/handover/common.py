"""What all hand-overs share: what one is, how a tool refuses, and facts of a plan that tools count in their own way."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.contracts.errors import UsageError
from hanse.contracts.plan import Plan
from hanse.contracts.units import NBSP, format_seconds, significant
from hanse.contracts.workload import ModelShape
from hanse.planning import stages


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """A file for another program. `notes` say what that file has no place for."""

    tool: str
    file_name: str
    text: str
    notes: tuple[str, ...] = ()


def refuse(plan: Plan, tool: str, what: str, fix: str) -> UsageError:
    """`what` completes the sentence 'Accelerate cannot …'."""
    return UsageError(f"{tool} cannot {what}.", where=f"layout {plan.layout.describe()}", fix=fix)


def shape_of(plan: Plan, tool: str) -> ModelShape:
    """The dimensions a tool builds the model from. Raises UsageError where they are not known."""
    if plan.workload.shape is None:
        raise refuse(plan, tool, "build a module that Hanse knows by its size only", "Give the model's dimensions.")
    return plan.workload.shape


def no_lora(plan: Plan, tool: str) -> None:
    if plan.workload.training == "lora":
        raise refuse(
            plan, tool, "train adapters by this configuration alone", "Take deepspeed or accelerate with PEFT."
        )


def stage_layers(plan: Plan, shape: ModelShape) -> tuple[int, ...]:
    """Layers of every stage in the model's order; left open, as the planner divides them."""
    layout = plan.layout
    if layout.stages:
        return layout.stages
    return stages.even(shape.layers, layout.pp * layout.chunks)


def checkpoint_steps(plan: Plan) -> int | None:
    """Steps between two checkpoints that lose least to failures; None where that was not worked out."""
    if plan.goodput is None:
        return None
    return max(1, round(plan.goodput.checkpoint_every_s / plan.step_time.total_s.expected))


def heading(plan: Plan) -> tuple[str, ...]:
    """What every file says at its top, a line each."""
    step = plan.step_time.total_s
    tokens = significant(plan.tokens_per_s.expected)
    lines = (
        f"{plan.workload.name} on {plan.machine}: {plan.layout.describe()}",
        f"Planned by Hanse: {format_seconds(step.expected)} a step "
        f"({format_seconds(step.low)} to {format_seconds(step.high)}, four times in five), {tokens} tokens/s",
    )
    return tuple(line.replace(NBSP, " ") for line in lines)


def comment(*lines: str) -> str:
    return "".join(f"# {line}\n" for line in lines)
