"""Sending an application.

Eligibility says at once what the call does not admit; the gate's verdict is kept for the officer who decides.
"""

from __future__ import annotations

from django.db import transaction

from hanse.contracts.base import now
from hanse.contracts.decision import worst
from hanse.contracts.errors import PolicyError
from hanse.contracts.programme import ApplicationForm
from hanse.programme import eligibility, rounds
from hanse.rules import gate
from hanse.service.access.calls import APPLICATION_TRANSITIONS, Application, Call
from hanse.service.access.people import Organisation, Person
from hanse.service.compliance.models import Screening
from hanse.service.records import transition
from hanse.service.runs.events import Event


def submit(person: Person, form: ApplicationForm) -> Application:
    """File, screen and send an application.

    Raises:
        UsageError: no such call.
        PolicyError: the call does not admit it, with the findings; only an event is kept.
    """
    call, at = Call.latest(form.call), now()
    findings = eligibility.check(form, call.terms, at.date(), at)
    if worst(findings) == "deny":
        against = tuple(f for f in findings if f.verdict == "deny")
        Event.record(
            "service:application:refused", form.call, by=person.username, reason="; ".join(f.reason for f in against)
        )
        raise PolicyError(
            f"{call.terms.title} does not admit this application",
            where=form.call,
            fix="change what the findings name, or choose another call",
            history=tuple(f.reason for f in against),
            findings=findings,
        )
    promise = rounds.promise(call.terms, at)
    with transaction.atomic():
        organisation = Organisation.of_applicant(
            person, name=form.organisation, kind=form.organisation_kind, country=form.country
        )
        application = Application.objects.create(call=call, organisation=organisation, applicant=person, form=form)
        decision = gate.evaluate(form.answers, facts_of(form), subject=application.public_id, as_of=at.date())
        findings_of_both = (*findings, *decision.findings)
        decision = decision.model_copy(update={"findings": findings_of_both, "verdict": worst(findings_of_both)})
        Screening.objects.create(application=application, decision=decision, answers=dict(form.answers))
        transition(
            application,
            "sent",
            APPLICATION_TRANSITIONS,
            event="user:application:sent",
            by=person.username,
            data={"gate": decision.verdict},
            sent_at=at,
            decide_by=promise.decide_by,
            cut_off=promise.cut_off,
        )
    return application


def facts_of(form: ApplicationForm) -> dict[str, bool | str | int | float]:
    """What the gate may know beside the answers."""
    return {
        "organisation_kind": form.organisation_kind,
        "country": form.country,
        "gpu_hours": form.gpu_hours,
        "machine": form.machine,
        "purpose": form.purpose,
        "title": form.title,
    }
