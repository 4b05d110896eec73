"""What it adds to the portal's pages; each panel is HTML that is safe as it stands, or nothing."""

from __future__ import annotations

from typing import Any

from django import template
from django.db.models import OuterRef, Subquery, Sum
from django.template.loader import render_to_string

from hanse.service.compliance import releases, tables, watching
from hanse.service.compliance.models import Condition, Permit, Rescreening, RunChange, RunCompute

register = template.Library()


@register.simple_tag(takes_context=True)
def application_conditions(context: Any, application: Any) -> str:
    """What is watched of its award, and what today's rules would say of its answers."""
    award = getattr(application, "award", None)
    rows = Rescreening.objects.filter(screening__application=application).select_related("answer").order_by("-pk")
    latest = rows.first() if getattr(application, "rescreened", True) else None
    if award is None and latest is None:
        return ""
    shown: dict[str, Any] = {"application": application, "person": context["request"].user, "latest": latest}
    if latest is not None:
        shown |= {
            "answer": getattr(latest, "answer", None),
            "was": tables.ending(application.screening.decision.findings),
            "is_now": tables.ending(latest.decision.findings),
        }
    if award is not None:
        rows = list(Condition.objects.filter(award=award))
        changed = list(RunChange.objects.filter(award=award))
        held = list(Permit.objects.filter(award=award))
        shown |= {
            "conditions": tables.conditions(rows) if rows else None,
            "changes": tables.changes(changed) if changed else None,
            "permits": tables.permits(held) if held else None,
            "award": award,
        }
    return render_to_string("compliance/application_panel.html", shown, request=context["request"])


@register.simple_tag(takes_context=True)
def allocation_conditions(context: Any, allocation: Any) -> str:
    """How the conditions of its award stand, and how much was computed under it."""
    award = allocation.award
    rows = list(Condition.objects.filter(award=award)) if award is not None else []
    if not rows:
        return ""
    return render_to_string(
        "compliance/allocation_panel.html",
        {"conditions": tables.conditions(rows), "application": award.application},
        request=context["request"],
    )


@register.simple_tag(takes_context=True)
def run_conditions(context: Any, run: Any) -> str:
    """Its computation beside the thresholds, its evaluations and what was published of it."""
    of_award = RunCompute.objects.filter(award=OuterRef("award")).order_by().values("award")
    whole = Subquery(of_award.annotate(sum=Sum("flops")).values("sum"))
    rows = RunCompute.objects.filter(run=run).select_related("award__application__screening")
    seen = rows.annotate(of_award=whole).first()
    evaluated = releases.evaluations_of(run)
    released = releases.evidence(run) if run.state == "finished" else None  # no other can be published
    if seen is None and not evaluated and released is None:
        return ""
    figure = None
    if seen is not None:
        figure = tables.compute(seen.seen, seen.of_award or 0.0, watching.thresholds_of(seen.award, (run.spec,)))
    return render_to_string(
        "compliance/run_panel.html",
        {"compute": figure, "evaluations": evaluated, "release": released},
        request=context["request"],
    )
