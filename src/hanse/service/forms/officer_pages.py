"""Where officers write calls: cloned, edited in fields or as text, previewed, tried, published."""

from __future__ import annotations

from difflib import unified_diff
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from hanse.contracts.errors import HanseError, SpecError
from hanse.contracts.programme import CallTerms
from hanse.programme import calls
from hanse.service.access.models import Call
from hanse.service.forms import sending, terms_form
from hanse.service.forms.calls_pages import call_context
from hanse.service.forms.drafts import KeptDraft
from hanse.service.forms.sketches import CallSketch, written


def _officer(request: HttpRequest) -> None:
    if not request.user.is_officer:
        raise Http404


def _find(request: HttpRequest, sketch_id: str) -> CallSketch:
    _officer(request)
    found: CallSketch = get_object_or_404(
        CallSketch.objects.select_related("saved_by", "published"), public_id=sketch_id
    )
    return found


def _ours() -> list[Call]:
    """What another programme decided under is not ours to amend."""
    return [one for one in Call.current() if one.terms.decided_elsewhere is None]


@require_safe
@login_required
def listed(request: HttpRequest) -> HttpResponse:
    _officer(request)
    sketches = CallSketch.objects.filter(published=None).select_related("saved_by")[:50]
    return render(request, "forms/officer_calls.html", {
        "sketches": [(one, one.terms) for one in sketches], "published": _ours(),
        "patterns": [(id, calls.load(id).title) for id in calls.patterns()],
    })  # fmt: skip


@require_POST
@login_required
def begin(request: HttpRequest) -> HttpResponse:
    """A sketch from a published call ('call:…') or a pattern ('pattern:…')."""
    _officer(request)
    kind, _colon, id = request.POST.get("source", "").partition(":")
    try:
        source = calls.load(id) if kind == "pattern" else Call.latest(id).terms
        made = CallSketch.begin(source, by=request.user)
    except HanseError as error:
        messages.error(request, f"{error.what}. {error.fix}")
        return redirect("forms:officer-calls")
    return redirect("forms:sketch", made.public_id)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def sketch(request: HttpRequest, sketch_id: str) -> HttpResponse:
    """The text, its first mistake by line, and the commonest terms as fields."""
    kept = _find(request, sketch_id)
    text, problem, status = kept.text, None, 200
    if request.method == "POST":
        text = request.POST.get("text", "").replace("\r\n", "\n").replace("\0", "")
        try:
            if "fields" in request.POST:
                text = terms_form.changed(kept.text, request.POST)
            kept.write(text, seen=_seen(request), by=request.user)
            if kept.terms is not None:
                messages.success(request, _("Saved. It can be previewed, tried and published."))
                return redirect("forms:sketch", sketch_id)
        except HanseError as error:
            problem, status = error, 409
    try:
        terms = kept.read() if problem is None else kept.terms
    except SpecError as error:
        terms, problem, status = None, error, 422 if request.method == "POST" else 200
    context = {
        "kept": kept, "text": text, "problem": problem, "terms": terms,
        "asked": terms_form.asked(terms) if terms else (),
        "revision": kept.revision if problem is None or isinstance(problem, SpecError) else _seen(request),
    } | _differences(kept, terms)  # fmt: skip
    return render(request, "forms/sketch.html", context, status=status)


def _seen(request: HttpRequest) -> int:
    text = request.POST.get("revision", "")
    return int(text) if text.isdecimal() and len(text) < 9 else 0


def _differences(kept: CallSketch, terms: CallTerms | None) -> dict[str, Any]:
    before = kept.before
    if before is None or terms is None:
        return {"diff": "", "changes": ()}
    lines = unified_diff(
        written(before).splitlines(), written(terms).splitlines(), f"version {before.version}",
        f"version {terms.version}",
        lineterm="", n=1,
    )  # fmt: skip
    return {"diff": "\n".join(lines), "changes": call_context(terms, before)["changes"], "before": before}


@require_safe
@login_required
def preview(request: HttpRequest, sketch_id: str) -> HttpResponse:
    """The call's page as an applicant will see it."""
    kept = _find(request, sketch_id)
    terms = kept.terms
    if terms is None:
        return redirect("forms:sketch", sketch_id)
    return render(request, "forms/call.html", call_context(terms, kept.before) | {"preview": kept})


@require_POST
@login_required
def tried(request: HttpRequest, sketch_id: str) -> HttpResponse:
    """A trial draft: the whole form as an applicant fills it; it is never sent and never counted."""
    kept = _find(request, sketch_id)
    terms = kept.terms
    if terms is None:
        return redirect("forms:sketch", sketch_id)
    made = KeptDraft.begin(request.user, sending.started(request.user, terms), sketch=kept)
    return redirect("forms:opened", made.public_id)


@require_POST
@login_required
def publish(request: HttpRequest, sketch_id: str) -> HttpResponse:
    kept = _find(request, sketch_id)
    try:
        call = kept.publish(seen=_seen(request), by=request.user)
    except HanseError as error:
        messages.error(request, f"{error.what}. {error.fix}")
        return redirect("forms:sketch", sketch_id)
    messages.success(
        request,
        _("%(title)s, version %(version)s, is published.") % {"title": call.terms.title, "version": call.version},
    )
    return redirect("forms:call", call.call_id)
