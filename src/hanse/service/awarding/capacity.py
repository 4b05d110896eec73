"""What can still be awarded: hours an officer offers by machine, partition and month, less what awards take of them.

A partition with rows of its own counts by itself; everything else on the machine counts to its rows without a
partition. Where a machine has no rows at all nothing was stated, and nothing is limited.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Any

from django.db import models, transaction
from django.db.models import Sum

from hanse.contracts.awarding import AwardPart, CapacityMonth, CapacityOffer, Pattern
from hanse.contracts.errors import PolicyError
from hanse.contracts.units import SECONDS_PER_HOUR
from hanse.programme.awards import Shortfall, months_later, short_of, spread
from hanse.service.access.awards import Allocation, machine_named
from hanse.service.access.people import Person
from hanse.service.runs.events import Event
from hanse.service.runs.machines import Machine

Place = tuple[str, str]
"""Machine and partition; '' is the whole machine."""


class Capacity(models.Model):
    machine = models.ForeignKey("runs.Machine", on_delete=models.PROTECT, related_name="capacities")
    partition = models.CharField(max_length=63, blank=True)
    month = models.CharField(max_length=7)
    accelerator_seconds = models.PositiveBigIntegerField()
    stated_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    stated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "awarding"
        ordering = ["machine", "partition", "month"]
        constraints = [models.UniqueConstraint(fields=["machine", "partition", "month"], name="capacity_once_a_month")]

    def __str__(self) -> str:
        return f"{self.machine.public_id} {self.partition} {self.month}"


def offer(given: CapacityOffer, *, by: Person) -> CapacityMonth:
    """State or change what a month offers.

    Raises:
        PolicyError: not an officer.
        UsageError: no such machine.
    """
    by.require_officer()
    machine = machine_named(given.machine)
    with transaction.atomic():
        row, _ = Capacity.objects.update_or_create(
            machine=machine, partition=given.partition, month=given.month,
            defaults={"accelerator_seconds": given.gpu_hours * SECONDS_PER_HOUR, "stated_by": by},
        )  # fmt: skip
        Event.record(
            "officer:capacity:stated", machine.public_id, by=by.username, month=given.month,
            partition=given.partition, accelerator_seconds=row.accelerator_seconds,
        )  # fmt: skip
    place = (given.machine, given.partition)
    return next(one for one in table((machine,)) if (one.machine, one.partition, one.month) == (*place, given.month))


def table(machines: Iterable[Any] | None = None, *, since: str = "") -> tuple[CapacityMonth, ...]:
    """Every month offered, with what awards take of it; `since` ("2026-11") leaves out the months before."""
    offered, found = _offered(machines, since), list[CapacityMonth]()
    taken = _taken(offered, machines) if offered else {}
    for place, months in offered.items():
        found += [
            CapacityMonth(
                machine=place[0], partition=place[1], month=month, offered_accelerator_seconds=amount,
                taken_accelerator_seconds=taken[place][month],
            )
            for month, amount in sorted(months.items())
        ]  # fmt: skip
    return tuple(found)


def shortfalls(
    parts: Iterable[AwardPart], starts: date, duration_months: int, pattern: Pattern
) -> dict[Place, tuple[Shortfall, ...]]:
    """Where, and in which months, these parts do not fit."""
    parts = tuple(parts)
    machines = [machine_named(name) for name in sorted({part.machine for part in parts})]
    offered = _offered(machines)
    taken, wanted = _taken(offered, machines), defaultdict[Place, Counter[str]](Counter)
    for part in parts:
        if (place := _place(part.machine, part.partition, offered)) is not None:
            seconds = part.gpu_hours * SECONDS_PER_HOUR
            wanted[place].update(spread(seconds, starts, months_later(starts, duration_months), pattern))
    short = {place: short_of(months, offered[place], taken[place]) for place, months in wanted.items()}
    return {place: months for place, months in short.items() if months}


def require_room(parts: Iterable[AwardPart], starts: date, duration_months: int, pattern: Pattern) -> None:
    """Inside the transaction that awards them: the machines stay locked until it ends.

    Raises:
        PolicyError: a month has less left than they take, with the figures.
        UsageError: no such machine.
    """
    parts = tuple(parts)
    for machine in sorted({machine_named(part.machine).pk for part in parts}):
        Machine.objects.select_for_update(no_key=True).get(pk=machine)
    refuse(shortfalls(parts, starts, duration_months, pattern))


def require_more(allocation: Allocation, gpu_hours: int, on: date) -> None:
    """As `require_room`, for hours added to an allocation from `on` to its end."""
    Machine.objects.select_for_update(no_key=True).get(pk=allocation.machine.pk)
    machine = allocation.machine
    offered = _offered((machine,))
    place = _place(machine.public_id, allocation.partition, offered)
    if place is None:
        return
    starts = min(max(on, allocation.starts), allocation.ends)
    wanted = spread(gpu_hours * SECONDS_PER_HOUR, starts, allocation.ends, _pattern(allocation))
    short = short_of(wanted, offered[place], _taken(offered, (machine,))[place])
    refuse({place: short} if short else {})


def refuse(short: dict[Place, tuple[Shortfall, ...]]) -> None:
    """Raises PolicyError where anything is short."""
    if not short:
        return
    lines = tuple(
        f"{machine}{' ' + partition if partition else ''}, {month}"
        for (machine, partition), months in short.items() for month in months
    )  # fmt: skip
    raise PolicyError(
        f"there is not so much room: {'; '.join(lines[:4])}{' …' if len(lines) > 4 else ''}",
        where="gpu_hours",
        fix="award less, later, over longer or elsewhere, or state more capacity",
        history=lines,
    )


def _offered(machines: Iterable[Any] | None, since: str = "") -> dict[Place, dict[str, int]]:
    rows = Capacity.objects.filter(month__gte=since)
    rows = rows if machines is None else rows.filter(machine__in=list(machines))
    found: dict[Place, dict[str, int]] = defaultdict(dict)
    for machine, partition, month, amount in rows.values_list(
        "machine__public_id", "partition", "month", "accelerator_seconds"
    ):
        found[(machine, partition)][month] = amount
    return found


def _taken(offered: dict[Place, dict[str, int]], machines: Iterable[Any] | None) -> dict[Place, Counter[str]]:
    """Of awards only: what was granted elsewhere is not this programme's. Awards over before the first month take
    nothing of any, and are not looked at."""
    taken: dict[Place, Counter[str]] = defaultdict(Counter)
    first = min((month for months in offered.values() for month in months), default="")
    if not first:
        return taken
    held = Allocation.objects.filter(award__isnull=False, ends__gte=date.fromisoformat(f"{first}-01")).order_by()
    held = held if machines is None else held.filter(machine__in=list(machines))
    alike = ("machine__public_id", "partition", "starts", "ends", "award__pattern")
    summed = held.values(*alike).annotate(amount=Sum("granted_accelerator_seconds"))
    for machine, partition, starts, ends, pattern, amount in summed.values_list(*alike, "amount"):
        place = _place(machine, partition, offered)
        if place is not None:
            taken[place].update(spread(int(amount), starts, ends, pattern))
    return taken


def _place(machine: str, partition: str, offered: dict[Place, dict[str, int]]) -> Place | None:
    return next((place for place in ((machine, partition), (machine, "")) if place in offered), None)


def _pattern(allocation: Allocation) -> Any:
    return allocation.award.pattern if allocation.award else "even"
