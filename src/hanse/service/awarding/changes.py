"""What a project asks of an allocation later, and what officers answer: longer, more, elsewhere; with their history.

An extension and a supplement stay within what the call says of extensions; more hours take as many officers as awards
do. A transfer and a change of machine keep the sum. Suspension and what is given back stand in holding.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import models
from django.db.models import Sum

from hanse.contracts import awarding as contract
from hanse.contracts.awarding import ChangeAsked
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.contracts.units import SECONDS_PER_HOUR
from hanse.programme.awards import conversion, months_later, site_amount
from hanse.service.access.awards import Allocation, machine_named
from hanse.service.access.people import Person
from hanse.service.awarding import capacity, duties, policy
from hanse.service.awarding.movements import Movement, move
from hanse.service.records import ContractField, PublicIdField, set_fields, together, transition
from hanse.service.runs.events import Event
from hanse.service.runs.machines import Machine

_ENDS = ("granted", "declined", "withdrawn")
TRANSITIONS: Mapping[str, frozenset[str]] = {
    "asked": frozenset({"proposed", *_ENDS}),
    "proposed": frozenset(_ENDS),
    **dict.fromkeys(_ENDS, frozenset()),
}
OPEN_STATES = ("asked", "proposed")
_NEEDS = {
    "extension": ("months",), "supplement": ("gpu_hours",), "transfer": ("gpu_hours", "to_allocation"),
    "machine": ("gpu_hours", "machine"),
}  # fmt: skip


class ChangeRequest(models.Model):
    public_id = PublicIdField(prefix="req")
    allocation = models.ForeignKey(Allocation, on_delete=models.PROTECT, related_name="changes")
    kind = models.CharField(max_length=12, choices=[(kind, kind) for kind in _NEEDS])
    asked = ContractField(contract="hanse.contracts.awarding.ChangeAsked")
    state = models.CharField(max_length=10, choices=[(one, one) for one in TRANSITIONS], default="asked")
    asked_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(default=now)
    proposed_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    decided_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True)
    explained = models.TextField(blank=True)
    result = models.ForeignKey(Allocation, on_delete=models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        app_label = "awarding"
        ordering = ["-pk"]
        verbose_name = "request"

    def __str__(self) -> str:
        return f"{self.kind} of {self.allocation.public_id}"

    @classmethod
    def seen_by(cls, person: Person) -> Any:
        rows = cls.objects.select_related(
            "allocation__machine", "allocation__award", "asked_by", "proposed_by", "decided_by", "result"
        )
        if person.is_officer:
            return rows
        return rows.filter(allocation__project__organisation__memberships__person=person).distinct()

    @classmethod
    def ask(cls, allocation: Allocation, by: Person, asked: ChangeAsked) -> ChangeRequest:
        """Send a request; what cannot be granted is refused at once.

        Raises:
            PolicyError: not one of the project, or the call does not know such a change.
            UsageError: something is missing, or it is more than the call allows or than is free.
            Conflict: one of the same kind waits already.
        """
        if not by.belongs_to(allocation.project.organisation):
            raise PolicyError("only members of the project ask for that", where=allocation.public_id)
        explained = explain(allocation, asked)
        with together():
            Allocation.objects.select_for_update().get(pk=allocation.pk)
            if cls.objects.filter(allocation=allocation, kind=asked.kind, state__in=OPEN_STATES).exists():
                raise Conflict(
                    f"a request of this kind ({asked.kind}) waits already", where=allocation.public_id,
                    fix="withdraw it, or wait for its answer",
                )  # fmt: skip
            made = cls.objects.create(
                allocation=allocation, kind=asked.kind, asked=asked, asked_by=by, explained=explained
            )
            Event.record(
                f"user:allocation:{asked.kind}-asked", allocation.public_id, by=by.username, reason=asked.reason,
                request=made.public_id,
            )  # fmt: skip
        return made

    def withdraw(self, by: Person) -> None:
        if not by.belongs_to(self.allocation.project.organisation):
            raise PolicyError("only members of the project withdraw it", where=self.public_id)
        self._to("withdrawn", by, "", source="user")

    def decline(self, by: Person, *, reason: str) -> None:
        self._require_judge(by, reason)
        self._to("declined", by, reason, decided_by=by, decided_at=now())

    def grant(self, by: Person, *, reason: str) -> str:
        """Do it, or propose it where two officers are needed; returns the state it came to.

        Raises:
            PolicyError: not an officer, of the project's organisation, who proposed it, or no room.
            UsageError, Conflict: it cannot be done any more.
        """
        self._require_judge(by, reason)
        two = self.kind == "supplement" and policy.awards_by() > 1
        if two and self.state == "asked":
            self._to("proposed", by, reason, proposed_by=by)
            return "proposed"
        if two and self.proposed_by is not None:
            self.allocation_judge(self.proposed_by)
            if self.proposed_by.pk == by.pk:
                raise PolicyError("you proposed it: another officer confirms it", where=self.public_id)
        with together():
            # The lock of hours first, in one order for all, then the state: two at once cannot each do it.
            named = [self.allocation.public_id, *([self.asked.to_allocation] if self.asked.to_allocation else [])]
            # Machines before allocations, as an agent's report takes them.
            if self.kind in ("supplement", "machine"):
                names = {self.allocation.machine.public_id, self.asked.machine}
                list(Machine.objects.select_for_update(no_key=True).filter(public_id__in=names - {None}).order_by("pk"))
            locked = {name: Allocation.locked(name) for name in sorted(named)}
            held = locked[self.allocation.public_id]
            self._to("granted", by, reason, decided_by=by, decided_at=now())
            told, result = explain(held, self.asked, this=self.pk), getattr(self, f"_{self.kind}")(held, by)
            type(self).objects.filter(pk=self.pk).update(result=result, explained=told)
            set_fields(self, result=result, explained=told)
        return "granted"

    def _extension(self, held: Allocation, by: Person) -> Allocation:
        ends = months_later(held.ends, self.asked.months)
        Allocation.objects.filter(pk=held.pk).update(ends=ends, ended_at=None)
        if held.award is not None:
            duties.moved(held.award, by=by.username)
        return held

    def _supplement(self, held: Allocation, by: Person) -> Allocation:
        if held.award is not None:
            capacity.require_more(held, self.asked.gpu_hours, now().date())
        move(held, "supplement", self._seconds, by=by.username, reason=self.reason, change=self)
        return held

    def _transfer(self, held: Allocation, by: Person) -> Allocation:
        into = Allocation.objects.get(public_id=self.asked.to_allocation)
        self._shift(held, into, by)
        return into

    def _machine(self, held: Allocation, by: Person) -> Allocation:
        machine = machine_named(self.asked.machine)
        today = now().date()
        if held.award is not None:
            _require_room_there(held, self.asked)
        into = Allocation.objects.filter(
            award=held.award, project=held.project, machine=machine, partition=self.asked.partition, ends=held.ends
        ).exclude(pk=held.pk).first()  # fmt: skip
        if into is None:
            into = Allocation.open(
                award=held.award, project=held.project, machine=machine, partition=self.asked.partition,
                granted_accelerator_seconds=0, starts=max(today, held.starts), ends=held.ends, by=by.username,
            )  # fmt: skip
        self._shift(held, into, by)
        return into

    def _shift(self, held: Allocation, into: Allocation, by: Person) -> None:
        told = {"by": by.username, "reason": self.reason, "change": self}
        move(held, "moved-out", -self._seconds, **told)
        move(into, "moved-in", self._seconds, **told)

    @property
    def _seconds(self) -> int:
        return int((self.asked.gpu_hours or 0) * SECONDS_PER_HOUR)

    def allocation_judge(self, by: Person) -> None:
        """Raises PolicyError: no officer, or a member of the organisation whose allocation it is."""
        from django.conf import settings

        by.require_officer()
        if by.belongs_to(self.allocation.project.organisation) and not settings.HANSE_EMBEDDED:
            raise PolicyError(
                f"you stand in {self.allocation.project.organisation}, which asks", where=self.public_id,
                fix="another officer has to decide this one",
            )  # fmt: skip

    def _require_judge(self, by: Person, reason: str) -> None:
        self.allocation_judge(by)
        if not reason.strip():
            raise UsageError("a decision needs its reason", where="reason", fix="say why; the project reads it")

    def _to(self, to: str, by: Person, reason: str, *, source: str = "officer", **fields: Any) -> None:
        transition(
            self, to, TRANSITIONS, event=f"{source}:request:{to}", by=by.username, reason=reason,
            keep_reason=bool(reason), data={"allocation": self.allocation.public_id, "kind": self.kind}, **fields,
        )  # fmt: skip

    def contract(self) -> contract.Change:
        return contract.Change(
            id=self.public_id,
            allocation=self.allocation.public_id,
            asked=self.asked,
            state=self.state,
            asked_by=self.asked_by.username,
            asked_at=self.asked_at,
            proposed_by=self.proposed_by.username if self.proposed_by else "",
            decided_by=self.decided_by.username if self.decided_by else "",
            decided_at=self.decided_at,
            answer=self.reason,
            explained=self.explained,
            result=self.result.public_id if self.result else None,
        )


def explain(allocation: Allocation, asked: ChangeAsked, *, this: int | None = None) -> str:
    """What it comes to, in words; checked both when it is asked and when it is granted.

    Raises:
        UsageError: something is missing, or more than is allowed or free.
        PolicyError: the call does not know such a change.
    """
    for name in _NEEDS[asked.kind]:
        if getattr(asked, name) is None:
            raise UsageError(f"a request of this kind ({asked.kind}) needs {name}", where=name)
    if allocation.ended_at is not None or allocation.ends < now().date():
        raise Conflict("the allocation has ended", where=allocation.public_id, fix="apply again")
    return {"extension": _longer, "supplement": _more, "transfer": _across, "machine": _elsewhere}[asked.kind](
        allocation, asked, this
    )


def _rule(allocation: Allocation) -> Any:
    award = allocation.award
    rule = award.application.call.terms.extension if award is not None else None
    if rule is None:
        raise PolicyError(
            "the call it was granted under knows no extension", where=allocation.public_id, fix="apply again"
        )
    return rule


def _longer(allocation: Allocation, asked: ChangeAsked, this: int | None) -> str:
    rule, months = _rule(allocation), asked.months or 0
    had = ChangeRequest.objects.filter(allocation=allocation, kind="extension", state="granted")
    if had.exclude(pk=this).count() >= rule.times:
        raise PolicyError(f"the call extends {rule.times} time(s), and that was done", where=allocation.public_id)
    if months > rule.months:
        raise UsageError(f"the call extends by at most {rule.months} months", where="months", fix="ask for less")
    return f"It would end on {months_later(allocation.ends, months):%d %B %Y} instead of {allocation.ends:%d %B %Y}."


def _more(allocation: Allocation, asked: ChangeAsked, _this: int | None) -> str:
    rule, wanted = _rule(allocation), (asked.gpu_hours or 0) * SECONDS_PER_HOUR
    moved = Movement.objects.filter(allocation__award=allocation.award, kind="supplement")
    before = moved.aggregate(total=Sum("accelerator_seconds"))["total"] or 0
    most = int(allocation.award.gpu_hours * SECONDS_PER_HOUR * rule.share) if allocation.award else 0
    if before + wanted > most:
        raise UsageError(
            f"the call adds at most {rule.share:.0%} of the award: {max(0, most - before) // SECONDS_PER_HOUR:,} "
            "GPU-hours are left of that", where="gpu_hours", fix="ask for less, or apply again",
        )  # fmt: skip
    amount = site_amount(wanted, allocation.machine.facts)
    return f"It would hold {asked.gpu_hours:,} GPU-hours more{f' ({amount})' if amount else ''}."


def _across(allocation: Allocation, asked: ChangeAsked, _this: int | None) -> str:
    into = Allocation.objects.filter(public_id=asked.to_allocation).select_related("machine").first()
    if into is None or into.project_id != allocation.project_id or into.pk == allocation.pk:  # type: ignore[attr-defined]
        raise UsageError("that is no other allocation of the same project", where="to_allocation")
    if into.ended_at is not None or into.ends < now().date():
        raise UsageError("the other allocation has ended", where="to_allocation")
    _require_free(allocation, asked)
    if into.award is None or allocation.award is None:
        raise PolicyError("hours granted elsewhere are not this programme's to move", where=allocation.public_id)
    return conversion((asked.gpu_hours or 0) * SECONDS_PER_HOUR, allocation.machine.facts, into.machine.facts)


def _elsewhere(allocation: Allocation, asked: ChangeAsked, _this: int | None) -> str:
    machine = machine_named(asked.machine or "")
    if machine.pk == allocation.machine.pk and asked.partition == allocation.partition:
        raise UsageError("it is on that machine and partition already", where="machine")
    _require_free(allocation, asked)
    if allocation.award is None:
        raise PolicyError("hours granted elsewhere are not this programme's to move", where=allocation.public_id)
    return conversion((asked.gpu_hours or 0) * SECONDS_PER_HOUR, allocation.machine.facts, machine.facts)


def _require_free(allocation: Allocation, asked: ChangeAsked) -> None:
    free = Allocation.objects.with_balance().get(pk=allocation.pk).free_accelerator_seconds
    if (asked.gpu_hours or 0) * SECONDS_PER_HOUR > free:
        raise UsageError(
            f"{max(0, free) / SECONDS_PER_HOUR:,.1f} GPU-hours are free on it", where="gpu_hours", fix="ask for less"
        )


def _require_room_there(held: Allocation, asked: ChangeAsked) -> None:
    there = Allocation(
        award=held.award, machine=machine_named(asked.machine or ""), partition=asked.partition, starts=held.starts,
        ends=held.ends,
    )  # fmt: skip
    capacity.require_more(there, asked.gpu_hours or 0, now().date())
