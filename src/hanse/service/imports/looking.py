"""What is here that rows are held against, and the report of what they would do. Nothing is changed by looking."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from django.conf import settings
from django.db.models.fields.json import KeyTextTransform

from hanse.contracts.awarding import AwardPart
from hanse.contracts.base import now
from hanse.contracts.imports import AwardRow, ImportAsked, ImportReport, RowEffect
from hanse.contracts.units import SECONDS_PER_HOUR
from hanse.programme import formats
from hanse.programme.awards import months_later
from hanse.programme.imports.effects import Done, Here, Part, effects
from hanse.programme.imports.names import Known, Register
from hanse.service.access.models import Allocation, Application, Organisation, Person
from hanse.service.awarding import capacity
from hanse.service.imports.kept import ImportedAward, ImportedPart, OrganisationNumber
from hanse.service.runs.models import Machine

NOTHING = ("same",)


def look(asked: ImportAsked, officers: Sequence[Person]) -> tuple[tuple[Done, ...], ImportReport]:
    """Every row's effect as things are now, for these officers."""
    done = tuple(_with_capacity(effects(asked.rows, here(asked.rows, officers))))
    return done, report(asked, [one.effect for one in done])


def report(asked: ImportAsked, rows: Sequence[RowEffect]) -> ImportReport:
    counts = Counter(one.effect for one in rows)
    left = counts["waits"] + counts["refused"] + len(asked.unread)
    blocked = ""
    if asked.whole and left:
        blocked = f"It is to be brought in whole, and {left} row{'s' if left > 1 else ''} cannot be."
    told = [one.model_dump(mode="json") for one in rows]
    seen = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return ImportReport(
        rows=tuple(rows), unread=asked.unread, missing=_missing(asked), counts=dict(counts), seen=seen,
        changes_something=bool(counts["create"] or counts["change"]), blocked=blocked,
    )  # fmt: skip


def here(rows: Iterable[AwardRow], officers: Sequence[Person]) -> Here:
    every = tuple(rows)
    sources = {row.source for row in every}
    references = {row.reference for row in every}
    known = ImportedAward.objects.filter(source__in=sources, reference__in=references)
    held = {
        (one.source, one.reference): one.award.project.organisation.public_id
        for one in known.select_related("award__project__organisation")
    }
    return Here(
        today=now().date(),
        organisations=organisations(),
        machines={one.public_id: one.facts for one in Machine.objects.all() if one.facts is not None},
        awards=held,
        parts=_parts(known),
        out_of_bounds=_out_of_bounds(officers),
    )


def organisations() -> Register:
    """All of them, with the numbers that earlier imports and applications named."""
    pics, numbers = defaultdict[int, set[str]](set), defaultdict[int, set[str]](set)
    for organisation, kind, value in OrganisationNumber.objects.values_list("organisation", "kind", "value"):
        (pics if kind == "pic" else numbers)[organisation].add(value)
    details = "form__whole__organisation"
    forms = Application.objects.filter(form__whole__isnull=False).order_by().values_list(
        "organisation", KeyTextTransform("pic", details), KeyTextTransform("vat_number", details),
        KeyTextTransform("country", "form"),
    )  # fmt: skip
    for organisation, pic, vat_number, country in forms.iterator():
        if pic:
            pics[organisation].add(pic.replace(" ", ""))
        if vat_number:
            numbers[organisation].add(_written(vat_number, country))
    rows = Organisation.objects.values_list("pk", "public_id", "name")
    return Register(
        Known(id=public_id, name=name, pics=frozenset(pics[pk]), vat_numbers=frozenset(numbers[pk]))
        for pk, public_id, name in rows.iterator()
    )


def _written(vat_number: str, country: str) -> str:
    try:
        return formats.vat(vat_number, country)
    except ValueError:  # as somebody typed it before numbers were checked
        return vat_number


def _parts(known: Any) -> dict[tuple[str, str, str, str, str], Part]:
    rows = ImportedPart.objects.filter(imported__in=known).select_related("imported")
    held = Allocation.objects.with_balance().filter(imported_part__imported__in=known).in_bulk()
    found = {}
    for one in rows:
        allocation = held[one.allocation_id]
        found[(one.imported.source, one.imported.reference, one.machine, one.partition, one.part)] = Part(
            allocation=allocation.public_id, stated_hours=one.stated_gpu_hours, stated_ends=one.stated_ends,
            stated_starts=one.stated_starts, ends=allocation.ends, ended=allocation.ended_at is not None,
            free_hours=allocation.free_accelerator_seconds / SECONDS_PER_HOUR,
        )  # fmt: skip
    return found


def _out_of_bounds(officers: Sequence[Person]) -> dict[str, str]:
    """By the id of the organisation: who may not bring in its awards."""
    if settings.HANSE_EMBEDDED:
        return {}
    found = {}
    for officer in officers:
        for one in Organisation.objects.filter(memberships__person=officer).distinct():
            found[one.public_id] = f"{officer.display_name} stands in {one}: other officers have to bring this one in."
    return found


def months_of(starts: date, ends: date) -> int:
    """Whole months that cover it, at least one."""
    months = max(1, (ends.year - starts.year) * 12 + ends.month - starts.month)
    return months if months_later(starts, months) >= ends else months + 1


def _with_capacity(done: Sequence[Done]) -> list[Done]:
    """What was decided elsewhere stands; that it is more than was offered is said to who confirms it."""
    limited = set(capacity.Capacity.objects.values_list("machine__public_id", flat=True).distinct())
    found = []
    for one in done:
        row = one.row
        if one.effect.effect == "create" and row.machine in limited:
            part = AwardPart(machine=row.machine, partition=row.partition, gpu_hours=one.effect.gpu_hours)
            starts = max(row.starts, now().date())
            short = capacity.shortfalls([part], starts, months_of(starts, row.ends), "even")
            if short:
                months = ", ".join(each.month for several in short.values() for each in several)
                says = (*one.effect.says, f"It takes more than the capacity that is stated for {months}.")
                one = replace(one, effect=one.effect.model_copy(update={"says": says}))
        found.append(one)
    return found


def _missing(asked: ImportAsked) -> tuple[str, ...]:
    """Awards that still run here and that a complete look at their source no longer brought."""
    if not asked.complete:
        return ()
    sources = {row.source for row in asked.rows}
    running = ImportedAward.objects.filter(source__in=sources, parts__allocation__ends__gte=now().date()).distinct()
    seen = {row.award for row in asked.rows}
    return tuple(str(one) for one in running if (one.source, one.reference) not in seen)
