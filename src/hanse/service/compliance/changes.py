"""What a launch changed against what was granted: screened anew, kept with the difference, and an officer asked.

The first run of an award and whatever an officer accepted are what later runs are compared with. Another purpose (each
run words its own) or another model may start where the gate says no more than before; a person may refuse it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final

from django.db import models, transaction

from hanse.contracts import watch as contract
from hanse.contracts.decision import Decision, Finding
from hanse.contracts.errors import UsageError
from hanse.contracts.plan import Plan
from hanse.contracts.spec import TrainSpec
from hanse.contracts.watch import Difference
from hanse.rules import gate, prefill, watch
from hanse.service.access.people import Person
from hanse.service.compliance.releases import evaluation_facts
from hanse.service.records import ContractField, PublicIdField, transition
from hanse.service.runs.events import Event

CHANGE_TRANSITIONS: Mapping[str, frozenset[str]] = {
    "noted": frozenset({"asked", "accepted", "refused"}),
    "asked": frozenset({"accepted", "refused"}),
    "accepted": frozenset({"refused"}),
    "refused": frozenset({"accepted"}),
}
BY: Final = "gate"


class RunChange(models.Model):
    STATES = [(state, state) for state in CHANGE_TRANSITIONS]

    public_id = PublicIdField(prefix="chg")
    award = models.ForeignKey("access.Award", on_delete=models.PROTECT, related_name="changes")
    key = models.CharField(max_length=64)
    """Of what was changed: the same change again is the same row."""
    spec = ContractField(contract="hanse.contracts.spec.TrainSpec")
    differences = models.JSONField(default=list)
    decision = ContractField(contract="hanse.contracts.decision.Decision")
    """The new screening, with what the run tells of itself."""
    state = models.CharField(max_length=10, choices=STATES)
    decided_by = models.CharField(max_length=150, blank=True)
    reason = models.TextField(blank=True)
    asked_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "compliance"
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["award", "key"], name="change_once_an_award")]

    def __str__(self) -> str:
        return f"{self.public_id} {', '.join(one['what'] for one in self.differences)}"

    def decide(self, by: Person, *, accept: bool, reason: str) -> None:
        """An officer's answer.

        Raises:
            PolicyError: not an officer, or one of the applicants.
            UsageError: no reason.
            Conflict: it was answered so already, or by somebody else first.
        """
        self.award.application.require_judge(by)
        if not reason.strip():
            raise UsageError("this needs its reason", where="reason", fix="Say why; the applicant reads it.")
        to = "accepted" if accept else "refused"
        transition(
            self, to, CHANGE_TRANSITIONS, event=f"officer:change:{to}", by=by.username, reason=reason,
            keep_reason=True, data={"award": self.award.public_id}, decided_by=by.username,
        )  # fmt: skip

    def contract(self) -> contract.RunChange:
        return contract.RunChange(
            id=self.public_id, award=self.award.public_id, state=self.state, decided_by=self.decided_by,
            differences=tuple(Difference.model_validate(one) for one in self.differences),
            verdict=self.decision.verdict, reason=self.reason,
        )  # fmt: skip


def findings(award: Any, spec: TrainSpec, plan: Plan | None, *, before_flops: float, today: date) -> Iterator[Finding]:
    """What a launch changed, kept where it is new, and whether it may go on. Call it inside a transaction."""
    if getattr(award.application, "screening", None) is None:
        return  # nothing was screened, so nothing can be otherwise
    changed = _differences(award, spec)
    was, is_now = _screened(award, spec, plan, before_flops, today)
    stricter = _stricter(was, is_now)
    if stricter and not changed:
        flops = prefill.training_flops(plan.workload)[0] + before_flops if plan else before_flops
        changed = (Difference(what="computation", was="as it was screened", now=f"{flops:.3g} FLOP planned in all"),)
    if not changed:
        return
    blocking = any(one.verdict in ("review", "deny") for one in stricter)
    row = _kept(award, spec, changed, is_now, "asked" if blocking else "noted")
    yield _answer(row)
    yield from (one for one in stricter if one.verdict == "condition" and row.state in ("noted", "accepted"))


def _differences(award: Any, spec: TrainSpec) -> tuple[Difference, ...]:
    """Against the nearest of what was run first or accepted since; before the first run, against the application.

    What was refused stays what it was, also where it was the first.
    """
    for refused in RunChange.objects.filter(award=award, state="refused"):
        if not any(watch.differences(spec, refused.spec)):
            return tuple(Difference.model_validate(one) for one in refused.differences)
    first = _first_spec(award)
    if first is None:
        asked_for = award.application.form.purpose
        if not spec.purpose.strip() or watch.same_words(spec.purpose, asked_for):
            return ()
        return (Difference(what="purpose", was=asked_for, now=spec.purpose),)
    accepted = [one.spec for one in RunChange.objects.filter(award=award, state="accepted")]
    return min((tuple(watch.differences(spec, one)) for one in (first, *accepted)), key=len)


def _first_spec(award: Any) -> TrainSpec | None:
    from hanse.service.runs.lifecycle import Run

    first = Run.objects.filter(legs__allocation__award=award).order_by("pk").first()
    return first.spec if first else None


def _screened(
    award: Any, spec: TrainSpec, plan: Plan | None, before_flops: float, today: date
) -> tuple[Decision, Decision]:
    """The same answers under today's rules without and with what the run tells; only what differs is the run's."""
    from hanse.service.access.apply import facts_of  # it imports this app's models

    application = award.application
    answers, subject = application.screening.answers, application.public_id
    facts = {**facts_of(application.form), **evaluation_facts(application)}
    known = prefill.from_training(spec, plan.workload if plan else None)
    more = dict(known.facts)
    if before_flops or more:
        more["training_flops"] = more.get("training_flops", 0.0) + before_flops
    try:
        was = gate.evaluate(answers, facts, subject=subject, as_of=today)
        told = prefill.fill(answers, known)
        return was, gate.evaluate(told, {**facts, **more}, subject=subject, as_of=today)
    except UsageError as error:
        finding = Finding(
            rule="gate.answers-unclear", verdict="review", reason=error.what, what_would_change_it=error.fix
        )
        clear = application.screening.decision
        return clear, clear.model_copy(update={"findings": (finding,), "verdict": "review", "decided_by": BY})


def _stricter(was: Decision, is_now: Decision) -> tuple[Finding, ...]:
    said = {(one.rule, one.verdict) for one in was.findings}
    return tuple(one for one in is_now.findings if one.verdict != "allow" and (one.rule, one.verdict) not in said)


def _kept(award: Any, spec: TrainSpec, changed: tuple[Difference, ...], decision: Decision, state: str) -> RunChange:
    said = "\n".join(f"{one.what}: {one.now}" for one in changed)
    key = hashlib.sha256(f"{said}\n{sorted(one.rule for one in decision.findings)}".encode()).hexdigest()
    with transaction.atomic():
        row, new = RunChange.objects.get_or_create(
            award=award, key=key,
            defaults={
                "spec": spec, "differences": [one.model_dump(mode="json") for one in changed], "decision": decision,
                "state": state,
            },
        )  # fmt: skip
        if new:
            Event.record(
                f"service:change:{state}", award.application.public_id, by=BY, reason=said, change=row.public_id,
                verdict=decision.verdict,
            )  # fmt: skip
    return row


def _answer(row: RunChange) -> Finding:
    what = "; ".join(f"{one['what']} was “{one['was']}”, is “{one['now']}”" for one in row.differences)
    rule, said = "watch.changed", f"This is not what was granted before: {what}."
    if row.state == "accepted":
        return Finding(rule=rule, verdict="allow", reason=f"{said} {row.decided_by} accepted it: {row.reason}")
    if row.state == "noted" and all(one["what"] == "purpose" for one in row.differences):
        return Finding(rule=rule, verdict="allow", reason=f"{said} Both are on file for the officer.")
    if row.state == "noted":
        return Finding(
            rule=rule, verdict="condition", reason=f"{said} The gate says no more of it than before.",
            condition=f"An officer looks at the change {row.public_id}; if it is refused, no further run starts.",
        )  # fmt: skip
    why = "an officer has been asked" if row.state == "asked" else f"{row.decided_by} refused it: {row.reason}"
    return Finding(
        rule=rule, verdict="deny", reason=f"{said} It was screened anew ({row.decision.verdict}), and {why}.",
        what_would_change_it=f"Wait for the officer's answer on {row.public_id}, or launch what was granted.",
    )  # fmt: skip
