"""What was brought in, by the names it has there: so that the same award is known again, and what it stated then."""

from __future__ import annotations

from django.db import models

from hanse.service.access.models import Allocation, Award, Organisation


class ImportedAward(models.Model):
    """An award by its source and reference."""

    source = models.CharField(max_length=63)
    reference = models.CharField(max_length=200)
    url = models.CharField(max_length=500, blank=True)
    award = models.OneToOneField(Award, on_delete=models.PROTECT, related_name="imported")
    contact_joined = models.BooleanField(default=False)
    """Whether the person who was named as its contact is here; until then the officer stands as who filed it."""

    class Meta:
        app_label = "imports"
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["source", "reference"], name="imported_award_once")]

    def __str__(self) -> str:
        return f"{self.source} {self.reference}"


class ImportedPart(models.Model):
    """One allocation of it, as it was last stated there. What the allocation holds since is its own matter."""

    imported = models.ForeignKey(ImportedAward, on_delete=models.PROTECT, related_name="parts")
    machine = models.CharField(max_length=63)
    partition = models.CharField(max_length=63, blank=True)
    part = models.CharField(max_length=200, blank=True)
    allocation = models.OneToOneField(Allocation, on_delete=models.PROTECT, related_name="imported_part")
    stated_gpu_hours = models.PositiveBigIntegerField()
    stated_starts = models.DateField()
    stated_ends = models.DateField()

    class Meta:
        app_label = "imports"
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["imported", "machine", "partition", "part"], name="imported_part_once")
        ]

    def __str__(self) -> str:
        return f"{self.imported} on {self.machine} {self.partition}".rstrip()


class OrganisationNumber(models.Model):
    """A PIC or VAT number that an import named, by which the organisation is known again."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="numbers")
    kind = models.CharField(max_length=3, choices=[("pic", "PIC"), ("vat", "VAT number")])
    value = models.CharField(max_length=20)

    class Meta:
        app_label = "imports"
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["kind", "value"], name="organisation_number_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"
