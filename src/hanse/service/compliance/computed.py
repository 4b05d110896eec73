"""Rows of the watch: what was last seen of a run's computation, and which thresholds were told."""

from __future__ import annotations

from django.db import models

from hanse.service.records import ContractField


class RunCompute(models.Model):
    """What was last seen of one run's computation."""

    run = models.OneToOneField("runs.Run", on_delete=models.PROTECT, related_name="compute_seen")
    award = models.ForeignKey("access.Award", on_delete=models.PROTECT, related_name="compute_seen")
    seen = ContractField(contract="hanse.contracts.watch.ComputeSeen")
    flops = models.FloatField(default=0.0)
    at = models.DateTimeField()
    final = models.BooleanField(default=False)

    class Meta:
        app_label = "compliance"

    def __str__(self) -> str:
        return f"{self.run} {self.flops:.3g} FLOP"


class ThresholdMark(models.Model):
    """That an award came near a threshold, or crossed it, was told: once each."""

    award = models.ForeignKey("access.Award", on_delete=models.PROTECT, related_name="marks")
    threshold = models.CharField(max_length=40)
    level = models.CharField(max_length=10)
    flops = models.FloatField()
    run = models.ForeignKey("runs.Run", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    at = models.DateTimeField()

    class Meta:
        app_label = "compliance"
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["award", "threshold", "level"], name="threshold_told_once"),
        ]

    def __str__(self) -> str:
        return f"{self.award} {self.threshold} {self.level}"
