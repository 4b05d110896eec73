"""The steps of an application's review, in the call's order: administrative, technical, scientific, panel.

Officers do the administrative step, operators of the machine's site the technical one. The scientific one is done by
closing the round (or by an officer where there is none), the panel's by closing its meeting. A step is done once; one
that failed lets the application only be declined.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db import models

from hanse.contracts import review_steps as contract
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.contracts.review_steps import StepKind, StepState, StepWord
from hanse.machines import catalogue
from hanse.programme.review import steps, technical
from hanse.service.access.models import Application, Person
from hanse.service.records import PublicIdField, together, transition
from hanse.service.review.ranked import Round
from hanse.service.review.reviewers import opened, require_judge
from hanse.service.runs.machines import Machine

TRANSITIONS: Mapping[str, frozenset[str]] = {
    "waiting": frozenset({"passed", "failed"}),
    "passed": frozenset(),
    "failed": frozenset(),
}
KINDS = ("administrative", "technical", "scientific", "panel")
OPEN = ("sent", "in-review")
"""Applications that wait for a decision."""


class Step(models.Model):
    """A row exists once the step is done, or opened again; before that it waits."""

    public_id = PublicIdField(prefix="stp")
    application = models.ForeignKey(Application, on_delete=models.PROTECT, related_name="review_steps")
    kind = models.CharField(max_length=14, choices=[(one, one) for one in KINDS])
    state = models.CharField(max_length=7, choices=[(one, one) for one in TRANSITIONS], default="waiting")
    done_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    done_at = models.DateTimeField(null=True, blank=True)
    findings = models.JSONField(default=list)
    reason = models.TextField(blank=True)

    class Meta:
        app_label = "review"
        ordering = ["pk"]
        verbose_name = "step"
        constraints = [models.UniqueConstraint(fields=["application", "kind"], name="step_once")]

    def __str__(self) -> str:
        return f"{self.application.public_id} {self.kind}: {self.state}"


def states(application: Any) -> dict[StepKind, StepState]:
    """How the steps stand that have a row."""
    return states_of([application])[application.pk]


def states_of(applications: Iterable[Any]) -> dict[Any, dict[StepKind, StepState]]:
    """The same of many, by key, with one query."""
    found: dict[Any, dict[StepKind, StepState]] = {one.pk: {} for one in applications}
    for key, kind, state in Step.objects.filter(application__in=list(found)).values_list(
        "application", "kind", "state"
    ):
        found[key][kind] = state
    return found


def states_of_open() -> dict[Any, dict[StepKind, StepState]]:
    """The same of all that wait for a decision and have a row, without naming each in the question."""
    found: dict[Any, dict[StepKind, StepState]] = defaultdict(dict)
    rows = Step.objects.filter(application__state__in=OPEN).order_by()
    for key, kind, state in rows.values_list("application", "kind", "state"):
        found[key][kind] = state
    return found


def turn(application: Any) -> StepKind | None:
    """The step whose turn it is; None: all are passed, or one failed."""
    return steps.turn(application.call.terms, states(application))


def turn_of(application: Any, stands: Mapping[StepKind, StepState]) -> StepKind | None:
    return steps.turn(application.call.terms, stands)


def failed_of(stands: Mapping[StepKind, StepState]) -> StepKind | None:
    return next((kind for kind, state in stands.items() if state == "failed"), None)


def of(application: Any, known: Any = None) -> tuple[contract.Step, ...]:
    """Every step of the call as it stands, done or waiting; the technical one that waits with what was prepared.

    `known` (known.Known) is what a page has read of it already.
    """
    terms = application.call.terms
    if known is None:
        rows = {one.kind: one for one in Step.objects.filter(application=application).select_related("done_by")}
    else:
        rows = known.rows
    at_turn = steps.turn(terms, {kind: one.state for kind, one in rows.items()})  # type: ignore[misc]
    shown = []
    for kind in steps.kinds(terms):
        row = rows.get(kind)
        if row is None or row.state == "waiting":
            findings = prepared(application, known) if kind == "technical" else ()
            who = steps.by(terms, kind)
            shown.append(contract.Step(kind=kind, by=who, findings=findings, turn=kind == at_turn))
        else:
            shown.append(
                contract.Step(
                    kind=kind,
                    state=row.state,
                    by=row.done_by.username if row.done_by else "",
                    at=row.done_at,
                    reason=row.reason,
                    findings=row.findings,
                )
            )
    return tuple(shown)


def prepared(application: Any, known: Any = None) -> tuple[contract.StepFinding, ...]:
    """The technical check as Hanse prepares it: from the form, and from the machine's facts as they are known now."""
    form = application.form
    machine = known.machine if known is not None else Machine.objects.filter(public_id=form.machine).first()
    facts = machine.facts if machine else None
    if facts is None and form.machine in catalogue.ids():
        facts = catalogue.load(form.machine)
    held_up = "" if machine is None else "it is stopped" if machine.stopped else "it drains" if machine.draining else ""
    return technical.check(form, application.call.terms, facts, held_up=held_up)


def do(application: Application, kind: StepKind, by: Person, word: StepWord) -> contract.Step:
    """Pass or fail a step, with what was found.

    Raises:
        PolicyError: it is somebody else's to do, or of the applicant's organisation.
        UsageError: the call has no such step, or a reason is missing.
        Conflict: an earlier step is not passed, it was done before, or the application is decided.
    """
    require_may(application, kind, by)
    _require_known(application, kind)
    _require_alone(application, kind)
    findings = steps.corrected(prepared(application) if kind == "technical" else (), word.corrections)
    speak = technical.against(findings)
    if word.passed and speak and not word.reason.strip():
        raise UsageError(
            f"a finding says no: {speak[0].text}",
            where=speak[0].id,
            fix="correct it with a reason, or say why it passes",
        )
    if not word.passed and not word.reason.strip():
        raise UsageError("failing a step needs its reason", where="reason", fix="say why; the applicant reads it")
    if kind == "scientific":
        _require_reviews(application)
    finish(application, kind, by, passed=word.passed, reason=word.reason.strip(), findings=findings)
    return next(one for one in of(application) if one.kind == kind)


def finish(
    application: Application, kind: StepKind, by: Person, *, passed: bool, reason: str = "",
    findings: Iterable[contract.StepFinding] = (),
) -> None:  # fmt: skip
    """Write down what a step came to; raises as `do`. The caller has asked who may."""
    _require_known(application, kind)
    with together():
        held = opened(application.pk)
        require_before(held, kind)
        row, _ = Step.objects.get_or_create(application=held, kind=kind)
        to = "passed" if passed else "failed"
        transition(
            row, to, TRANSITIONS, event=f"review:step:{to}", by=by.username, reason=reason, keep_reason=True,
            data={"application": held.public_id, "kind": kind, "next": turn_after(held, kind) if passed else None},
            done_by=by, done_at=now(), findings=[one.model_dump(mode="json") for one in findings],
        )  # fmt: skip


def require_before(application: Any, kind: StepKind) -> None:
    """Raises Conflict: a step before this one is not passed."""
    earlier = steps.before(application.call.terms, kind, states(application))
    if earlier is not None:
        raise Conflict(f"the {earlier} step comes first", where=application.public_id, fix="wait until it is passed")


def turn_after(application: Any, kind: StepKind) -> StepKind | None:
    order = steps.kinds(application.call.terms)
    return next(iter(order[order.index(kind) + 1 :]), None)


def may(application: Any, kind: StepKind, person: Person, known: Any = None) -> bool:
    """Whether the step is this person's to do."""
    try:
        require_may(application, kind, person, known)
    except PolicyError:
        return False
    return True


def require_may(application: Any, kind: StepKind, person: Person, known: Any = None) -> None:
    """Operators of the machine's site do the technical step (officers where the machine is not joined here).

    Raises:
        PolicyError: for anybody else, and for who stands in the organisation that applied.
    """
    if kind != "technical":
        require_judge(person, application)
        return
    rows = Machine.objects.filter(public_id=application.form.machine).select_related("site__organisation")
    machine = known.machine if known is not None else rows.first()
    if machine is None:
        require_judge(person, application)
        return
    host = machine.site.organisation
    if not person.is_active or not person.operates(host):
        raise PolicyError(
            f"operators of {machine.site} do the technical step on {machine.public_id}", where=application.public_id,
            fix=f"ask an operator of {machine.site}",
        )  # fmt: skip
    if person.belongs_to(application.organisation) and not settings.HANSE_EMBEDDED:
        raise PolicyError(
            f"you stand in {application.organisation}, which applied", where=application.public_id,
            fix="another operator has to do this",
        )  # fmt: skip


def sheet(application: Any, kind: StepKind) -> contract.StepSheet:
    """A step with what of the application it needs: of the form the technical one shows the section Compute alone."""
    form = application.form
    return contract.StepSheet(
        application=application.public_id, title=form.title, call=application.call.call_id,
        sent_at=application.sent_at, decide_by=application.decide_by,
        step=next(one for one in of(application) if one.kind == kind), gpu_hours=form.gpu_hours,
        duration_months=form.duration_months, machine=form.machine,
        compute=form.whole.compute if form.whole and kind == "technical" else None,
    )  # fmt: skip


def alone(application: Any, kind: StepKind, known: Any = None) -> bool:
    """Whether it is done by itself, and not with its round or the panel's meeting."""
    try:
        _require_alone(application, kind, known)
    except UsageError:
        return False
    return True


def _require_alone(application: Any, kind: StepKind, known: Any = None) -> None:
    """Raises UsageError: the step is done with its round. After redress, the round being closed, it is done alone."""
    if kind not in ("scientific", "panel"):
        return
    held = known.round if known is not None else Round.of(application)
    closed = held is not None and held.state == "closed"
    if kind == "scientific" and application.cut_off is not None and not closed:
        raise UsageError("this step is done by closing the round", where=kind, fix="close the round")
    stands = known.stands if known is not None else states(application) if kind == "panel" else {}
    if kind == "panel" and not (closed and stands.get("panel") == "waiting"):
        raise UsageError("this step is done by closing the panel's meeting", where=kind, fix="close the meeting")


def has(application: Any, kind: StepKind) -> bool:
    """Whether its call has such a step."""
    return kind in steps.kinds(application.call.terms)


def _require_known(application: Any, kind: StepKind) -> None:
    if not has(application, kind):
        raise UsageError(f"the call has no {kind} step", where=kind, fix="see the call's steps")


def _require_reviews(application: Any) -> None:
    sheets = list(application.assignments.values_list("state", flat=True))
    if "sent" not in sheets or "given" in sheets:
        raise Conflict(
            "a review of it is missing", where=application.public_id, fix="remind its reviewers or assign more"
        )
