"""Pay per use: dated prices, a quote for an application, and a month's statement from the usage entries.

An entry is billed once: the database allows one row for it. A statement is frozen when it is issued; what is entered
later, corrections too, stands in the next one, at the price of the day it was entered.
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from typing import Any

from django.db import IntegrityError, models, transaction

from hanse.contracts import awarding as contract
from hanse.contracts.awarding import Quote, StatementLine
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, UsageError
from hanse.contracts.units import SECONDS_PER_HOUR
from hanse.programme.awards import months_later, price_cents
from hanse.service.access.awards import machine_named
from hanse.service.access.calls import Application
from hanse.service.access.people import Organisation, Person
from hanse.service.records import PublicIdField
from hanse.service.runs.events import AppendOnly, AppendOnlyQuerySet, Event
from hanse.service.runs.usage import UsageEntry


class Price(AppendOnly):
    machine = models.ForeignKey("runs.Machine", on_delete=models.PROTECT, related_name="prices")
    from_day = models.DateField()
    cents_per_gpu_hour = models.PositiveIntegerField()
    stated_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    stated_at = models.DateTimeField(auto_now_add=True)

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        app_label = "awarding"
        ordering = ["machine", "from_day", "pk"]

    def __str__(self) -> str:
        return f"{self.machine.public_id} from {self.from_day}"

    @classmethod
    def state(cls, given: contract.Price, *, by: Person) -> contract.Price:
        """From that day on; of two for the same day the later word holds.

        Raises:
            PolicyError: not an officer.
            UsageError: no such machine, or a day that was billed already.
        """
        by.require_officer()
        machine = machine_named(given.machine)
        with transaction.atomic():
            billed = BilledEntry.objects.filter(
                entry__allocation__machine=machine, entry__recorded_at__date__gte=given.from_day
            )
            if billed.exists():
                raise UsageError(
                    "use from that day on was billed already", where="from_day", fix="give a later day: a price "
                    "does not change what was billed",
                )  # fmt: skip
            made = cls.objects.create(
                machine=machine, from_day=given.from_day, cents_per_gpu_hour=given.cents_per_gpu_hour, stated_by=by
            )
            Event.record(
                "officer:price:stated", machine.public_id, by=by.username, cents=given.cents_per_gpu_hour,
                from_day=given.from_day.isoformat(),
            )  # fmt: skip
        return made.contract()

    @classmethod
    def on(cls, machine: Any, day: date) -> Price:
        """Raises UsageError where none holds."""
        found = cls.objects.filter(machine=machine, from_day__lte=day).order_by("-from_day", "-pk").first()
        if found is None:
            raise UsageError(
                f"{machine.public_id} has no price on {day}", where="price", fix="an officer states it first"
            )
        return found

    def contract(self) -> contract.Price:
        return contract.Price(
            machine=self.machine.public_id, from_day=self.from_day, cents_per_gpu_hour=self.cents_per_gpu_hour
        )


def quote(application: Application) -> Quote:
    """By today's price of the machine that was asked for. Raises UsageError: no machine, no price."""
    form, day = application.form, now().date()
    price = Price.on(machine_named(form.machine), day).cents_per_gpu_hour
    return Quote(
        application=application.public_id,
        pays_per_use=form.organisation_kind in application.call.terms.pays,
        gpu_hours=form.gpu_hours,
        cents_per_gpu_hour=price,
        total_cents=price_cents(form.gpu_hours * SECONDS_PER_HOUR, price),
        day=day,
    )


class Statement(AppendOnly):
    public_id = PublicIdField(prefix="bil")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="statements")
    month = models.CharField(max_length=7)
    lines = models.JSONField(default=list)
    total_cents = models.BigIntegerField()
    issued_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    issued_at = models.DateTimeField()

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        app_label = "awarding"
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["organisation", "month"], name="statement_once_a_month")]

    def __str__(self) -> str:
        return f"{self.organisation} {self.month}"

    @classmethod
    def seen_by(cls, person: Person) -> Any:
        rows = cls.objects.select_related("organisation", "issued_by")
        if person.is_officer:
            return rows
        return rows.filter(organisation__memberships__person=person).distinct()

    @classmethod
    def issue(cls, organisation: Organisation, month: str, *, by: Person, at: datetime | None = None) -> Statement:
        """Bill what was entered by the month's end and not billed yet.

        Raises:
            PolicyError: not an officer.
            UsageError: the month is not over, or a machine has no price.
            Conflict: it was issued already, or a later month was.
        """
        by.require_officer()
        year, number = (int(part) for part in month.split("-"))
        following = months_later(date(year, number, 1), 1)
        until, at = datetime(following.year, following.month, 1, tzinfo=UTC), at or now()
        if at < until:
            raise UsageError(f"{month} is not over", where="month", fix=f"issue it from {following} on")
        try:
            with transaction.atomic():
                Organisation.objects.select_for_update().get(pk=organisation.pk)
                if cls.objects.filter(organisation=organisation, month__gte=month).exists():
                    raise Conflict(
                        f"{month} or a later month was issued already", where=organisation.public_id,
                        fix="what was entered since stands in the next statement",
                    )  # fmt: skip
                return cls._issue(organisation, month, until, by, at)
        except IntegrityError:
            raise Conflict(f"{month} was issued a moment ago", where=organisation.public_id) from None

    @classmethod
    def _issue(cls, organisation: Organisation, month: str, until: datetime, by: Person, at: datetime) -> Statement:
        entries = list(
            UsageEntry.objects.filter(
                allocation__award__pays_per_use=True, allocation__project__organisation=organisation,
                recorded_at__lt=until, billed=None,
            ).select_related("allocation__machine").order_by("pk")
        )  # fmt: skip
        sums: dict[tuple[str, str, int], int] = {}
        for entry in entries:
            allocation = entry.allocation
            price = Price.on(allocation.machine, entry.recorded_at.date()).cents_per_gpu_hour
            key = (allocation.public_id, allocation.machine.public_id, price)
            sums[key] = sums.get(key, 0) + entry.accelerator_seconds
        lines = [
            StatementLine(
                allocation=allocation, machine=machine, accelerator_seconds=seconds, cents_per_gpu_hour=price,
                total_cents=price_cents(seconds, price),
            )
            for (allocation, machine, price), seconds in sums.items()
        ]  # fmt: skip
        made = cls.objects.create(
            organisation=organisation, month=month, lines=[line.model_dump(mode="json") for line in lines],
            total_cents=sum(line.total_cents for line in lines), issued_by=by, issued_at=at,
        )  # fmt: skip
        for entry in entries:
            BilledEntry.objects.create(statement=made, entry=entry)
        Event.record(
            "officer:statement:issued", made.public_id, by=by.username, month=month, cents=made.total_cents,
            organisation=organisation.public_id,
        )  # fmt: skip
        return made

    def contract(self) -> contract.Statement:
        return contract.Statement(
            id=self.public_id,
            organisation=self.organisation.name,
            month=self.month,
            lines=tuple(StatementLine.model_validate(line) for line in self.lines),
            total_cents=self.total_cents,
            issued_at=self.issued_at,
            issued_by=self.issued_by.username,
        )

    def csv(self) -> str:
        """One line for each allocation and price; euro with two decimals."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(
            ["statement", "organisation", "month", "allocation", "machine", "gpu_hours", "eur_per_gpu_hour", "eur"]
        )
        told = self.contract()
        for line in told.lines:
            writer.writerow([
                told.id, _text(told.organisation), told.month, line.allocation, line.machine,
                f"{line.accelerator_seconds / SECONDS_PER_HOUR:.4f}", euro(line.cents_per_gpu_hour),
                euro(line.total_cents),
            ])  # fmt: skip
        return out.getvalue()


class BilledEntry(AppendOnly):
    """That a usage entry stands in a statement; the database allows it once."""

    statement = models.ForeignKey(Statement, on_delete=models.PROTECT, related_name="entries")
    entry = models.OneToOneField("runs.UsageEntry", on_delete=models.PROTECT, related_name="billed")

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        app_label = "awarding"
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.entry.public_id} in {self.statement.public_id}"


def euro(cents: int) -> str:
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def _text(value: str) -> str:
    """A spreadsheet would calculate what begins like a formula."""
    return f"'{value}" if value[:1] in "=+-@\t\r" else value
