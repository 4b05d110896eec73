"""Stored answers asked again under today's rules: what an old screening would say now, flagged where it says otherwise.

The decision an officer granted under stays as it was; the new one is kept beside it, with an event on the application.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import models, transaction

from hanse.contracts.base import now
from hanse.contracts.compliance import ENDINGS, Ending
from hanse.contracts.decision import Decision, Finding, worst
from hanse.contracts.errors import Conflict, UsageError
from hanse.rules import gate, watch
from hanse.rules.changes import asked
from hanse.rules.files import shipped
from hanse.rules.ruleset import RuleSet
from hanse.service.access.awards import Allocation
from hanse.service.access.people import Person
from hanse.service.compliance import conditions
from hanse.service.compliance.models import Rescreening, RescreeningAnswer, RescreenPass, Screening
from hanse.service.runs.events import Event

UNDECIDED = ("sent", "in-review")
BY = "gate"
A_SHARE = 500
SHARE_S = 0.5
"""So many at most in one pass of the tick, and no longer: whoever asks the service meanwhile waits behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One application of which the rules say something else than they said last."""

    application: str
    before: str
    after: str
    appeared: tuple[str, ...]
    gone: tuple[str, ...]


def rescreen(*, as_of: date | None = None, rules: RuleSet | None = None) -> tuple[Changed, ...]:
    """Ask every open application's answers again; what changed is kept, and told once."""
    # Each is read under its lock: to hold all of fifty thousand here would take gigabytes.
    day = as_of or now().date()
    made = (_again(pk, day, rules or shipped()) for pk in open_ones(day))
    return tuple(one for one in made if one is not None)


def open_ones(day: date) -> Any:
    """Keys of what the rules can still matter to: what is undecided, and awards with hours that have not ended.

    An award that is prolonged later is among them again from the next day on.
    """
    last = Allocation.objects.filter(award__application=models.OuterRef("application"), ends__gte=day)
    granted = models.Q(models.Exists(last), application__state="granted")
    rows = Screening.objects.filter(models.Q(application__state__in=UNDECIDED) | granted)
    return rows.order_by("pk").values_list("pk", flat=True)


def share(at: datetime, *, rules: RuleSet | None = None, most: int = A_SHARE, seconds: float = SHARE_S) -> int:
    """Go on with the day's screening where the last share ended; how many changed.

    Once a day, and anew for new rules: rules begin and end on days. What was screened is put down with it, in one
    transaction, so that after a restart, or beside another process, each is screened once.
    """
    given, day = rules or shipped(), at.date()
    today, _ = RescreenPass.objects.get_or_create(basis=f"{day.isoformat()} {given.label}"[:100])
    if today.done_at is not None:
        return 0
    mine, before = RescreenPass.objects.filter(pk=today.pk), today.read_to
    changed, until = 0, time.monotonic() + seconds
    left = list(open_ones(day).filter(pk__gt=before)[: most + 1])
    for pk in left[:most]:
        with transaction.atomic():
            if not mine.filter(read_to=before).update(read_to=pk):
                return changed  # another process goes on with it
            changed += _again(pk, day, given) is not None
        before = pk
        if time.monotonic() >= until:
            return changed
    if len(left) <= most and mine.filter(read_to=before).update(done_at=now()):
        RescreenPass.objects.exclude(pk=today.pk).delete()
    return changed


@transaction.atomic
def _again(pk: int, as_of: date, rules: RuleSet) -> Changed | None:
    """Under the screening's lock: of two that ask at once, the second finds what the first kept."""
    screening = Screening.objects.select_for_update(of=("self",)).select_related("application__call").get(
        pk=pk
    )  # fmt: skip
    last = screening.rescreenings.order_by("-pk").first()
    before: Decision = last.decision if last else screening.decision
    after = _decision(screening, as_of, rules)
    were, are = _spoke(before), _spoke(after)
    if were == are:
        return None
    changed = Changed(
        application=screening.application.public_id,
        before=_ending(before),
        after=_ending(after),
        appeared=tuple(sorted(are - were)),
        gone=tuple(sorted(were - are)),
    )
    Rescreening.objects.create(screening=screening, decision=after, as_of=as_of)
    Event.record(
        "service:screening:changed", changed.application, by=BY,
        reason=f"Under the {rules.label} the gate says {changed.after}, and said {changed.before} before.",
        was=changed.before, now=changed.after, appeared="; ".join(changed.appeared), gone="; ".join(changed.gone),
    )  # fmt: skip
    return changed


def answer(rescreening: Rescreening, by: Person, *, stands: bool, reason: str) -> RescreeningAnswer:
    """An officer's word on what was granted: it stands although the rules say otherwise now, or it does not.

    Then a condition of the award is in breach, and no new run starts until an officer says that it is met again.

    Raises:
        PolicyError: not an officer, or one of the applicants.
        UsageError: no reason.
        Conflict: it was answered already.
    """
    application = rescreening.screening.application
    application.require_judge(by)
    if not reason.strip():
        raise UsageError("this needs its reason", where="reason", fix="Say why; the applicant reads it.")
    with transaction.atomic():
        Screening.objects.select_for_update().get(pk=rescreening.screening_id)
        if RescreeningAnswer.objects.filter(rescreening=rescreening).exists():
            raise Conflict("it was answered already", where=application.public_id, fix="Look at the answer.")
        made = RescreeningAnswer.objects.create(rescreening=rescreening, stands=stands, reason=reason.strip(), by=by)
        Event.record(
            f"officer:rescreening:{'stands' if stands else 'falls'}", application.public_id, by=by.username,
            reason=reason,
        )  # fmt: skip
        award = getattr(application, "award", None)
        if not stands and award is not None:
            key = f"rescreening:{rescreening.pk}"
            held = conditions.ensure(
                award, key=key, kind="rule", rule="gate.rescreening",
                text=f"What the rules say since {rescreening.as_of} is dealt with.",
            )  # fmt: skip
            held.become("breached", by=by.username, reason=reason, evidence="", source="officer")
    return made


def _decision(screening: Screening, as_of: date, rules: RuleSet) -> Decision:
    """Answers to questions that are asked no more are left out; answers that cannot stand together go to a person."""
    from hanse.service.access.apply import facts_of  # it imports this app's models

    form, subject = screening.application.form, screening.application.public_id
    try:
        facts = {**facts_of(form), **_seen(screening)}
        return gate.evaluate(asked(rules, screening.answers), facts, subject=subject, as_of=as_of, rules=rules)
    except UsageError as error:
        unclear = Finding(
            rule="gate.answers-unclear", verdict="review", reason=error.what, what_would_change_it=error.fix
        )
        return Decision(
            subject=subject, verdict="review", findings=(unclear,), decided_at=now(), decided_by=rules.label
        )


def _seen(screening: Screening) -> dict[str, float]:
    """What is known since: evaluations, and the computation that was seen where it passes what was stated.

    Less than that says nothing yet: a training that has only begun must not make the outcome milder.
    """
    from hanse.service.compliance.releases import evaluation_facts
    from hanse.service.compliance.watching import award_flops

    application = screening.application
    award = getattr(application, "award", None)
    flops = award_flops(award) if award is not None else 0.0
    stated = screening.answers.get("training-flops", screening.answers.get("training_flops", 0.0))
    least = max(float(stated) if isinstance(stated, int | float) else 0.0, watch.INDICATION / 3)
    return {**({"training_flops": flops} if flops > least else {}), **evaluation_facts(application)}


def _gates_own(decision: Decision) -> tuple[Finding, ...]:
    """Without what the call's own terms said."""
    return tuple(one for one in decision.findings if not one.rule.startswith("call."))


def _spoke(decision: Decision) -> frozenset[str]:
    """Rules and what they said; those that only allow say nothing."""
    return frozenset(f"{one.rule}: {ENDINGS[one.verdict]}" for one in _gates_own(decision) if one.verdict != "allow")


def _ending(decision: Decision) -> Ending:
    return ENDINGS[worst(_gates_own(decision))]
