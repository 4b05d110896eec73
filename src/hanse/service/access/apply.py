"""Sending an application.

What the form lacks and what the call does not admit is said at once; the gate's verdict is kept for the officer who
decides. An application is bound to the version of the call it was checked against.
"""

from __future__ import annotations

from hanse.contracts.application import Draft
from hanse.contracts.base import now
from hanse.contracts.decision import worst
from hanse.contracts.errors import Conflict, PolicyError
from hanse.contracts.programme import ApplicationForm
from hanse.programme import completeness, drafts, eligibility, rounds
from hanse.programme.completeness import DraftAnswer
from hanse.rules import gate
from hanse.service.access.calls import APPLICATION_TRANSITIONS, Application, Call
from hanse.service.access.people import Organisation, Person
from hanse.service.awarding.duties import require_none_overdue
from hanse.service.compliance.models import Screening
from hanse.service.records import together, transition
from hanse.service.runs.events import Event


def submit(person: Person, form: ApplicationForm) -> Application:
    """File, screen and send an application.

    Raises:
        UsageError: no such call, or the form is not complete or cannot be; section and field are named.
        Conflict: the call was amended since the form was written for it.
        PolicyError: the call does not admit it, with the findings; only an event is kept.
    """
    call, at = Call.latest(form.call), now()
    form = whole(form, call)
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
    with together():
        call.require_room()
        organisation = Organisation.of_applicant(
            person, name=form.organisation, kind=form.organisation_kind, country=form.country
        )
        require_none_overdue(organisation)
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


def whole(form: ApplicationForm, call: Call) -> ApplicationForm:
    """The form as it is kept: complete, and with the version of the call it is bound to.

    Raises:
        UsageError: a section that the call wants is missing or wrong; the first such field is named.
        Conflict: it was written for a version that an amendment has replaced.
    """
    terms = call.terms
    if form.call_version is not None and form.call_version != call.version:
        changed = drafts.amended(Call.version_of(form.call, form.call_version).terms, terms)
        raise Conflict(
            f"the call was amended: it is at version {call.version}, and this was written for {form.call_version}",
            where=form.call,
            fix=f"Look at what changed ({', '.join(changed) or 'nothing but its number'}), then write it for "
            f"version {call.version}.",
        )
    if form.whole is None and not terms.sections:
        return form.model_copy(update={"call_version": call.version})
    draft = drafts.draft_of(form).model_copy(update={"call_version": call.version})
    return drafts.form_of(draft, terms)


def check(draft: Draft) -> DraftAnswer:
    """What a draft lacks, and what the call would say of it as it is; nothing is kept.

    Raises:
        UsageError: no such call.
    """
    call, at = (Call.latest(draft.call) if draft.call else None), now()
    terms = call.terms if call else None
    gaps = completeness.gaps(draft, terms)
    promise = rounds.promise(terms, at) if terms else None
    findings = eligibility.check(drafts.form_of(draft, terms), terms, at.date(), at) if terms and not gaps else ()
    return DraftAnswer(
        call_version=call.version if call else None,
        gaps=gaps,
        findings=findings,
        cut_off=promise.cut_off if promise else None,
        decide_by=promise.decide_by if promise else None,
        promise=promise.sentence if promise else "",
    )


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
