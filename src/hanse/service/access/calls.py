"""Published calls, and applications to them from sending to decision.

An application is screened once, when it is sent; an officer decides it once, against the screening's verdict only with
a reason of their own. Nobody decides for an organisation they stand in, except on a service embedded for one user.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import models, transaction

from hanse.contracts import programme as contract
from hanse.contracts.awarding import AwardPart, AwardTerms
from hanse.contracts.base import now
from hanse.contracts.decision import Decision
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.service.access.people import Organisation, Person, Project
from hanse.service.records import ContractField, PublicIdField, together, transition
from hanse.service.runs.events import Event

_DECIDED: frozenset[str] = frozenset({"granted", "declined"})
APPLICATION_TRANSITIONS: Mapping[str, frozenset[str]] = {
    "draft": frozenset({"sent", "withdrawn"}),
    "sent": frozenset({"in-review", "withdrawn"}) | _DECIDED,
    "in-review": frozenset({"withdrawn"}) | _DECIDED,
    "granted": frozenset(),
    "declined": frozenset(),
    "withdrawn": frozenset(),
}


class Call(models.Model):
    """One published version of a call. It is never changed: an amendment is a new version."""

    call_id = models.CharField(max_length=63)
    version = models.PositiveIntegerField()
    terms = ContractField(contract="hanse.contracts.programme.CallTerms")
    published_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "access"
        ordering = ["call_id", "-version"]
        constraints = [models.UniqueConstraint(fields=["call_id", "version"], name="call_version_once")]

    def __str__(self) -> str:
        return f"{self.call_id} v{self.version}"

    def save(self, *args: Any, **options: Any) -> None:
        if self.pk is not None:
            raise TypeError("a published call is frozen; publish a new version")
        super().save(*args, **options)

    @classmethod
    def publish(cls, terms: contract.CallTerms, *, by: str) -> Call:
        """Publish a version; publishing the same again, or by two at once, changes nothing."""
        with transaction.atomic():
            published, new = cls.objects.get_or_create(
                call_id=terms.id, version=terms.version, defaults={"terms": terms}
            )
            if new:
                Event.record("service:call:published", terms.id, by=by, version=terms.version)
        if published.terms != terms:
            raise UsageError(
                f"version {terms.version} is already published with other terms",
                where=f"call {terms.id}",
                fix="raise its version",
            )
        return published

    @classmethod
    def publish_next(cls, terms: contract.CallTerms, *, by: Person) -> Call:
        """Publish a call of one's own, or the version that amends one; versions follow one another.

        Raises:
            PolicyError: not an officer.
            UsageError: amounts contradict each other.
            Conflict: it is not the next version; somebody published one first, or it is published already.
        """
        by.require_officer()
        if terms.max_gpu_hours is not None and terms.min_gpu_hours > terms.max_gpu_hours:
            raise UsageError(
                "the smallest amount is above the largest", where="min_gpu_hours", fix="correct one of them"
            )
        latest = cls.objects.filter(call_id=terms.id).order_by("-version").first()
        following = latest.version + 1 if latest else 1
        if terms.version != following:
            raise Conflict(
                f"the next version of {terms.id} is {following}, not {terms.version}",
                where=f"call {terms.id}",
                fix="look at the latest version, then amend that",
            )
        return cls.publish(terms, by=by.username)

    @classmethod
    def current(cls) -> tuple[Call, ...]:
        """The latest version of each call."""
        latest = {call.call_id: call for call in cls.objects.order_by("call_id", "version")}
        return tuple(latest.values())

    @classmethod
    def latest(cls, call_id: str) -> Call:
        found = cls.objects.filter(call_id=call_id).order_by("-version").first()
        if found is None:
            raise UsageError(f"there is no call {call_id}", where="call", fix="choose one of the calls published here")
        return found

    @classmethod
    def version_of(cls, call_id: str, version: int) -> Call:
        """That version, as it was published. Raises UsageError where there is none."""
        found = cls.objects.filter(call_id=call_id, version=version).first()
        if found is None:
            raise UsageError(
                f"the call {call_id} has no version {version}", where="call_version", fix="take the latest version"
            )
        return found

    def delete(self, *_args: Any, **_options: Any) -> Any:
        raise TypeError("a published call is frozen; publish a version that closes it")

    def require_room(self) -> None:
        """Nothing while the call takes more applications; call it inside the transaction that files one.

        Raises:
            PolicyError: as many as the call takes were sent, over all its versions.
        """
        most = self.terms.max_entries
        if most is None:
            return
        type(self).objects.select_for_update().get(pk=self.pk)
        entered = Application.objects.filter(call__call_id=self.call_id).exclude(state__in=("draft", "withdrawn"))
        if entered.count() >= most:
            raise PolicyError(
                f"{self.terms.title} takes {most:,} applications, and so many were sent",
                where=self.call_id,
                fix="choose another call",
            )


class ApplicationQuerySet(models.QuerySet):
    def seen_by(self, person: Person) -> Any:
        if person.is_officer:
            return self.all()
        return self.filter(organisation__memberships__person=person).distinct()

    def with_allocation(self) -> Any:
        """With the first allocation of each, which its contract names: one query for a whole list."""
        from hanse.service.access.awards import Allocation

        opened = Allocation.objects.filter(award__application=models.OuterRef("pk")).order_by("pk")
        return self.annotate(opened=models.Subquery(opened.values("public_id")[:1]))


class Application(models.Model):
    STATES = [(state, state) for state in APPLICATION_TRANSITIONS]

    public_id = PublicIdField(prefix="app")
    call = models.ForeignKey(Call, on_delete=models.PROTECT, related_name="applications")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="applications")
    applicant = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="applications")
    state = models.CharField(max_length=12, choices=STATES, default="draft")
    form = ContractField(contract="hanse.contracts.programme.ApplicationForm")
    sent_at = models.DateTimeField(null=True, blank=True)
    cut_off = models.DateTimeField(null=True, blank=True)
    """The round it was sent into; empty where the call takes applications as they come."""
    decide_by = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True)

    objects = ApplicationQuerySet.as_manager()

    class Meta:
        app_label = "access"
        ordering = ["-pk"]
        # A form is long: what is counted over years is counted from these alone, without reading one.
        indexes = [
            models.Index(fields=["state", "decide_by"], name="application_due"),
            models.Index(fields=["sent_at", "state", "cut_off", "call"], name="application_sent"),
            models.Index(fields=["decided_at", "sent_at", "cut_off", "decide_by"], name="application_decided"),
            models.Index(fields=["call", "cut_off", "state"], name="application_round"),
        ]

    def __str__(self) -> str:
        return f"{self.public_id} {self.form.title}"

    def grant(
        self,
        by: Person,
        *,
        reason: str,
        gpu_hours: int | None = None,
        partition: str | None = None,
        account: str | None = None,
        conditions: tuple[str, ...] = (),
        override_reason: str = "",
        terms: AwardTerms | None = None,
        proposal: Any = None,
    ) -> Any:
        """Grant what was asked, less, or `terms`, and open its allocations; the first is returned.

        Raises:
            PolicyError: not an officer, one of the applicants, against the gate without `override_reason`, or two
                officers are needed and `proposal` is no other officer's.
            UsageError: more than the call grants, than its parts sum to, or than there is room for.
            Conflict: it was decided already.
        """
        from hanse.service.access.awards import Award
        from hanse.service.awarding import capacity, duties, policy
        from hanse.service.compliance import conditions as conditions_of

        self.require_judge(by)
        policy.require_two(self, "grant", by, proposal)
        terms = terms or AwardTerms(
            reason=reason, gpu_hours=gpu_hours, conditions=conditions, override_reason=override_reason
        )
        parts = self.parts_of(terms, partition=partition, account=account)
        hours, starts = sum(part.gpu_hours for part in parts), terms.starts or now().date()
        duration_months = terms.duration_months or self.form.duration_months
        with together():
            screening = self.screening.passed(by, override_reason=terms.override_reason)
            capacity.require_room(parts, starts, duration_months, terms.pattern)
            self._decide("granted", by, reason, gpu_hours=hours)
            project = Project.objects.create(organisation=self.organisation, name=self.form.title)
            award = Award.objects.create(
                application=self,
                project=project,
                gpu_hours=hours,
                conditions=[*dict.fromkeys((*screening.conditions, *terms.conditions))],
                starts=starts,
                duration_months=duration_months,
                pattern=terms.pattern,
                pays_per_use=self.organisation.kind in self.call.terms.pays,
                granted_by=by,
            )
            conditions_of.open_for(award)
            opened = award.open_allocations(parts, by=by)
            duties.open_for(award)
            return opened[0]

    def parts_of(
        self, terms: AwardTerms, *, partition: str | None = None, account: str | None = None
    ) -> tuple[AwardPart, ...]:
        """What each allocation gets. Raises UsageError: above the call's largest amount, or a sum that is none."""
        hours = terms.gpu_hours or (sum(part.gpu_hours for part in terms.parts) or self.form.gpu_hours)
        most = self.call.terms.max_gpu_hours
        if most is not None and hours > most:
            raise UsageError(
                f"the call grants at most {most:,} GPU-hours, not {hours:,}",
                where="gpu_hours",
                fix="grant less",
            )
        if not terms.parts:
            machine = self.form.machine
            return (AwardPart(machine=machine, partition=partition or "", account=account or "", gpu_hours=hours),)
        summed = sum(part.gpu_hours for part in terms.parts)
        if summed != hours:
            raise UsageError(
                f"the parts sum to {summed:,} GPU-hours, not {hours:,}", where="parts", fix="correct one of them"
            )
        places = [(part.machine, part.partition) for part in terms.parts]
        if len(set(places)) < len(places):
            raise UsageError("a machine's partition stands twice", where="parts", fix="name each once")
        return terms.parts

    def decline(self, by: Person, *, reason: str, proposal: Any = None) -> None:
        from hanse.service.awarding import policy

        self.require_judge(by)
        policy.require_two(self, "decline", by, proposal)
        with together():
            self._decide("declined", by, reason)

    def withdraw(self, by: Person, *, reason: str = "") -> None:
        transition(
            self,
            "withdrawn",
            APPLICATION_TRANSITIONS,
            event="user:application:withdrawn",
            by=by.username,
            reason=reason,
        )

    def require_judge(self, by: Person) -> None:
        by.require_officer()
        if by.belongs_to(self.organisation) and not settings.HANSE_EMBEDDED:
            raise PolicyError(
                f"you stand in {self.organisation}, which applied",
                where=self.public_id,
                fix="another officer has to decide this one",
            )

    def _decide(self, to: str, by: Person, reason: str, **data: int) -> None:
        """Call it inside the transaction of the decision. Raises Conflict: its review does not allow it yet."""
        from hanse.service.review import orders

        # Held first: no step is done, and no place moved, between looking and deciding.
        held = type(self).objects.select_for_update(of=("self",)).select_related("call").get(pk=self.pk)
        if to in APPLICATION_TRANSITIONS[held.state]:
            orders.require(held, "grant" if to == "granted" else "decline")
        transition(
            self,
            to,
            APPLICATION_TRANSITIONS,
            event=f"officer:application:{to}",
            by=by.username,
            reason=reason,
            keep_reason=True,
            data=data,
            decided_at=now(),
        )
        Review.objects.create(application=self, officer=by, verdict=to, reason=reason)

    def contract(self) -> contract.Application:
        return contract.Application(
            id=self.public_id,
            state=self.state,
            form=self.form,
            sent_at=self.sent_at,
            decide_by=self.decide_by,
            decided_at=self.decided_at,
            reason=self.reason,
            allocation_id=self._opened() if self.state == "granted" else None,
            call_version=self.call.version,
            cut_off=self.cut_off,
        )

    def _opened(self) -> str | None:
        if "opened" in self.__dict__:  # a list read it along
            return self.__dict__["opened"]
        from hanse.service.access.awards import Allocation

        held = Allocation.objects.filter(award__application=self).order_by("pk")
        return held.values_list("public_id", flat=True).first()

    @property
    def gate(self) -> Decision | None:
        screening = getattr(self, "screening", None)
        return screening.decision if screening else None


class Review(models.Model):
    """An officer's decision with its reason, as it was given."""

    application = models.ForeignKey(Application, on_delete=models.PROTECT, related_name="reviews")
    officer = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="reviews")
    verdict = models.CharField(max_length=12)
    reason = models.TextField()
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "access"
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.application.public_id} {self.verdict}"
