"""Nodes that gave trouble: kept out of a run's further attempts at once, out of everyone's when two runs met it.

A node is blamed by its agent, or by standing in two attempts of a run that lost a node. Trouble is forgotten after
two weeks, or when the site's operator says that the node is mended; never are so many left out that a job finds none.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.db import models

from hanse.client.answers import Trouble
from hanse.contracts.agentapi import Observation
from hanse.contracts.base import now
from hanse.service.records import PublicIdField
from hanse.service.runs.events import Event

EXPIRES_AFTER: Final = timedelta(days=14)
LOST: Final = ("NODE_FAIL", "LAUNCH_FAILED")
"""What a scheduler calls a job that ended because of a node."""
RUNS_UNTIL_ALL: Final = 2
LOSSES_UNTIL_BLAMED: Final = 2


class NodeTrouble(models.Model):
    """What one attempt met on one node."""

    public_id = PublicIdField(prefix="trb")
    machine = models.ForeignKey("runs.Machine", on_delete=models.CASCADE, related_name="trouble")
    node = models.CharField(max_length=253)
    run = models.ForeignKey("runs.Run", on_delete=models.CASCADE, related_name="trouble")
    attempt = models.ForeignKey("runs.Attempt", on_delete=models.CASCADE, related_name="trouble")
    reason = models.TextField(blank=True)
    declared = models.BooleanField(default=True)
    """The agent blames this node; else it stood among others when one of them was lost."""
    at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True, blank=True)
    cleared_by = models.CharField(max_length=150, blank=True)

    class Meta:
        app_label = "runs"
        ordering = ["-pk"]
        verbose_name_plural = "node trouble"
        constraints = [models.UniqueConstraint(fields=["attempt", "node"], name="trouble_once_an_attempt_and_node")]
        indexes = [models.Index(fields=["machine", "at"], name="trouble_machine_at")]

    def __str__(self) -> str:
        return f"{self.node}: {self.reason}"

    def contract(self) -> Trouble:
        return Trouble(
            node=self.node, machine=self.machine.public_id, run_id=self.run.public_id,
            attempt_id=self.attempt.public_id, reason=self.reason, declared=self.declared, at=self.at,
        )  # fmt: skip


def note(attempt: Any, seen: Observation, *, by: str) -> None:
    """Keep what an observation says of nodes; repeating it adds nothing."""
    blamed = {bad.name: (bad.reason, True) for bad in seen.bad_nodes}
    if seen.raw_state.upper().startswith(LOST):
        for node in seen.nodes or attempt.nodes:
            blamed.setdefault(node, (seen.reason or seen.raw_state, False))
    for node, (reason, declared) in blamed.items():
        row, new = NodeTrouble.objects.get_or_create(
            attempt=attempt, node=node,
            defaults={
                "machine_id": attempt.machine_id, "run_id": attempt.leg.run_id, "reason": reason,
                "declared": declared, "at": now(),
            },
        )  # fmt: skip
        if new:
            Event.record(
                "agent:node:trouble", attempt.public_id, by=by, reason=reason, node=node, declared=row.declared
            )


def open_on(machine: Any) -> Any:
    """What counts still."""
    rows = NodeTrouble.objects.select_related("machine", "run", "attempt")
    return rows.filter(machine=machine, cleared_at=None, at__gte=now() - EXPIRES_AFTER)


def blamed(run: Any, machine: Any) -> list[str]:
    """Nodes that a further attempt of the run should keep off, the most blamed first."""
    runs: dict[str, set[int]] = {}
    losses: dict[str, int] = {}
    here: set[str] = set()
    for trouble in open_on(machine):
        own = trouble.run_id == run.pk
        if trouble.declared:
            runs.setdefault(trouble.node, set()).add(trouble.run_id)
            if own:
                here.add(trouble.node)
        elif own:
            losses[trouble.node] = losses.get(trouble.node, 0) + 1
    here |= {node for node, count in losses.items() if count >= LOSSES_UNTIL_BLAMED}
    everywhere = {node for node, met in runs.items() if len(met) >= RUNS_UNTIL_ALL}
    return sorted(here | everywhere, key=lambda node: (-len(runs.get(node, ())), -losses.get(node, 0), node))


def excluded(run: Any, machine: Any, *, needed: int) -> tuple[str, ...]:
    """Of those as many as leave `needed` nodes."""
    ranked = blamed(run, machine)
    spare = len(ranked) if machine.facts.nodes is None else max(0, machine.facts.nodes - needed)
    return tuple(sorted(ranked[:spare]))


def clear(machine: Any, node: str, *, by: str) -> int:
    """The operator says the node is mended; how many entries that closes."""
    cleared: int = open_on(machine).filter(node=node).update(cleared_at=now(), cleared_by=by)
    if cleared:
        Event.record("user:node:cleared", machine.public_id, by=by, node=node)
    return cleared
