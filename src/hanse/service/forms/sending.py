"""Beginning, looking over, copying and sending a draft; what leaves it as PDF or JSON."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from pydantic import ValidationError

from hanse.contracts.application import Draft
from hanse.contracts.base import now
from hanse.contracts.decision import worst
from hanse.contracts.errors import HanseError, UsageError
from hanse.contracts.programme import CallTerms
from hanse.programme import drafts as pure
from hanse.programme import eligibility, rounds
from hanse.rules import gate
from hanse.service.access.apply import facts_of
from hanse.service.access.models import Application, Call, Organisation
from hanse.service.forms import fields, paper, shown
from hanse.service.forms.drafts import KeptDraft
from hanse.service.forms.pages import find, seen_revision
from hanse.service.forms.say import say

MOST_BYTES = 1024 * 1024


def looked_over(kept: KeptDraft) -> dict[str, Any]:
    """What call and gate would say of it now, once nothing is open. What the call denies is not sent; what the gate
    denies is for an officer."""
    terms, at = kept.terms(), now()
    gaps = shown.gaps_of(kept.draft, terms, trial=kept.trial)
    findings, verdict, problem, admitted = (), None, "", False
    if terms and not gaps and not kept.unread:
        try:
            form = pure.form_of(kept.draft.model_copy(update={"call_version": terms.version}), terms)
            findings = eligibility.check(form, terms, at.date(), at)
            admitted = worst(findings) != "deny"
            found = gate.evaluate(form.answers, facts_of(form), subject=kept.public_id, as_of=at.date())
            findings = (*findings, *found.findings)
            verdict = worst(findings)
        except UsageError as error:
            problem = f"{error.what}. {error.fix}".strip()
    told = [(fields.section_of(gap.field), gap.field.replace(".", "-"), say(gap.message), gap.kind) for gap in gaps]
    return {
        "kept": kept, "terms": terms, "gaps": told, "unread": sorted(kept.unread), "findings": findings,
        "verdict": verdict, "problem": problem, "promise": rounds.promise(terms, at) if terms else None,
        "ready": admitted and not kept.trial and kept.state == "open", "admitted": admitted,
        "steps": [step for step in shown.steps(gaps, kept.unread, terms) if step.wanted],
    }  # fmt: skip


@require_safe
@login_required
def check(request: HttpRequest, draft_id: str) -> HttpResponse:
    return _check(request, find(request, draft_id))


def _check(request: HttpRequest, kept: KeptDraft, *, refused: HanseError | None = None) -> HttpResponse:
    mine = Organisation.objects.filter(memberships__person=request.user).distinct()
    context = looked_over(kept) | {
        "refused": refused, "mine": mine, "is_owner": kept.owner_id == request.user.pk,
        "calls": [call for call in Call.current() if call.terms.offered],
    }  # fmt: skip
    return render(request, "forms/check.html", context, status=409 if refused else 200)


@require_POST
@login_required
def send(request: HttpRequest, draft_id: str) -> HttpResponse:
    kept = find(request, draft_id)
    try:
        application = kept.send(seen=seen_revision(request), by=request.user)
    except HanseError as error:
        return _check(request, find(request, draft_id), refused=error)
    messages.success(request, _("It is sent."))
    return redirect("portal:application", application.public_id)


@login_required
def begin(request: HttpRequest) -> HttpResponse:
    """A new draft: for a call, or from a file that was exported, and with what is known of the person."""
    if request.method != "POST":  # back from signing in, which keeps no form
        return redirect("forms:calls")
    file = request.FILES.get("file")
    try:
        draft = imported(file.read(MOST_BYTES + 1)) if file else Draft()
        terms = _terms(request.POST.get("call", ""))
        if terms is not None:
            draft = pure.reuse(draft, terms) if file else started(request.user, terms)
            draft = _wished(draft, request)
        kept = KeptDraft.begin(request.user, draft)
    except HanseError as error:
        messages.error(request, f"{error.what} {error.fix}".strip())
        return redirect("forms:listed")
    return redirect("forms:opened", kept.public_id)


def started(person: Any, terms: CallTerms) -> Draft:
    """A draft for the call with what is known of the person and of the one organisation they stand in."""
    mine = list(Organisation.objects.filter(memberships__person=person).distinct()[:2])
    known: dict[str, Any] = {"contact_email": person.email or None}
    if len(mine) == 1:
        known |= {"organisation": mine[0].name, "organisation_kind": mine[0].kind, "country": mine[0].country or None}
    known = {key: value for key, value in known.items() if value}
    return Draft.model_validate({"call": terms.id, "call_version": terms.version, **known})


def _wished(draft: Draft, request: HttpRequest) -> Draft:
    """With what the form of the suggestion knew already."""
    data = draft.model_dump(mode="json")
    post = request.POST
    for key in ("organisation_kind", "country"):
        if post.get(key):
            data[key] = post[key]
    if post.get("gpu_hours", "").isdecimal():
        data["whole"]["compute"]["gpu_hours"] = int(post["gpu_hours"])
    for key in ("duration_months",):
        if post.get(key, "").isdecimal():
            data["whole"]["project"][key] = int(post[key])
    if post.get("purpose"):
        data["whole"]["project"]["purpose"] = post["purpose"]
    if post.get("machine"):
        data["whole"]["compute"]["machine"] = post["machine"]
    try:
        return Draft.model_validate(data)
    except ValidationError:
        return draft


def _terms(call: str) -> CallTerms | None:
    return Call.latest(call).terms if call else None


def imported(content: bytes) -> Draft:
    """A draft from its JSON. Raises UsageError where it is none."""
    if len(content) > MOST_BYTES:
        raise UsageError(_("The file is larger than 1 MB."), where="file")
    try:
        return Draft.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise UsageError(
            _("This is not a draft as it was exported: %(where)s.") % {"where": where}, where=where,
            fix=_("Nothing was changed."),
        ) from None  # fmt: skip


@require_POST
@login_required
def copy(request: HttpRequest, draft_id: str) -> HttpResponse:
    """The same text for another call, as a new draft."""
    return _copied(request, find(request, draft_id).draft)


@require_POST
@login_required
def copy_application(request: HttpRequest, application_id: str) -> HttpResponse:
    return _copied(request, pure.draft_of(_application(request, application_id).form))


def _copied(request: HttpRequest, draft: Draft) -> HttpResponse:
    try:
        terms = Call.latest(request.POST.get("call") or draft.call or "").terms
    except HanseError as error:
        messages.error(request, f"{error.what}. {error.fix}")
        return redirect("forms:listed")
    return redirect("forms:opened", KeptDraft.begin(request.user, pure.reuse(draft, terms)).public_id)


@require_safe
@login_required
def as_pdf(request: HttpRequest, draft_id: str) -> HttpResponse:
    kept = find(request, draft_id)
    return _file(paper.render(kept.draft, kept.terms(), state="draft"), kept.public_id, "pdf")


@require_safe
@login_required
def as_json(request: HttpRequest, draft_id: str) -> HttpResponse:
    kept = find(request, draft_id)
    return _file(kept.draft.to_json().encode(), kept.public_id, "json")


def _application(request: HttpRequest, application_id: str) -> Application:
    seen = Application.objects.seen_by(request.user).select_related("call")
    found: Application = get_object_or_404(seen, public_id=application_id)
    return found


@require_safe
@login_required
def application_pdf(request: HttpRequest, application_id: str) -> HttpResponse:
    found = _application(request, application_id)
    draft = pure.draft_of(found.form)
    content = paper.render(draft, found.call.terms, state=found.state, id=found.public_id, sent_at=found.sent_at)
    return _file(content, found.public_id, "pdf")


@require_safe
@login_required
def application_json(request: HttpRequest, application_id: str) -> HttpResponse:
    found = _application(request, application_id)
    return _file(pure.draft_of(found.form).to_json().encode(), found.public_id, "json")


def _file(content: bytes, name: str, ending: str) -> HttpResponse:
    response = HttpResponse(content, content_type=f"application/{ending}")
    response["Content-Disposition"] = f'attachment; filename="{name}.{ending}"'
    response["Cache-Control"] = "private, no-store"
    return response
