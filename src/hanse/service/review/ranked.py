"""A round that was closed, with the recommendations that were computed then: written once and never changed.

Closing computes and keeps the ranking in one transaction, so that decisions that fall later refill no place.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import models

from hanse.contracts.base import now
from hanse.service.access.models import Application, Person
from hanse.service.records import ContractField, PublicIdField
from hanse.service.runs.events import AppendOnly

TRANSITIONS: Mapping[str, frozenset[str]] = {"open": frozenset({"closed"}), "closed": frozenset()}


class Round(models.Model):
    """All applications of one call's cut-off. A row exists from the first act on the round as a whole."""

    public_id = PublicIdField(prefix="rnd")
    call_id = models.CharField(max_length=63)
    cut_off = models.DateTimeField()
    state = models.CharField(max_length=6, choices=[(one, one) for one in TRANSITIONS], default="open")
    rules = ContractField(contract="hanse.contracts.review.ReviewRules", null=True, blank=True)
    """As they held on closing."""
    places = models.PositiveIntegerField(null=True, blank=True)
    """As many as it recommends, set on closing."""
    reserve = models.PositiveIntegerField(null=True, blank=True)
    """The length of its reserve list; empty: all who pass."""
    outside = models.PositiveIntegerField(default=0)
    """Places that were granted before, to applications nobody scored."""
    reply_until = models.DateTimeField(null=True, blank=True)
    """Until when applicants may answer their reviewers."""
    opened_at = models.DateTimeField(default=now)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        app_label = "review"
        ordering = ["-cut_off", "call_id"]
        verbose_name = "round"
        constraints = [models.UniqueConstraint(fields=["call_id", "cut_off"], name="round_once")]

    def __str__(self) -> str:
        return f"{self.call_id} {self.cut_off:%Y-%m-%d}"

    @classmethod
    def kept(cls, call: str, cut_off: datetime) -> Round:
        """The round's row, made where there is none; call it inside a transaction that writes."""
        return cls.objects.get_or_create(call_id=call, cut_off=cut_off)[0]

    @classmethod
    def at(cls, call: str, cut_off: datetime | None) -> Round | None:
        rows = cls.objects.select_related("closed_by")
        return rows.filter(call_id=call, cut_off=cut_off).first() if cut_off else None

    @classmethod
    def of(cls, application: Any) -> Round | None:
        return cls.at(application.call.call_id, application.cut_off)


class Recommendation(AppendOnly):
    """Where the ranking put one application of a closed round."""

    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="recommendations")
    application = models.ForeignKey(Application, on_delete=models.PROTECT, related_name="recommendations")
    place = models.PositiveIntegerField()
    total = models.FloatField()
    """Share of the highest weighted total."""
    means = models.JSONField(default=dict)
    """Mean points by criterion."""
    standing = models.CharField(max_length=8, choices=[(one, one) for one in ("grant", "reserve", "below")])
    reserve = models.PositiveIntegerField(null=True, blank=True)
    """Its place on the reserve list, from 1."""

    class Meta:
        app_label = "review"
        ordering = ["round", "place"]
        constraints = [
            models.UniqueConstraint(fields=["round", "application"], name="recommended_once"),
            models.UniqueConstraint(fields=["round", "place"], name="place_once"),
        ]

    def __str__(self) -> str:
        return f"{self.round}: {self.place}"
