"""The gate's screening of one application, kept with the answers it was made from, and what it would say today."""

from __future__ import annotations

from django.db import models

from hanse.contracts.decision import Decision
from hanse.contracts.errors import PolicyError
from hanse.service.access.calls import Application
from hanse.service.access.people import Person
from hanse.service.records import ContractField, set_fields, together
from hanse.service.runs.events import AppendOnly, Event


class Screening(models.Model):
    application = models.OneToOneField(Application, on_delete=models.PROTECT, related_name="screening")
    decision = ContractField(contract="hanse.contracts.decision.Decision")
    answers = models.JSONField(default=dict)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "compliance"

    def __str__(self) -> str:
        return f"{self.application.public_id} {self.decision.verdict}"

    def passed(self, by: Person, *, override_reason: str = "") -> Decision:
        """The decision to grant under. Where the gate did not allow it, an officer's own reason is kept beside it.

        Raises:
            PolicyError: the gate says review or deny and no reason to overrule it was given.
        """
        decision: Decision = self.decision
        if decision.verdict in {"allow", "condition"}:
            return decision
        against = tuple(f for f in decision.findings if f.verdict in {"review", "deny"})
        if not override_reason.strip():
            raise PolicyError(
                f"the gate says {decision.verdict}",
                where=self.application.public_id,
                fix="decline it, or grant it with override_reason: why these findings do not stand",
                history=tuple(f.reason for f in against),
                findings=against,
            )
        verdict = "condition" if decision.conditions else "allow"
        overruled = decision.model_copy(
            update={
                "verdict": verdict, "overridden_from": decision.verdict, "override_reason": override_reason,
                "decided_by": by.username,
            }
        )  # fmt: skip
        with together():
            type(self).objects.filter(pk=self.pk).update(decision=overruled)
            Event.record(
                "officer:screening:overruled", self.application.public_id, by=by.username, reason=override_reason,
                was=decision.verdict,
            )  # fmt: skip
            set_fields(self, decision=overruled)
        return overruled


class Rescreening(AppendOnly):
    """What the rules of a later day, or later rules, make of the same answers. It decides nothing."""

    screening = models.ForeignKey(Screening, on_delete=models.PROTECT, related_name="rescreenings")
    decision = ContractField(contract="hanse.contracts.decision.Decision")
    as_of = models.DateField()
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "compliance"

    def __str__(self) -> str:
        return f"{self.screening.application.public_id} {self.decision.verdict} as of {self.as_of}"


class RescreenPass(models.Model):
    """How far one day's screening under one version of the rules came; it takes many ticks."""

    basis = models.CharField(max_length=100, unique=True)
    """The day and the rules."""
    read_to = models.PositiveBigIntegerField(default=0)
    """The last screening that was asked again."""
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "compliance"
        verbose_name_plural = "rescreen passes"

    def __str__(self) -> str:
        return f"{self.basis} to {self.read_to}"


class RescreeningAnswer(AppendOnly):
    """An officer's word on a rescreening: the grant stands, with a reason, or it does not. Both are kept."""

    rescreening = models.OneToOneField(Rescreening, on_delete=models.PROTECT, related_name="answer")
    stands = models.BooleanField()
    reason = models.TextField()
    by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "compliance"

    def __str__(self) -> str:
        return f"{self.rescreening}: {'stands' if self.stands else 'does not stand'}"


from hanse.service.compliance.changes import RunChange  # noqa: E402
from hanse.service.compliance.computed import RunCompute, ThresholdMark  # noqa: E402
from hanse.service.compliance.conditions import Condition  # noqa: E402
from hanse.service.compliance.permits import Permit, PermitWarning  # noqa: E402
from hanse.service.compliance.questions import Question  # noqa: E402
from hanse.service.compliance.releases import Release, RunEvaluation  # noqa: E402

__all__ = [
    "Condition",
    "Permit",
    "PermitWarning",
    "Question",
    "Release",
    "RescreenPass",
    "Rescreening",
    "RescreeningAnswer",
    "RunChange",
    "RunCompute",
    "RunEvaluation",
    "Screening",
    "ThresholdMark",
]  # fmt: skip
