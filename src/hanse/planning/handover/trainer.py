"""A plan as the `layout:` of train.yaml, for Hanse's own trainer."""

from __future__ import annotations

import yaml

from hanse.contracts.errors import UsageError
from hanse.contracts.plan import Plan
from hanse.planning.handover.common import Handover, comment, heading
from hanse.planning.supported import refusal


def write(plan: Plan) -> Handover:
    """Raises UsageError for a layout that the trainer does not execute."""
    if (because := refusal(plan.layout, plan.workload)) is not None:
        raise UsageError(
            because, where=f"layout {plan.layout.describe()}", fix="Plan without --whole-space, or export to another."
        )
    layout = {"nodes": plan.layout.nodes} | plan.layout.model_dump(mode="json", exclude_defaults=True)
    text = comment(*heading(plan), "Goes into train.yaml as it stands; the planner then weighs this layout alone.")
    return Handover(
        tool="hanse", file_name="layout.yaml", text=text + yaml.safe_dump({"layout": layout}, sort_keys=False)
    )
