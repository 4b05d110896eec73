"""The public register: who was granted compute, how much, where and for what kind of call, and how much of it was used.

An organisation is named if it consented in its application; otherwise its line stands without a name. Hours granted
elsewhere and only metered here are in the register of whoever granted them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import BooleanField, Case, CharField, QuerySet, Sum, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from hanse.service.access.models import Allocation

MOST_NAMED = 10
_FORM, _CALL = "award__application__form", "award__application__call__terms"


def _text(key: str, document: str) -> Cast:
    """A plain text, which can be compared with one."""
    return Cast(KeyTextTransform(key, document), CharField())


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One allocation. Hours are GPU-hours; `organisation` and `title` are None without consent."""

    organisation: str | None
    title: str | None
    kind: str
    country: str
    mode: str
    machine: str
    granted_hours: float
    used_hours: float
    since: str
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a reader asked to see; empty: everything."""

    mode: str = ""
    country: str = ""
    machine: str = ""
    year: int | None = None


def rows(wanted: Wanted) -> QuerySet[Any]:
    """The allocations that awards opened, the latest first, as `line` reads them."""
    agreed = {f"{_FORM}__whole__declarations__names_may_be_published": True}
    consent = Case(When(**agreed, then=Value(True)), default=Value(False), output_field=BooleanField())
    found = Allocation.objects.filter(award__isnull=False)
    found = found.annotate(mode=_text("mode", _CALL), country=_text("country", _FORM))
    given = {"mode": wanted.mode, "country": wanted.country, "machine__public_id": wanted.machine,
             "starts__year": wanted.year}  # fmt: skip
    found = found.filter(**{name: value for name, value in given.items() if value})
    return found.annotate(
        consent=consent, kind=_text("organisation_kind", _FORM), title=_text("title", _FORM),
    ).order_by("-pk")  # fmt: skip


def lines(part: QuerySet[Any]) -> list[Line]:
    """A slice of `rows`."""
    shown = part.with_balance().values(
        "consent", "title", "kind", "country", "mode", "machine__public_id", "granted_accelerator_seconds", "used",
        "starts", "ends", "award__application__organisation__name",
    )  # fmt: skip
    return [
        Line(
            organisation=row["award__application__organisation__name"] if row["consent"] else None,
            title=row["title"] if row["consent"] else None, kind=row["kind"], country=row["country"],
            mode=row["mode"], machine=row["machine__public_id"],
            granted_hours=round(row["granted_accelerator_seconds"] / 3600, 1),
            used_hours=round(row["used"] / 3600, 1), since=row["starts"].isoformat(), until=row["ends"].isoformat(),
        )
        for row in shown
    ]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Over all lines asked for. `largest_share`: what the ten largest recipients hold of it; None of nothing."""

    awards: int
    recipients: int
    granted_hours: float
    largest_share: float | None


def sums(found: QuerySet[Any]) -> Sums:
    by_recipient = (
        found.order_by()
        .values("award__application__organisation")
        .annotate(seconds=Sum("granted_accelerator_seconds"))
        .values_list("seconds", flat=True)
    )
    amounts = sorted(by_recipient, reverse=True)
    total = sum(amounts)
    return Sums(
        awards=found.count(), recipients=len(amounts), granted_hours=round(total / 3600, 1),
        largest_share=sum(amounts[:MOST_NAMED]) / total if total else None,
    )  # fmt: skip


def choices() -> dict[str, list[str]]:
    """What the lines can be narrowed down to."""
    granted = Allocation.objects.filter(award__isnull=False).order_by()
    terms = granted.annotate(mode=_text("mode", _CALL), country=_text("country", _FORM))
    return {
        "mode": sorted(set(terms.values_list("mode", flat=True).distinct())),
        "country": sorted(set(terms.values_list("country", flat=True).distinct())),
        "machine": sorted(set(granted.values_list("machine__public_id", flat=True).distinct())),
        "year": [str(day.year) for day in granted.dates("starts", "year", order="DESC")],
    }
