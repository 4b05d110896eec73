"""The public register: who was granted compute, how much, where and for what kind of call, and how much of it was used.

An organisation is named if it consented in its application; otherwise its line stands without a name. Hours granted
elsewhere and only metered here are in the register of whoever granted them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db.models import BooleanField, Case, CharField, Count, F, QuerySet, Sum, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce

from hanse.service.access.models import Allocation
from hanse.service.awarding.models import Movement

MOST_NAMED = 10
KEPT = 256
"""Sums that each process keeps, of what readers narrow down to."""
_FORM, _CALL = "award__application__form", "award__application__call__terms"


def _fact(name: str, document: str, key: str) -> Coalesce:
    """As it was written down when the application was sent; read from its form only where it was not yet."""
    return Coalesce(F(f"award__application__facts__{name}"), _text(key, document), output_field=CharField())


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


_MODE, _COUNTRY = _fact("mode", _CALL, "mode"), _fact("country", _FORM, "country")


def rows(wanted: Wanted) -> QuerySet[Any]:
    """The allocations that awards opened, the latest first; `lines` reads a slice of them."""
    found = Allocation.objects.filter(award__isnull=False)
    if wanted.mode:
        found = found.alias(mode=_MODE).filter(mode=wanted.mode)
    if wanted.country:
        found = found.alias(country=_COUNTRY).filter(country=wanted.country)
    if wanted.machine:
        found = found.filter(machine__public_id=wanted.machine)
    if wanted.year:
        found = found.filter(starts__year=wanted.year)
    return found.order_by("-pk")


def lines(part: QuerySet[Any]) -> list[Line]:
    """A slice of `rows`: found by its keys first, so that of what is skipped nothing is read."""
    agreed = {f"{_FORM}__whole__declarations__names_may_be_published": True}
    consent = Case(When(**agreed, then=Value(True)), default=Value(False), output_field=BooleanField())
    found = Allocation.objects.filter(pk__in=list(part.values_list("pk", flat=True))).annotate(
        mode=_MODE, country=_COUNTRY, consent=consent, title=_text("title", _FORM),
        kind=_fact("kind", _FORM, "organisation_kind"),
    )  # fmt: skip
    shown = found.with_balance().order_by("-pk").values(
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


def sums(wanted: Wanted) -> Sums:
    return _kept(_sums, wanted)


def choices() -> dict[str, list[str]]:
    """What the lines can be narrowed down to."""
    return _kept(_choices)


def _sums(wanted: Wanted) -> Sums:
    by_recipient = (
        rows(wanted)
        .order_by()
        .values("award__application__organisation")
        .annotate(seconds=Sum("granted_accelerator_seconds"), lines=Count("pk"))
        .values_list("seconds", "lines")
    )
    found = list(by_recipient)
    amounts = sorted((seconds for seconds, _ in found), reverse=True)
    total = sum(amounts)
    return Sums(
        awards=sum(lines for _, lines in found), recipients=len(amounts), granted_hours=round(total / 3600, 1),
        largest_share=sum(amounts[:MOST_NAMED]) / total if total else None,
    )  # fmt: skip


def _choices() -> dict[str, list[str]]:
    every = rows(Wanted()).order_by().annotate(mode=_MODE, country=_COUNTRY)
    alike = every.values_list("mode", "country", "machine__public_id").distinct()
    modes, countries, machines = map(set, zip(*alike, strict=True)) if (alike := list(alike)) else ((), (), ())
    return {
        "mode": sorted(modes), "country": sorted(countries), "machine": sorted(machines),
        "year": [str(day.year) for day in every.dates("starts", "year", order="DESC")],
    }  # fmt: skip


@lru_cache(maxsize=KEPT)
def _at(counted: Callable[..., Any], asked: tuple[Any, ...], newest: str) -> Any:  # noqa: ARG001
    return counted(*asked)


def _kept(counted: Callable[..., Any], *asked: Any) -> Any:
    """Counted once until hours move: whatever an allocation holds changes only with a movement, whose id is its own."""
    newest = Movement.objects.order_by("-pk").values_list("public_id", flat=True).first()
    return _at(counted, asked, newest) if newest else counted(*asked)
