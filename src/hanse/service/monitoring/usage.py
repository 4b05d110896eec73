"""What was used month by month, for reports to a programme: by project, machine and partition, in both units.

A month is Brussels' month in which an entry of the ledger was recorded; the sum over all months is the ledger's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Case, Count, Q, Sum, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import TruncMonth

from hanse.service.runs.models import Machine, UsageEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One month of one allocation. `amount` is in the machine's own `unit`; None where the site publishes none."""

    month: str
    project: str
    reference: str
    """Of the award where it was decided, if that was elsewhere."""
    organisation: str
    country: str
    mode: str
    machine: str
    partition: str
    account: str
    accelerator_seconds: int
    gpu_hours: float
    amount: float | None
    unit: str
    jobs: int
    energy_kwh: float | None
    energy_estimated: bool


def months(first: date | None = None, last: date | None = None) -> Iterator[Month]:
    """By month, then project. `first` and `last` are any day of the first and last month wanted."""
    zone = ZoneInfo(settings.DISPLAY_TIME_ZONE)
    estimated = Case(When(energy_estimated=True, then=Value(1)), default=Value(0))
    found = UsageEntry.objects.order_by().annotate(month=TruncMonth("recorded_at", tzinfo=zone))
    if first:
        found = found.filter(recorded_at__gte=_begin(first, zone))
    if last:
        found = found.filter(recorded_at__lt=_begin(last.replace(day=1) + timedelta(days=31), zone))
    grouped = found.values(
        "month", "allocation", "allocation__project__public_id", "allocation__project__name",
        "allocation__project__organisation__name", "allocation__project__organisation__country",
        "allocation__machine", "allocation__partition", "allocation__account", "allocation__award__imported__reference",
    ).annotate(
        mode=KeyTextTransform("mode", "allocation__award__application__call__terms"),
        seconds=Sum("accelerator_seconds"),
        # A correction is of no job.
        jobs=Count("pk", filter=~Q(kind="correction")), joules=Sum("energy_joules"), estimates=Sum(estimated),
    )  # fmt: skip
    machines = {machine.pk: machine for machine in Machine.objects.all()}
    for row in grouped.order_by("month", "allocation__project__public_id", "allocation"):
        machine = machines[row["allocation__machine"]]
        amount, unit = _in_its_unit(machine, row["seconds"])
        yield Month(
            month=f"{row['month']:%Y-%m}", project=row["allocation__project__public_id"],
            reference=row["allocation__award__imported__reference"] or "",
            organisation=row["allocation__project__organisation__name"],
            country=row["allocation__project__organisation__country"], mode=row["mode"] or "granted elsewhere",
            machine=machine.public_id, partition=row["allocation__partition"], account=row["allocation__account"],
            accelerator_seconds=row["seconds"], gpu_hours=round(row["seconds"] / 3600, 3), amount=amount, unit=unit,
            jobs=row["jobs"], energy_kwh=None if row["joules"] is None else round(row["joules"] / 3.6e6, 3),
            energy_estimated=bool(row["estimates"]),
        )  # fmt: skip


def _begin(day: date, zone: ZoneInfo) -> datetime:
    """Of that day's month."""
    return datetime(day.year, day.month, 1, tzinfo=zone)


def _in_its_unit(machine: Any, accelerator_seconds: int) -> tuple[float | None, str]:
    facts = machine.facts
    if facts is None or facts.billing is None or not facts.accelerators_per_node:
        return None, ""
    node_hours = accelerator_seconds / 3600 / facts.accelerators_per_node
    return round(node_hours * facts.billing.units_per_node_hour, 3), facts.billing.unit
