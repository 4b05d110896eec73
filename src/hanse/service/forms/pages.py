"""Pages on which an application is written: one address for each section, saved as one types, checked as one goes."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, HanseError, UsageError
from hanse.programme import drafts as pure
from hanse.programme import rounds
from hanse.service.access.models import Organisation
from hanse.service.forms import fields, plans, shown, values
from hanse.service.forms.drafts import KeptDraft, Raced
from hanse.service.forms.say import say
from hanse.service.forms.scaling import figure

TRIES = 4


def find(request: HttpRequest, draft_id: str) -> KeptDraft:
    seen = KeptDraft.objects.seen_by(request.user).select_related("owner", "shared_with", "sketch", "saved_by")
    found: KeptDraft = get_object_or_404(seen, public_id=draft_id)
    return found


def seen_revision(request: HttpRequest) -> int:
    text = request.POST.get("revision", "")
    return int(text) if text.isdecimal() and len(text) < 9 else 0


@require_safe
@login_required
def listed(request: HttpRequest) -> HttpResponse:
    found = list(KeptDraft.objects.seen_by(request.user).select_related("saved_by", "application", "sketch")[:100])
    return render(request, "forms/drafts.html", {"drafts": found})


@require_safe
@login_required
def opened(request: HttpRequest, draft_id: str) -> HttpResponse:
    """To the first page on which something is open; a sent one to its application."""
    kept = find(request, draft_id)
    if kept.application is not None:
        return redirect("portal:application", kept.application.public_id)
    steps = shown.steps(shown.gaps_of(kept.draft, kept.terms()), kept.unread, kept.terms())
    first = next((step.name for step in steps if step.wanted and (step.open or step.wrong)), None)
    return redirect("forms:section", draft_id, first) if first else redirect("forms:check", draft_id)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def section(request: HttpRequest, draft_id: str, name: str) -> HttpResponse:
    if name not in fields.SECTIONS:
        raise Http404
    kept = find(request, draft_id)
    if request.method != "POST":
        return _page(request, kept, name)
    return _save(request, kept, name)


def _save(request: HttpRequest, kept: KeptDraft, name: str) -> HttpResponse:
    seen, live = seen_revision(request), bool(getattr(request, "htmx", False))
    for attempt in range(TRIES):
        made = values.read(name, kept.draft, kept.unread, request.POST, as_of=now().date())
        if "put_back" in request.POST:
            try:
                made.draft = shown.put_back(made.draft, request.POST["put_back"])
            except UsageError:
                raise Http404 from None
            made.unread.pop(request.POST["put_back"], None)
        try:
            kept.save_section(name, made.draft, made.unread, seen=seen, by=request.user)
            break
        except Raced:
            if attempt == TRIES - 1:
                raise
            kept = find(request, kept.public_id)
        except Conflict as error:
            return _conflict(request, kept, name, made, error, live=live)
    if live:
        return _saved(request, kept, name, made)
    if made.problems or "stay" in request.POST or "put_back" in request.POST:
        if not made.problems:
            return redirect("forms:section", kept.public_id, name)
        return _page(request, kept, name, problems=made.problems)
    following = _next(kept, name)
    return (
        redirect("forms:section", kept.public_id, following) if following else redirect("forms:check", kept.public_id)
    )


def _next(kept: KeptDraft, name: str) -> str | None:
    wanted = [step.name for step in shown.steps((), {}, kept.terms()) if step.wanted or step.name == name]
    after = wanted[wanted.index(name) + 1 :]
    return after[0] if after else None


def _saved(request: HttpRequest, kept: KeptDraft, name: str, made: values.Read) -> HttpResponse:
    """What an autosave answers: when it was saved, the new revision, and each field's gap; no input is touched."""
    context = _context(kept, name, problems=made.problems)
    return render(request, "forms/saved.html", context)


def _conflict(
    request: HttpRequest, kept: KeptDraft, name: str, made: values.Read, error: Conflict, *, live: bool
) -> HttpResponse:
    """Both texts: what was typed in the inputs, what stands there now beside it. Saving again is then a choice."""
    if live:
        return render(request, "forms/conflict_live.html", {"kept": kept, "what": error.what})
    context = _context(kept, name, problems=made.problems, typed=made, theirs=True) | {"conflict": error}
    return render(request, "forms/section.html", context, status=409)


def _page(request: HttpRequest, kept: KeptDraft, name: str, *, problems: dict[str, str] | None = None) -> HttpResponse:
    context = _context(kept, name, problems=problems)
    return render(request, "forms/section.html", context, status=422 if problems else 200)


def _context(
    kept: KeptDraft, name: str, *, problems: dict[str, str] | None = None, typed: values.Read | None = None,
    theirs: bool = False,
) -> dict[str, Any]:  # fmt: skip
    terms, draft = kept.terms(), typed.draft if typed else kept.draft
    unread = typed.unread if typed else kept.unread
    gaps = shown.gaps_of(kept.draft, terms, trial=kept.trial)
    steps = shown.steps(gaps, kept.unread, terms)
    main = [step for step in steps if step.wanted or step.name == name]
    held = shown.section(name, draft, unread, gaps=gaps, problems=problems, theirs=kept.draft if theirs else None)
    return {
        "kept": kept, "terms": terms, "name": name, "title": fields.TITLES[name], "steps": main,
        "number": 1 + [step.name for step in main].index(name),
        "others": [step for step in steps if step not in main],
        "fields": held, "wrong": [one for one in held if one.wrong],
        "open": sum(1 for one in held if one.gap and not one.wrong),
        "questions": shown.questions(kept.draft, now().date()) if name == "questions" else None,
        "size": shown.size(kept.draft) if name == "organisation" else None,
        "plot": figure(kept.draft.whole.compute.scaling) if name == "compute" else None,
        "promise": rounds.promise(terms, now()) if terms else None,
        "readonly": kept.state != "open", "version_gap": _version_gap(gaps),
    }  # fmt: skip


def _version_gap(gaps: Any) -> str:
    return next((say(gap.message) for gap in gaps if gap.field == "call_version"), "")


@require_POST
@login_required
def plan(request: HttpRequest, draft_id: str) -> HttpResponse:
    """Fill from a plan that was uploaded; what a person wrote stays."""
    kept, file = find(request, draft_id), request.FILES.get("plan")
    try:
        if file is None or file.size > plans.MOST_BYTES:
            raise HanseError(_("Choose the file of a plan; it holds at most 2 MB."))
        kept.save_section(
            "compute", plans.filled(kept.draft, file.read()), _still(kept), seen=seen_revision(request), by=request.user
        )
    except HanseError as error:
        messages.error(request, f"{error.what} {error.fix}".strip())
    else:
        messages.success(request, _("The plan filled this section. What you had written stayed as it was."))
    return redirect("forms:section", draft_id, "compute")


def _still(kept: KeptDraft) -> dict[str, Any]:
    return {path: text for path, text in kept.unread.items() if fields.section_of(path) != "compute"}


@require_POST
@login_required
def rebind(request: HttpRequest, draft_id: str) -> HttpResponse:
    """The same draft for its call's new version."""
    kept = find(request, draft_id)
    terms = kept.terms()
    if terms is not None:
        try:
            kept.save_section(
                "basics", pure.reuse(kept.draft, terms), kept.unread, seen=seen_revision(request), by=request.user
            )
        except HanseError as error:
            messages.error(request, f"{error.what}. {error.fix}")
    return redirect("forms:opened", draft_id)


@require_POST
@login_required
def share(request: HttpRequest, draft_id: str) -> HttpResponse:
    kept = find(request, draft_id)
    mine = Organisation.objects.filter(memberships__person=request.user).distinct()
    wanted = request.POST.get("organisation", "")
    try:
        kept.share(get_object_or_404(mine, public_id=wanted) if wanted else None, by=request.user)
    except HanseError as error:
        messages.error(request, error.what)
    return redirect("forms:check", draft_id)


@require_POST
@login_required
def discard(request: HttpRequest, draft_id: str) -> HttpResponse:
    kept = find(request, draft_id)
    try:
        kept.discard(by=request.user)
    except HanseError as error:
        messages.error(request, error.what)
        return redirect("forms:check", draft_id)
    return render(request, "forms/discarded.html", {"kept": kept})


@require_POST
@login_required
def restore(request: HttpRequest, draft_id: str) -> HttpResponse:
    kept = get_object_or_404(KeptDraft, public_id=draft_id, owner=request.user, state="discarded")
    kept.restore(by=request.user)
    return redirect("forms:opened", draft_id)
