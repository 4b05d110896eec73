"""Conditions of an award as rows: made from what the gate and the officer asked, met or breached with evidence, kept.

The gate's own are a person's to judge. Those the watch looks after (data really read, a notification that is due) it
changes by itself; an officer may overrule it, and both are kept as events.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final

from django.db import models, transaction

from hanse.contracts import watch as contract
from hanse.contracts.base import now
from hanse.contracts.decision import Finding
from hanse.contracts.errors import UsageError
from hanse.service.access.people import Person
from hanse.service.records import PublicIdField, transition
from hanse.service.runs.events import REASON_LENGTH, Event

WATCH: Final = "watch"
CONDITION_TRANSITIONS: Mapping[str, frozenset[str]] = {
    "open": frozenset({"met", "breached", "waived"}),
    "met": frozenset({"open", "breached", "waived"}),
    "breached": frozenset({"open", "met", "waived"}),
    "waived": frozenset({"open", "breached"}),
}
DATA_DECLARED: Final = "data.declared"
_KINDS: Final = (("health-data", "permit"), ("personal-data", "permit"), ("gpai.", "compute"))
_BY_OFFICER: Final = "officer"


class Condition(models.Model):
    STATES = [(state, state) for state in CONDITION_TRANSITIONS]

    public_id = PublicIdField(prefix="cnd")
    award = models.ForeignKey("access.Award", on_delete=models.PROTECT, related_name="watched")
    key = models.CharField(max_length=100)
    kind = models.CharField(max_length=10)
    rule = models.CharField(max_length=63, blank=True)
    text = models.TextField()
    citation = models.TextField(blank=True)
    parameters = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=STATES, default="open")
    due = models.DateField(null=True, blank=True)
    evidence = models.TextField(blank=True)
    said_by = models.CharField(max_length=150, blank=True)
    reason = models.TextField(blank=True)
    changed_at = models.DateTimeField(default=now)

    class Meta:
        app_label = "compliance"
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["award", "key"], name="condition_once_an_award")]

    def __str__(self) -> str:
        return f"{self.public_id} {self.text}"

    def change(self, asked: contract.ConditionChange, by: Person) -> None:
        """An officer's word on it.

        Raises:
            PolicyError: not an officer, or one of the applicants.
            UsageError: no evidence for what is met, or no reason for the rest.
            Conflict: it is so already, or somebody else changed it first.
        """
        self.award.application.require_judge(by)
        if asked.to == "met" and not asked.evidence.strip():
            raise UsageError("a condition is met by something", where="evidence", fix="Say what shows it, and where.")
        if asked.to != "met" and not asked.reason.strip():
            raise UsageError("this needs its reason", where="reason", fix="Say why; it is kept.")
        kept = asked.evidence.strip() or self.evidence
        self.become(asked.to, by=by.username, reason=asked.reason.strip(), evidence=kept, source="officer")

    def become(self, to: str, *, by: str, reason: str, evidence: str, source: str = "watch") -> None:
        transition(
            self, to, CONDITION_TRANSITIONS, event=f"{source}:condition:{to}", by=by, reason=reason,
            keep_reason=True, data={"award": self.award.public_id, "evidence": evidence[:500]},
            evidence=evidence, said_by=by, changed_at=now(),
        )  # fmt: skip

    def offer(self, evidence: str, by: Person) -> None:
        """What the holder of the award says shows that it is met; an officer looks at it.

        Raises:
            UsageError: nothing was said.
        """
        if not evidence.strip():
            raise UsageError("there is nothing in it", where="evidence", fix="Say what shows it, and where.")
        kept = evidence.strip()
        if len(kept) > REASON_LENGTH:
            raise UsageError(
                f"it has {len(kept):,} characters, and {REASON_LENGTH:,} are taken", where="evidence", fix="Shorten it."
            )
        with transaction.atomic():
            type(self).objects.filter(pk=self.pk).update(evidence=kept, said_by=by.username, changed_at=now())
            Event.record("user:condition:evidence", self.public_id, by=by.username, reason=kept)
        self.refresh_from_db()

    def contract(self) -> contract.WatchedCondition:
        return contract.WatchedCondition(
            id=self.public_id, award=self.award.public_id, kind=self.kind, rule=self.rule, text=self.text,
            citation=self.citation, parameters=self.parameters, state=self.state, due=self.due, evidence=self.evidence,
            by=self.said_by, reason=self.reason, changed_at=self.changed_at,
        )  # fmt: skip


def open_for(award: Any) -> tuple[Condition, ...]:
    """The award's conditions, made from the decision it was granted under where they are not there yet."""
    screening = getattr(award.application, "screening", None)
    findings = screening.decision.findings if screening else ()
    with transaction.atomic():
        for finding in findings:
            if finding.verdict == "condition" and finding.condition:
                from_finding(award, finding)
        of_gate = {one.condition for one in findings}
        for text in award.conditions:
            if text not in of_gate:
                ensure(award, key=f"{_BY_OFFICER}:{_digest(text)}", kind=_BY_OFFICER, text=text)
        ensure(
            award, key=DATA_DECLARED, kind="data", rule=DATA_DECLARED,
            text="Only datasets that train.yaml declares are read, from the source and under the licence it names.",
        )  # fmt: skip
    return tuple(Condition.objects.filter(award=award))


def from_finding(award: Any, finding: Finding) -> Condition:
    kind = next((kind for begin, kind in _KINDS if finding.rule.startswith(begin)), "rule")
    return ensure(
        award, key=f"rule:{finding.rule}", kind=kind, rule=finding.rule, text=finding.condition,
        citation=finding.citation,
    )  # fmt: skip


def ensure(award: Any, *, key: str, **fields: Any) -> Condition:
    """That row, made with its event where it is not there; one that is there is left as it is."""
    with transaction.atomic():
        made, new = Condition.objects.get_or_create(award=award, key=key, defaults=fields)
        if new:
            Event.record(
                "service:condition:opened", made.public_id, by=WATCH, reason=made.text, award=award.public_id,
                kind=made.kind, rule=made.rule,
            )  # fmt: skip
    return made


def sentences(award: Any) -> tuple[str, ...]:
    """What goes into tickets: every condition of the award that still holds, in the order in which they came."""
    waived = set(Condition.objects.filter(award=award, state="waived").values_list("text", flat=True))
    since = Condition.objects.filter(award=award).exclude(state="waived").values_list("text", flat=True)
    kept = [text for text in award.conditions if text not in waived]
    return tuple(dict.fromkeys((*kept, *since)))


def breach(award: Any, key: str, evidence: str, reason: str) -> bool:
    """Note once that a condition does not hold; whether that was new."""
    found = Condition.objects.select_for_update().get(award=award, key=key)
    if found.state == "breached" or (found.state == "waived"):
        return False
    found.become("breached", by=WATCH, reason=reason, evidence=evidence)
    return True


def overdue(today: date) -> Iterator[Condition]:
    yield from Condition.objects.filter(state="open", due__lt=today).select_related("award")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
