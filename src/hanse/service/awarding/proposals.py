"""One officer proposes what becomes of an application, another confirms it; then it is done, in one transaction.

Neither may stand in the applicant's organisation. Who proposed may take it back; any other officer may refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from django.db import models, transaction

from hanse.contracts import awarding as contract
from hanse.contracts.awarding import AwardTerms
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.service.access.calls import Application
from hanse.service.access.people import Person
from hanse.service.awarding import capacity, policy
from hanse.service.records import ContractField, PublicIdField, together, transition
from hanse.service.runs.events import Event

TRANSITIONS: Mapping[str, frozenset[str]] = {
    "waiting": frozenset({"confirmed", "taken-back", "refused"}),
    "confirmed": frozenset(),
    "taken-back": frozenset(),
    "refused": frozenset(),
}
OPEN_STATES = ("sent", "in-review")


class Proposal(models.Model):
    public_id = PublicIdField(prefix="pro")
    application = models.ForeignKey(Application, on_delete=models.PROTECT, related_name="proposals")
    decision = models.CharField(max_length=8, choices=[("grant", "grant"), ("decline", "decline")])
    terms = ContractField(contract="hanse.contracts.awarding.AwardTerms")
    state = models.CharField(max_length=12, choices=[(one, one) for one in TRANSITIONS], default="waiting")
    proposed_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(default=now)
    decided_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True)

    class Meta:
        app_label = "awarding"
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["application"], condition=models.Q(state="waiting"), name="one_proposal_waits"
            )
        ]

    def __str__(self) -> str:
        return f"{self.public_id} {self.decision}"

    @classmethod
    def waiting_for(cls, application: Application) -> Proposal | None:
        return cls.objects.filter(application=application, state="waiting").select_related("proposed_by").first()

    @classmethod
    def propose(cls, application: Application, by: Person, decision: str, terms: AwardTerms) -> Proposal:
        """Keep it for another officer.

        Raises:
            PolicyError: not an officer, one of the applicants, no room, or against the gate without a reason.
            UsageError: it cannot be granted so.
            Conflict: it was decided, its review does not allow it yet, or a proposal waits already.
        """
        from hanse.service.review import orders

        application.require_judge(by)
        if decision == "grant":
            parts = application.parts_of(terms)
            months = terms.duration_months or application.form.duration_months
            _require_gate(application, terms)
            capacity.refuse(capacity.shortfalls(parts, terms.starts or now().date(), months, terms.pattern))
        with transaction.atomic():
            held = Application.objects.select_for_update().get(pk=application.pk)
            if held.state not in OPEN_STATES:
                raise Conflict(f"the application is {held.state}", where=held.public_id, fix="look at it again")
            before = cls.waiting_for(held)
            if before is not None:
                raise Conflict(
                    f"a proposal of {before.proposed_by} waits already",
                    where=held.public_id,
                    fix="confirm or refuse that one; who proposed it may take it back",
                )
            orders.require(held, "grant" if decision == "grant" else "decline")
            made = cls.objects.create(application=held, decision=decision, terms=terms, proposed_by=by)
            Event.record(
                "officer:proposal:made", made.public_id, by=by.username, reason=terms.reason,
                application=held.public_id, decision=decision,
            )  # fmt: skip
        return made

    def confirm(self, by: Person) -> Any:
        """Do what was proposed; returns the first allocation of an award.

        Raises:
            PolicyError: not an officer, the proposer, or one of the two stands in the applicant's organisation.
            Conflict: it was taken back, refused or confirmed, or the application was decided.
        """
        self.application.require_judge(by)
        self.application.require_judge(self.proposed_by)
        if by.pk == self.proposed_by.pk:
            raise PolicyError(
                "who proposed it does not confirm it", where=self.public_id, fix="another officer confirms it"
            )
        with together():
            self._end("confirmed", by, "")
            reason = self.terms.reason
            if self.decision == "grant":
                return self.application.grant(by, reason=reason, terms=self.terms, proposal=self)
            self.application.decline(by, reason=reason, proposal=self)
            return None

    def take_back(self, by: Person, *, reason: str = "") -> None:
        by.require_officer()
        if by.pk != self.proposed_by.pk:
            raise PolicyError(
                "only who proposed it takes it back", where=self.public_id, fix="refuse it, with a reason"
            )
        self._end("taken-back", by, reason)

    def refuse(self, by: Person, *, reason: str) -> None:
        """Send it back to nobody: the application waits for another proposal."""
        self.application.require_judge(by)
        if by.pk == self.proposed_by.pk:
            raise PolicyError("who proposed it does not refuse it", where=self.public_id, fix="take it back")
        if not reason.strip():
            raise UsageError("refusing needs its reason", where="reason", fix="say why, for who proposed it")
        self._end("refused", by, reason)

    def _end(self, to: str, by: Person, reason: str) -> None:
        transition(
            self, to, TRANSITIONS, event=f"officer:proposal:{to}", by=by.username, reason=reason, keep_reason=True,
            data={"application": self.application.public_id}, decided_by=by, decided_at=now(),
        )  # fmt: skip

    def contract(self) -> contract.Proposal:
        decided: datetime | None = self.decided_at
        return contract.Proposal(
            id=self.public_id,
            application=self.application.public_id,
            decision=self.decision,
            terms=self.terms,
            state=self.state,
            proposed_by=self.proposed_by.username,
            proposed_at=self.proposed_at,
            decided_by=self.decided_by.username if decided and self.decided_by else "",
            reason=self.reason,
        )


Came = Literal["granted", "declined", "proposed"]


def decide(application: Application, by: Person, decision: str, terms: AwardTerms, **where: str | None) -> Came:
    """What an officer's word comes to: done where one is enough, else proposed, or the other's proposal confirmed.

    A proposal is confirmed by asking for the same decision, with the same hours or none named.

    Raises:
        HanseError: it may not be decided so; nothing was changed.
    """
    if policy.officers_for(decision) < 2:
        if decision == "grant":
            application.grant(by, reason=terms.reason, terms=terms, **({} if terms.parts else where))
            return "granted"
        application.decline(by, reason=terms.reason)
        return "declined"
    waits = Proposal.waiting_for(application)
    if waits is None or waits.proposed_by.pk == by.pk or waits.decision != decision:
        Proposal.propose(application, by, decision, _placed(application, terms, where))
        return "proposed"
    if decision == "grant" and (terms.parts or terms.gpu_hours):
        _require_same(application, waits, terms)
    waits.confirm(by)
    application.refresh_from_db()
    return "granted" if decision == "grant" else "declined"


def _placed(application: Application, terms: AwardTerms, where: dict[str, str | None]) -> AwardTerms:
    return terms.model_copy(update={"parts": application.parts_of(terms, **where)})


def _require_same(application: Application, waits: Proposal, terms: AwardTerms) -> None:
    meant, said = application.parts_of(waits.terms), application.parts_of(terms)
    same_sum = sum(one.gpu_hours for one in meant) == sum(one.gpu_hours for one in said)
    if not same_sum or (terms.parts and set(terms.parts) != set(meant)):
        raise Conflict(
            f"{waits.proposed_by} proposed {sum(one.gpu_hours for one in meant):,} GPU-hours",
            where=waits.public_id, fix="confirm that, or refuse it and propose your own",
        )  # fmt: skip


def _require_gate(application: Application, terms: AwardTerms) -> None:
    """As granting will; told now, as it is the proposer who gives the reason."""
    gate = application.gate
    if gate is not None and gate.verdict not in ("allow", "condition") and not terms.override_reason.strip():
        against = tuple(f for f in gate.findings if f.verdict in {"review", "deny"})
        raise PolicyError(
            f"the gate says {gate.verdict}", where=application.public_id,
            fix="decline it, or propose it with override_reason: why these findings do not stand",
            history=tuple(f.reason for f in against), findings=against,
        )  # fmt: skip
