"""How often the service's wishes of each machine have changed: what agents' cursors count."""

from __future__ import annotations

from django.db import models


class Revision(models.Model):
    """How often the service's wishes of a machine have changed.

    A row of its own, taken last of all locks: an agent's sync holds its machine's row while it waits for a run's, so
    one that holds a run must not wait for a machine's. Held until the change is committed: revisions appear in order.
    """

    machine = models.OneToOneField("runs.Machine", on_delete=models.CASCADE, primary_key=True, related_name="wishes")
    number = models.PositiveBigIntegerField(default=0)

    class Meta:
        app_label = "runs"

    @classmethod
    def next(cls, machine_pk: int) -> int:
        """Needs a transaction."""
        row = cls.objects.filter(pk=machine_pk)
        if not row.update(number=models.F("number") + 1):
            cls.objects.get_or_create(pk=machine_pk)
            row.update(number=models.F("number") + 1)
        return row.values_list("number", flat=True).get()

    @classmethod
    def of(cls, machine_pk: int) -> int:
        return cls.objects.filter(pk=machine_pk).values_list("number", flat=True).first() or 0
