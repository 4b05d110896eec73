"""An import from its preparation to its confirmation. One officer prepares it, another confirms what both have seen.

The award itself was decided elsewhere, so that nothing is judged anew; two look at it as hours are given out by it.
Neither may stand in an organisation it is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import models, transaction

from hanse.contracts import imports as contract
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, HanseError, PolicyError, UsageError
from hanse.contracts.imports import ImportAsked, ImportReport, RowEffect
from hanse.programme.imports.effects import Done
from hanse.service.access.models import Person
from hanse.service.awarding import policy
from hanse.service.imports import bringing, looking
from hanse.service.records import ContractField, PublicIdField, set_fields, together, transition
from hanse.service.runs.events import Event
from hanse.service.runs.models import Machine

TRANSITIONS: Mapping[str, frozenset[str]] = {
    "waiting": frozenset({"confirmed", "taken-back", "refused"}),
    "confirmed": frozenset(),
    "taken-back": frozenset(),
    "refused": frozenset(),
}


class Batch(models.Model):
    public_id = PublicIdField(prefix="imp")
    kind = models.CharField(max_length=8, choices=[("csv", "a file"), ("waldur", "a Waldur")])
    name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    asked = ContractField(contract="hanse.contracts.imports.ImportAsked")
    all_or_none = models.BooleanField(default=False)
    state = models.CharField(max_length=12, choices=[(one, one) for one in TRANSITIONS], default="waiting")
    prepared_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    prepared_at = models.DateTimeField(default=now)
    decided_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True)
    outcome = ContractField(contract="hanse.contracts.imports.ImportReport", null=True, blank=True)
    """What it came to; empty until it is confirmed."""

    class Meta:
        app_label = "imports"
        ordering = ["-pk"]
        verbose_name = "import"
        verbose_name_plural = "imports"
        constraints = [
            models.UniqueConstraint(
                fields=["sha256"], condition=models.Q(state="waiting"), name="one_import_of_a_file_waits"
            )
        ]

    def __str__(self) -> str:
        return f"{self.public_id} {self.name}"

    @classmethod
    def preview(cls, by: Person, asked: ImportAsked) -> contract.ImportBatch:
        """What it would do; nothing is kept. Raises PolicyError: not an officer."""
        by.require_officer()
        return _answer(asked, looking.look(asked, (by,))[1])

    @classmethod
    def prepare(cls, by: Person, asked: ImportAsked) -> contract.ImportBatch:
        """Keep it for another officer, unless nothing would come of it. The same file is kept once while it waits.

        Raises:
            PolicyError: not an officer.
        """
        by.require_officer()
        _, seen = looking.look(asked, (by,))
        if not seen.changes_something and not seen.counts.get("waits"):
            return _answer(asked, seen)
        with transaction.atomic():
            made, new = cls.objects.get_or_create(
                sha256=asked.sha256, state="waiting",
                defaults={
                    "kind": asked.kind, "name": asked.name, "asked": asked, "prepared_by": by,
                    "all_or_none": asked.whole,
                },
            )  # fmt: skip
            if new:
                Event.record(
                    "officer:import:prepared", made.public_id, by=by.username, title=asked.name, rows=len(asked.rows),
                    path=f"/awards/imports/{made.public_id}/",
                )  # fmt: skip
        return made.contract(report=seen if new else made.report(by))

    def officers(self, by: Person | None = None) -> tuple[Person, ...]:
        return (self.prepared_by, *([by] if by and by.pk != self.prepared_by.pk else []))

    def report(self, by: Person | None = None) -> ImportReport:
        """As it is now while it waits, else what it came to."""
        if self.state != "waiting":
            kept: ImportReport = self.outcome or looking.report(self.asked, ())
            return kept
        return looking.look(self.asked, self.officers(by))[1]

    def choose(self, by: Person, line: int, organisation: str) -> None:
        """Say which organisation the rows of that line's name are: an id, or "new".

        Raises:
            PolicyError: not who prepared it: another officer confirms what was chosen.
            UsageError: no such line.
            Conflict: it waits no more.
        """
        by.require_officer()
        if by.pk != self.prepared_by.pk:
            raise PolicyError(
                "who prepared it says which organisation is meant", where=self.public_id,
                fix=f"ask {self.prepared_by.display_name}, or refuse it",
            )  # fmt: skip
        asked: ImportAsked = self.asked
        row = next((one for one in asked.rows if one.line == line), None)
        if row is None:
            raise UsageError(f"it has no row of line {line}", where="line", fix="name one of its rows")
        rows = tuple(
            one.model_copy(update={"organisation_id": organisation}) if one.organisation == row.organisation else one
            for one in asked.rows
        )
        changed = asked.model_copy(update={"rows": rows})
        with transaction.atomic():
            if not type(self).objects.filter(pk=self.pk, state="waiting").update(asked=changed):
                raise Conflict("it waits no more", where=self.public_id, fix="look at it again")
            Event.record("officer:import:chosen", self.public_id, by=by.username, line=line, organisation=organisation)
        self.asked = changed

    def confirm(self, by: Person, *, seen: str | None = None, reason: str = "") -> ImportReport:
        """Bring it in: wholly where that was asked, else every row that can be; in one transaction.

        Raises:
            PolicyError: not an officer, who prepared it, or nothing can be brought in.
            Conflict: it waits no more, or would now do something else than was seen.
        """
        by.require_officer()
        if policy.awards_by() > 1 and by.pk == self.prepared_by.pk:
            raise PolicyError(
                "who prepared it does not confirm it", where=self.public_id, fix="another officer confirms it"
            )
        self.prepared_by.require_officer()
        with together():
            self._end("confirmed", by, reason)
            outcome = self._confirmed(by, seen)
            type(self).objects.filter(pk=self.pk).update(outcome=outcome)
            set_fields(self, outcome=outcome)
        return outcome

    def _confirmed(self, by: Person, seen: str | None) -> ImportReport:
        # Machines before allocations, as an agent's report takes them; and two imports after one another.
        named = {row.machine for row in self.asked.rows}
        list(Machine.objects.select_for_update(no_key=True).filter(public_id__in=named).order_by("pk"))
        done, at_last = looking.look(self.asked, self.officers(by))
        if seen is not None and seen != at_last.seen:
            raise Conflict("it would now do something else than you saw", where=self.public_id, fix="look at it again")
        if at_last.blocked or not at_last.changes_something:
            raise PolicyError(
                at_last.blocked.rstrip(".") or "there is nothing to bring in", where=self.public_id,
                fix="mend its rows and prepare it anew, or refuse it",
            )  # fmt: skip
        return looking.report(self.asked, self._bring(done, by))

    def _bring(self, done: tuple[Done, ...], by: Person) -> list[RowEffect]:
        """Award by award; one that cannot be is left out with its reason, unless all or none was asked."""
        officers = bringing.Officers(prepared=self.prepared_by, confirmed=by, batch=self.public_id)
        by_award: dict[tuple[str, str], list[Done]] = {}
        for one in done:
            by_award.setdefault(one.row.award, []).append(one)
        came: dict[int, RowEffect] = {one.row.line: one.effect for one in done}
        for rows in by_award.values():
            try:
                with transaction.atomic():
                    came |= {effect.line: effect for effect in bringing.bring(rows, officers)}
            except HanseError as refused:
                if self.asked.whole:
                    raise
                reason = " ".join(part for part in (f"{refused.what}.", refused.fix) if part)
                for one in rows:
                    if one.effect.effect in ("create", "change"):
                        came[one.row.line] = one.effect.model_copy(update={"effect": "refused", "reason": reason})
        return [came[one.row.line] for one in done]

    def take_back(self, by: Person, *, reason: str = "") -> None:
        by.require_officer()
        if by.pk != self.prepared_by.pk:
            raise PolicyError(
                "only who prepared it takes it back", where=self.public_id, fix="refuse it, with a reason"
            )
        self._end("taken-back", by, reason)

    def refuse(self, by: Person, *, reason: str) -> None:
        by.require_officer()
        if by.pk == self.prepared_by.pk:
            raise PolicyError("who prepared it does not refuse it", where=self.public_id, fix="take it back")
        if not reason.strip():
            raise UsageError("refusing needs its reason", where="reason", fix="say why, for who prepared it")
        self._end("refused", by, reason)

    def _end(self, to: str, by: Person, reason: str) -> None:
        transition(
            self, to, TRANSITIONS, event=f"officer:import:{to}", by=by.username, reason=reason, keep_reason=True,
            data={"title": self.name}, decided_by=by, decided_at=now(),
        )  # fmt: skip

    def contract(self, report: ImportReport | None = None) -> contract.ImportBatch:
        """One line of a list has no report."""
        return contract.ImportBatch(
            id=self.public_id,
            kind=self.kind,
            name=self.name,
            sha256=self.sha256,
            whole=self.all_or_none,
            state=self.state,
            report=report,
            prepared_by=self.prepared_by.username,
            prepared_at=self.prepared_at,
            decided_by=self.decided_by.username if self.decided_by else "",
            decided_at=self.decided_at,
            reason=self.reason,
        )


def _answer(asked: ImportAsked, seen: ImportReport) -> contract.ImportBatch:
    return contract.ImportBatch(
        kind=asked.kind, name=asked.name, sha256=asked.sha256, whole=asked.whole, state="nothing-to-do", report=seen
    )


def listed() -> Any:
    """Without the rows they bring, which may be many."""
    return Batch.objects.defer("asked", "outcome").select_related("prepared_by", "decided_by")
