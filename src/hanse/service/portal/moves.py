"""Of a run that may use several machines: why it went where it did, what was tried, what is carried, what it cost."""

from __future__ import annotations

from typing import Any

from hanse.contracts.placement import Placement
from hanse.contracts.units import (
    SECONDS_PER_HOUR,
    format_bytes,
    format_gpu_hours,
    format_seconds,
    hours_of,
    significant,
)
from hanse.reporting.bars import meter
from hanse.reporting.markup import Child, Html, h, join
from hanse.reporting.measured import hours
from hanse.reporting.tables import Column, table
from hanse.reporting.words import Look, badge, sentence, when
from hanse.service.runs.parcels import WAITED_FOR

_THERE = {True: "yes", False: "no", None: ""}
_KINDS = {"checkpoint": "Checkpoint", "data": "Data", "outer": "Outer steps"}
_LOOKS = {
    "asked": Look("is-queued", "Asked for"),
    "packing": Look("is-starting", "Being packed"),
    "moving": Look("is-running", "On its way"),
    "ready": Look("is-running", "Being fetched"),
    "arrived": Look("is-done", "Arrived"),
    "failed": Look("is-failed", "Did not come"),
}


def why_here(placement: Placement | None, names: dict[str, str]) -> Html | None:
    """The choice that was made at launch or when it last moved, with its alternatives in the order of preference."""
    if placement is None:
        return None
    rows: list[tuple[Child, ...]] = [
        (
            names.get(one.machine, one.machine),
            f"{one.nodes:,}",
            format_seconds(one.step_time_s.expected) if one.step_time_s else "",
            f"in {'' if one.wait_known else 'perhaps '}{format_seconds(one.wait_s.expected)}"
            if one.wait_s.expected >= 1
            else "at once",
            f"in {format_seconds(one.finish_s.expected)}" if one.finish_s else "",
            hours(one.accelerator_seconds) if one.accelerator_seconds is not None else "",
            hours(one.free_accelerator_seconds) if one.free_accelerator_seconds is not None else "",
            f"{significant(one.site_amount)} {hours_of(one.site_unit)}"
            if one.site_amount is not None and one.site_unit
            else "",
            _THERE[one.data_there],
            " ".join(sentence(reason) for reason in one.reasons),
        )
        for one in placement.options
    ]
    columns = (
        "Machine", Column("Nodes", True), Column("A step", True), "Would start", "Would end",
        Column("GPU-hours", True), Column("Free", True), "In the site's unit", "Data there", "Because",
    )  # fmt: skip
    refused = [
        h("li", h("b", names.get(one.machine, one.machine)), f": {sentence(one.reason)}") for one in placement.unusable
    ]
    return join(
        h("p", sentence(placement.why), h("span", " Decided ", when(placement.decided_at), ".", class_="muted")),
        table(columns, rows),
        h("ul", refused, class_="list") if refused else None,
    )


def tried(legs: list[Any], names: dict[str, str]) -> Html | None:
    """Machines the run has left, or lost a leg on, and why; None where there are none."""
    left = [leg for leg in legs if leg.left_because]
    if not left:
        return None
    lines = [
        h("li", h("b", names.get(leg.machine.public_id, leg.machine.public_id)), f": {sentence(leg.left_because)}")
        for leg in left
    ]
    if left[0].slot:
        return join(h("p", "These legs were lost; the others go on without them:"), h("ul", lines, class_="list"))
    now_at = legs[-1].machine.public_id
    return join(h("p", f"It is on {names.get(now_at, now_at)} now, having tried:"), h("ul", lines, class_="list"))


def parcels(run: Any, names: dict[str, str]) -> Html | None:
    """What is carried between its machines, with how much of it has come."""
    rows: list[tuple[Child, ...]] = []
    for one in run.parcels.all():
        source, target = one.from_machine.public_id, one.to_machine.public_id
        step = f", step {one.step:,}" if one.step is not None else ""
        rows.append((
            f"{_KINDS.get(one.kind, one.kind)}{step}",
            f"{names.get(source, source)} to {names.get(target, target)}",
            badge(_LOOKS[one.state]),
            join(h("p", _carried(one)), _progress(one)) if one.times else _progress(one),
            when(one.ordered_at),
            sentence(one.reason),
        ))  # fmt: skip
    columns = ("What", "From where to where", "State", "Carried", "Asked for", "Note")
    return table(columns, rows) if rows else None


def _carried(one: Any) -> str:
    """Of a parcel that is ordered again and again."""
    return f"{one.times:,} times, {format_bytes(one.carried_bytes)} in all"


def _progress(one: Any) -> Child:
    """First to the service, then from it: a machine's agent speaks to nobody else."""
    if not one.total_bytes:
        return ""
    coming = one.state in WAITED_FOR
    done = (
        one.total_bytes
        if one.state == "arrived"
        else min(one.sent_bytes if coming else one.fetched_bytes, one.total_bytes)
    )
    said = f"{format_bytes(done)} of {format_bytes(one.total_bytes)} {'sent' if coming else 'fetched'}"
    if one.state in ("arrived", "failed"):
        return format_bytes(one.total_bytes) if one.state == "arrived" else said
    return join(meter(said, total=one.total_bytes, used=done), h("small", said))


def cost(run: Any, legs: list[Any]) -> str:
    """What it used so far beside what its plan said, in GPU-hours and in each site's unit."""
    held = {leg.pk: sum(each.accelerator_seconds for each in leg.attempts.all()) for leg in legs}
    used = sum(held.values())
    amounts: dict[str, float] = {}
    for leg in legs:
        facts = leg.machine.facts
        if facts is None or facts.billing is None or facts.billing.unit == "GPU-hour" or not held[leg.pk]:
            continue
        a_second = facts.billing.units_per_node_hour / SECONDS_PER_HOUR / facts.accelerators_per_node
        named = f"{hours_of(facts.billing.unit)} of {facts.name}"
        amounts[named] = amounts.get(named, 0.0) + held[leg.pk] * a_second
    billed = " and ".join(f"{significant(amount)} {unit}" for unit, amount in amounts.items())
    said = f"{format_gpu_hours(used)} used so far{f', about {billed}' if billed else ''}"
    plans = {leg.slot: leg.plan for leg in legs} if run.across else {"": run.plan}
    expected = sum(plan.accelerator_seconds for plan in plans.values() if plan is not None)
    return f"{said}; the plan expects {format_gpu_hours(expected)} for the whole run." if expected else f"{said}."
