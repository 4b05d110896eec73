"""What the figures are counted by, of every application: written once, as the form never changes after it is sent.

Counting over fifty thousand forms would read each of them; these rows hold only what is grouped by.
"""

from __future__ import annotations

from typing import Any

from django.db import models

from hanse.service.access.models import Application

AT_ONCE = 500


class ApplicationFacts(models.Model):
    """`field` is the panel with the largest share, empty where the form names none."""

    application = models.OneToOneField(
        "access.Application", on_delete=models.CASCADE, primary_key=True, related_name="facts"
    )
    mode = models.CharField(max_length=63, db_index=True)
    country = models.CharField(max_length=2)
    kind = models.CharField(max_length=20)
    field = models.CharField(max_length=63, blank=True)
    machine = models.CharField(max_length=63)
    asked_gpu_hours = models.PositiveBigIntegerField()

    class Meta:
        app_label = "monitoring"

    def __str__(self) -> str:
        return f"{self.application_id}: {self.mode}, {self.country}"

    @classmethod
    def of(cls, application: Any) -> ApplicationFacts:
        form = application.form
        panels = form.whole.project.fields if form.whole else ()
        return cls(
            application_id=application.pk,
            mode=application.call.terms.mode,
            country=form.country,
            kind=form.organisation_kind,
            field=max(panels, key=lambda one: one.share or 0).panel if panels else "",
            machine=form.machine,
            asked_gpu_hours=form.gpu_hours,
        )

    @classmethod
    def catch_up(cls) -> int:
        """Write those that are missing; how many there were. Idempotent, and safe beside another that does it."""
        written = 0
        while missing := list(Application.objects.filter(facts=None).select_related("call").order_by("pk")[:AT_ONCE]):
            cls.objects.bulk_create([cls.of(one) for one in missing], ignore_conflicts=True)
            written += len(missing)
        return written


def note(sender: Any, instance: Any, created: bool, **_more: Any) -> None:  # noqa: ARG001
    """With every new application, in its transaction."""
    if created:
        ApplicationFacts.objects.bulk_create([ApplicationFacts.of(instance)], ignore_conflicts=True)
