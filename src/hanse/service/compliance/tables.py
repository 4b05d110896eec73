"""Tables of the watch, drawn with the pieces of the other pages: conditions, permits, changes, computation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.urls import reverse

from hanse.contracts.compliance import ENDINGS
from hanse.contracts.decision import Finding, worst
from hanse.contracts.units import significant
from hanse.reporting.bars import meter
from hanse.reporting.markup import Child, Html, h, join
from hanse.reporting.tables import Column, table
from hanse.reporting.words import Look, badge, plain_date, sentence
from hanse.rules import watch

LOOKS: Final = {
    "open": Look("is-queued", "Open"), "met": Look("is-done", "Met"), "breached": Look("is-failed", "Does not hold"),
    "waived": Look("is-cancelled", "Waived"), "stated": Look("is-queued", "To be confirmed"),
    "confirmed": Look("is-done", "Confirmed"), "withdrawn": Look("is-cancelled", "Withdrawn"),
    "noted": Look("is-outside", "An officer looks"), "asked": Look("is-unknown", "An officer decides"),
    "accepted": Look("is-done", "Accepted"), "refused": Look("is-declined", "Not accepted"),
}  # fmt: skip


def conditions(rows: Iterable[Any]) -> Html:
    lines: list[tuple[Child, ...]] = []
    for one in rows:
        name = h("a", one.text, href=reverse("compliance:condition", args=[one.public_id]), lang=language_of(one))
        cited = h("small", one.citation.split(" · ")[0], lang="en") if one.citation else None
        said = one.evidence or sentence(one.reason)
        by = h("small", f"Said by {one.said_by}.") if one.said_by and said else None
        due = plain_date(one.due) if one.due else ""
        lines.append((join(name, cited), badge(LOOKS[one.state]), due, join(said, by) if said else ""))
    return table(("Condition", "State", "Due", "What shows it"), lines)


def language_of(condition: Any) -> str | None:
    """What a rule or an officer wrote stands as they wrote it; the house's own condition is said in each language."""
    return None if condition.kind == "data" else "en"


def permits(rows: Iterable[Any]) -> Html:
    lines: list[tuple[Child, ...]] = [
        (
            h("a", f"{one.form.number}, {one.form.issuer}", href=reverse("compliance:permit", args=[one.public_id])),
            badge(LOOKS[one.state]), plain_date(one.valid_until), ", ".join(one.form.datasets),
            ", ".join(one.form.machines),
        )
        for one in rows
    ]  # fmt: skip
    return table(("Permit", "State", "Valid until", "Datasets", "Where"), lines)


def changes(rows: Iterable[Any]) -> Html:
    lines: list[tuple[Child, ...]] = [
        (
            h("a", what(one), href=reverse("compliance:change", args=[one.public_id])), badge(LOOKS[one.state]),
            ENDINGS[one.decision.verdict], sentence(one.reason),
        )
        for one in rows
    ]  # fmt: skip
    return table(("What changed", "State", "The gate says", "The officer's reason"), lines)


def what(change: Any) -> str:
    """'Purpose: “Sort people” instead of “Sort letters”.'"""
    return " ".join(
        f"{one['what'].capitalize()}: “{one['now']}” instead of “{one['was']}”." for one in change.differences
    )


def gate_of(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The gate's own findings that say more than pass."""
    return tuple(one for one in findings if not one.rule.startswith("call.") and one.verdict != "allow")


def ending(findings: Iterable[Finding]) -> str:
    return ENDINGS[worst(gate_of(findings))]


def compute(seen: Any, total: float, thresholds: Iterable[watch.Threshold]) -> Html:
    """Both formulas, and the award's sum beside each threshold."""
    rows: list[tuple[Child, ...]] = [
        ("By architecture: parameters and tokens so far", _flop(seen.architecture_flops)),
        ("By hardware: accelerator-time, peak and measured use", _flop(seen.hardware_flops)),
        ("All runs of the award together", _flop(total)),
    ]
    parts: list[Child] = [table(("Computation", Column("FLOP", True)), rows, keep=True)]
    for one in thresholds:
        share = (total + one.before) / one.flops
        said = f"{share:.1%} of {one.what}" if share >= 0.0005 else f"less than 0.1 % of {one.what}"
        bar = meter(said, total=one.flops, used=min(total + one.before, one.flops))
        parts.append(h("div", h("p", f"{said}. {one.citation}.", class_="small muted"), bar, class_="field"))
    return join(*parts)


def _flop(value: float | None) -> str:
    return (
        "not known"
        if value is None
        else "0"
        if not value
        else f"{significant(value)}"
        if value < 1e6
        else f"{value:.2e}"
    )
