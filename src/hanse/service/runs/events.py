"""What happened, by whom and why. Events are only ever added, each in the transaction of what it tells."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NoReturn

from django.db import models

from hanse.contracts import event as contract
from hanse.contracts.base import now

REASON_LENGTH = 2000
NOTED_EVERY = timedelta(hours=1)


class AppendOnlyQuerySet(models.QuerySet):
    """Refuses to change or drop what was written."""

    def update(self, **_fields: Any) -> NoReturn:
        raise TypeError(f"{self.model.__name__} is append-only")

    def delete(self) -> NoReturn:
        raise TypeError(f"{self.model.__name__} is append-only")


class AppendOnly(models.Model):
    """A row that is written once."""

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **options: Any) -> None:
        if self.pk is not None:
            raise TypeError(f"{type(self).__name__} is append-only")
        super().save(*args, **options)

    def delete(self, *_args: Any, **_options: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is append-only")


class Event(AppendOnly):
    name = models.CharField(max_length=80)
    subject_id = models.CharField(max_length=63, db_index=True)
    actor = models.CharField(max_length=150)
    reason = models.TextField(blank=True)
    at = models.DateTimeField(db_index=True)
    data = models.JSONField(default=dict)

    class Meta:
        app_label = "runs"
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.name} {self.subject_id}"

    @classmethod
    def record(cls, name: str, subject_id: str, *, by: str, reason: str = "", **data: Any) -> Event:
        """Write one event; its name is `source:subject:action`."""
        checked = contract.Event(
            name=name, subject_id=subject_id, actor=by, reason=reason[:REASON_LENGTH], at=now(), data=data
        )
        fields = checked.model_dump(mode="python")
        return cls.objects.create(**fields)

    @classmethod
    def note(cls, name: str, subject_id: str, *, by: str, reason: str, **data: Any) -> None:
        """Record what a party keeps repeating only if it was not recorded, for the same reason, within the hour."""
        lately = cls.objects.filter(name=name, subject_id=subject_id, at__gte=now() - NOTED_EVERY)
        if not lately.filter(reason=reason[:REASON_LENGTH]).exists():
            cls.record(name, subject_id, by=by, reason=reason, **data)

    def contract(self) -> contract.Event:
        return contract.Event(
            name=self.name, subject_id=self.subject_id, actor=self.actor, reason=self.reason, at=self.at, data=self.data
        )
