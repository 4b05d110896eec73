"""How machines look on the pages: a badge, bricks for nodes, queues, waits and maintenance, as their agents told."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from django.conf import settings
from django.db.models import IntegerField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from hanse.contracts.base import now
from hanse.contracts.site import MachineState
from hanse.contracts.units import format_seconds
from hanse.reporting.markup import Child, Html, h, join
from hanse.reporting.tables import Column, table
from hanse.reporting.words import Look, badge, plural, sentence, short_time, when
from hanse.service.kept import Kept
from hanse.service.runs.models import Attempt, Machine

BRICKS = 40
"""Drawn at most in a course; a larger machine has several nodes a brick."""
HISTORY = timedelta(days=30)
HISTORY_ATTEMPTS = 2_000
STALE_AFTER = timedelta(minutes=10)
_WAITED = Kept[dict[int, dict[int, list[float]]]](most=1)


def name_of(machine: Machine) -> str:
    return machine.facts.name if machine.facts else machine.public_id


def look_of(machine: Machine, at: datetime) -> Html:
    if machine.last_heard_at is None:
        return badge(Look("is-draft", "Not connected"))
    if machine.stopped:
        return badge(Look("is-cancelled", "Stopped by its operator"))
    if machine.away:
        return badge(Look("is-away", "Agent away"))
    if machine.draining:
        return badge(Look("is-queued", "Draining"))
    state = machine.state
    if state and _maintained(state, at):
        return badge(Look("is-queued", "In maintenance"))
    if state and state.partitions and not any(partition.up for partition in state.partitions):
        return badge(Look("is-outside", "Queues closed"))
    return badge(Look("is-done", "Open"))


def standing(machine: Machine, at: datetime) -> str:
    """One or two sentences: when we last heard, and what follows from it."""
    if machine.last_heard_at is None:
        return "Its agent has not spoken yet; nothing can start there."
    heard = f"Last heard {short_time(machine.last_heard_at)}."
    if machine.stopped:
        return f"{heard} Its operator stopped all of Hanse there; running jobs save a checkpoint and end."
    if machine.away:
        return f"{heard} That is normal: queued work keeps its place, running jobs run on."
    if machine.draining:
        return f"{heard} What runs may end; nothing new is submitted."
    if machine.mode == "observe":
        return f"{heard} Its agent reports and submits nothing."
    if machine.state is None:
        return f"{heard} It does not tell how full it is."
    old = at - machine.state.at > STALE_AFTER
    return f"{heard} Its load is as of {short_time(machine.state.at)}." if old else heard


def bricks(state: MachineState | None) -> Html | None:
    """One brick a node, or a few of them: busy filled, idle empty, out of use hatched."""
    partitions = state.partitions if state else ()
    total = sum(p.nodes for p in partitions)
    if not total:
        return None
    idle, down = sum(p.nodes_idle for p in partitions), sum(p.nodes_down for p in partitions)
    busy = max(0, total - idle - down)
    each = -(-total // BRICKS)
    counts = (("m-used", busy), (None, down), ("m-free", idle))
    said = f"{busy:,} of {plural(total, 'node')} busy, {idle:,} idle, {down:,} out of use"
    shapes, place = [], 0
    for fill, count in counts:
        for _ in range(-(-count // each)):
            x, y = 18 * (place % 20), 12 * (place // 20)
            more = {"fill": "url(#hatch)"} if fill is None else {"class_": "free" if fill == "m-free" else fill}
            shapes.append(h("rect", x=x + 0.5, y=y + 0.5, width=15, height=9, **more))
            place += 1
    rows = -(-place // 20)
    scale = f" One brick is {plural(each, 'node')}." if each > 1 else ""
    drawing = h(
        "svg", shapes, class_="bricks", viewBox=f"0 0 360 {12 * rows}", width=360, height=12 * rows, role="img",
        aria_label=said,
    )  # fmt: skip
    return h("div", drawing, h("p", said + "." + scale, class_="small muted"))


def queues(state: MachineState | None) -> Html | None:
    if not state or not state.partitions:
        return None
    rows: list[tuple[Child, ...]] = [
        (
            p.name,
            badge(Look("is-done", "Up") if p.up else Look("is-cancelled", "Down")) if not p.reason
            else join(badge(Look("is-cancelled", "Down") if not p.up else Look("is-done", "Up")), " ", p.reason),
            f"{p.nodes_idle:,} of {p.nodes:,}",
            f"{p.running_jobs:,}",
            f"{p.pending_jobs:,}",
        )
        for p in state.partitions
    ]  # fmt: skip
    columns = ("Partition", "State", Column("Idle nodes", True), Column("Jobs run", True), Column("Jobs wait", True))
    return table(columns, rows)


def waits(machine: Machine, waited: dict[int, list[float]]) -> Html | None:
    """What the scheduler estimates by size, beside what runs of Hanse waited there (`waited`)."""
    told = machine.state.waits if machine.state else ()
    estimated = sorted((one.nodes, one.wall_time_s, one.partition or "", one.wait_s) for one in told)
    waited = dict(waited)
    sized: list[tuple[int, tuple[Child, ...]]] = [
        (
            nodes,
            (
                plural(nodes, "node"),
                f"{format_seconds(wall_time_s)}{', ' + partition if partition else ''}",
                f"about {format_seconds(wait_s)}" if wait_s else "at once",
                _middle(waited.pop(nodes, [])),
            ),
        )
        for nodes, wall_time_s, partition, wait_s in estimated
    ]
    sized += [(nodes, (plural(nodes, "node"), "", "", _middle(seen))) for nodes, seen in waited.items()]
    rows = [row for _, row in sorted(sized, key=lambda one: one[0])]
    return table(("Size", "For", "A job sent now would wait", "Ours waited, this month"), rows) if rows else None


def maintenance(state: MachineState | None, at: datetime) -> Html | None:
    coming = [m for m in state.maintenance if m.ends > at] if state else []
    if not coming:
        return None
    lines = [
        h("li", m.name, ": ", when(m.starts), " to ", when(m.ends),
          f", {plural(m.nodes, 'node')}" if m.nodes else "", f". {sentence(m.reason)}" if m.reason else "")
        for m in sorted(coming, key=lambda m: m.starts)
    ]  # fmt: skip
    return h("ul", lines, class_="list")


def bad_nodes(state: MachineState | None) -> Html | None:
    if not state or not state.bad_nodes:
        return None
    rows = [(n.name, sentence(n.reason), when(n.since) if n.since else "") for n in state.bad_nodes]
    return table(("Node", "Why it is not used", "Since"), rows)


def _maintained(state: MachineState, at: datetime) -> bool:
    return any(m.starts <= at < m.ends and m.nodes is None for m in state.maintenance)


def waited(at: datetime) -> dict[int, dict[int, list[float]]]:
    """By machine (its key) and nodes: how many seconds the latest of ours waited from planning to start, this month.

    Kept as the officers' figures are: it is the same for every reader, and of two thousand attempts.
    """
    kept_for = timedelta(seconds=settings.FIGURES_KEPT_S)
    return _WAITED.get("", _waited, at=at, kept_for=kept_for) if kept_for else _waited(at)


def _waited(at: datetime) -> dict[int, dict[int, list[float]]]:
    nodes = Cast(KeyTextTransform("nodes", "job"), IntegerField())
    latest = Attempt.objects.filter(pk__in=Attempt.objects.order_by("-pk").values("pk")[:HISTORY_ATTEMPTS])
    started = latest.filter(started_at__gt=at - HISTORY, job_id__isnull=False).order_by("-pk")
    found: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for machine, size, planned_at, started_at in started.values_list("machine", nodes, "planned_at", "started_at"):
        found[machine][size].append(max(0.0, (started_at - planned_at).total_seconds()))
    return {machine: dict(sizes) for machine, sizes in found.items()}


def _middle(seen: list[float]) -> str:
    return f"{format_seconds(median(seen))}, middle of {len(seen)}" if seen else ""


def shown(machine: Machine, waited: dict[int, list[float]]) -> dict[str, Any]:
    """What a machine's card on the federation page holds; `waited` is its part of what `waited()` found."""
    at = now()
    return {
        "machine": machine,
        "name": name_of(machine),
        "look": look_of(machine, at),
        "standing": standing(machine, at),
        "bricks": bricks(machine.state),
        "queues": queues(machine.state),
        "waits": waits(machine, waited),
        "maintenance": maintenance(machine.state, at),
    }
