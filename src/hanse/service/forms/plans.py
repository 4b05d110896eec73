"""A plan that was uploaded, as `hanse plan --json` writes it: alone, or with the scaling table beside it."""

from __future__ import annotations

import json

from pydantic import ValidationError

from hanse.contracts.application import Draft
from hanse.contracts.errors import UsageError
from hanse.contracts.plan import Plan
from hanse.contracts.scaling import ScalingTable
from hanse.machines import catalogue
from hanse.programme.filling import fill
from hanse.rules import prefill

MOST_BYTES = 2 * 1024 * 1024
_COMPUTATION = "training-flops"


def filled(draft: Draft, content: bytes) -> Draft:
    """The draft filled from the plan: hours, jobs, storage, months, scaling, and the questions a plan answers.

    Raises:
        UsageError: this is not a plan, or plan and scaling table do not belong together.
    """
    plan, scaling = read(content)
    machine = catalogue.load(plan.machine) if plan.machine in catalogue.ids() else None
    made = fill(draft, plan, machine=machine, scaling=scaling)
    known = prefill.from_workload(plan.workload)
    answers = {_COMPUTATION: known.facts["training_flops"], **prefill.fill(made.answers, known)}
    return made.model_copy(update={"answers": answers})


def read(content: bytes) -> tuple[Plan, ScalingTable | None]:
    """Raises UsageError where it is none."""
    try:
        facts = json.loads(content.decode("utf-8"))
        whole = facts if isinstance(facts, dict) and "plan" in facts else {"plan": facts}
        scaling = whole.get("scaling")
        table = ScalingTable.model_validate_json(json.dumps(scaling)) if scaling else None
        return Plan.model_validate_json(json.dumps(whole["plan"])), table
    except (ValueError, ValidationError, RecursionError):
        fix = "Make one: hanse plan train.yaml --scaling strong --json > plan.json"
        raise UsageError("This is not a plan as 'hanse plan --json' writes it.", where="plan", fix=fix) from None
