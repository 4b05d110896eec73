"""A run's legs: one for each machine it went to, and for each time a person began it anew."""

from __future__ import annotations

from django.db import models

from hanse.contracts import run as contract
from hanse.service.access.awards import Allocation
from hanse.service.records import ContractField, PublicIdField
from hanse.service.runs.machines import Machine


class Leg(models.Model):
    """A run's part on one machine, charged to one allocation."""

    public_id = PublicIdField(prefix="leg")
    run = models.ForeignKey("runs.Run", on_delete=models.PROTECT, related_name="legs")
    number = models.PositiveIntegerField(default=1)
    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="legs")
    allocation = models.ForeignKey(Allocation, on_delete=models.PROTECT, related_name="legs")
    plan = ContractField(contract="hanse.contracts.plan.Plan", null=True, blank=True)
    """For this machine, where it is not the one the run was launched with a plan for."""
    left_because = models.TextField(blank=True)
    """Why the run went on elsewhere; of one across machines, without this leg."""
    asked = models.BooleanField(default=False)
    """Begun at a person's word, after the run had ended: attempts are counted anew."""
    slot = models.CharField(max_length=63, blank=True)
    """Of a run across machines, its leg's name in the terms. Legs of one slot follow one another, as all legs of an
    ordinary run do (''); those of different slots train at once."""
    result = ContractField(contract="hanse.contracts.telemetry.TrainResult", null=True, blank=True)
    """Of a run across machines, what this leg trained."""

    class Meta:
        app_label = "runs"
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="leg_number_once_a_run")]

    def __str__(self) -> str:
        return self.public_id

    def contract(self) -> contract.Leg:
        return contract.Leg(
            id=self.public_id,
            run_id=self.run.public_id,
            machine=self.machine.public_id,
            allocation_id=self.allocation.public_id,
            attempts=tuple(attempt.contract() for attempt in self.attempts.all()),
            left_because=self.left_because,
        )
