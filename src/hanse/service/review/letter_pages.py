"""Letters with decisions: officers draft, edit and send them; the applicant reads what was sent."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from hanse.contracts.errors import HanseError
from hanse.service.access.models import Application, Person
from hanse.service.review import letters, typed
from hanse.service.review.letters import Letter

LANGUAGES = {"en": "English", "de": "Deutsch", "fr": "Français"}


@login_required
@require_POST
def draft(request: HttpRequest, application_id: str) -> HttpResponse:
    """Draft the letter of the decision that stands, or draft it anew."""
    person: Any = request.user
    if not person.is_officer:
        raise Http404
    rows = Application.objects.exclude(state="draft").select_related("call", "organisation", "applicant")
    found = get_object_or_404(rows, public_id=application_id)
    try:
        made = Letter.draft(found, person, language=request.POST.get("language", "en"))
    except HanseError as refused:
        messages.error(request, typed.told(refused))
        return redirect("portal:application", application_id=application_id)
    return redirect("review:letter", letter_id=made.public_id)


@login_required
def page(request: HttpRequest, letter_id: str) -> HttpResponse:
    """Officers see it from its draft on, the applicant's organisation once it was sent."""
    person: Any = request.user
    rows = Letter.seen_by(person).select_related("application__call", "application__applicant")
    found = get_object_or_404(rows, public_id=letter_id)
    edits = found.state == "draft" and not person.belongs_to(found.application.organisation)
    problem, text = "", found.text
    if request.method == "POST":
        text = request.POST.get("text", "")
        try:
            messages.success(request, _act(request, found, person))
            return redirect("review:letter", letter_id=letter_id)
        except HanseError as refused:
            problem = typed.told(refused)
            found.refresh_from_db()
    return render(request, "review/letter.html", {
        "letter": found, "application": found.application, "edits": edits, "problem": problem, "text": text,
        "most": letters.MOST_CHARACTERS, "languages": LANGUAGES.items(),
    })  # fmt: skip


def _act(request: HttpRequest, found: Letter, officer: Person) -> str:
    """What is sent is what stood in the form."""
    said = typed.text(request.POST, "text", most=letters.MOST_CHARACTERS)
    revision = typed.number(request.POST, "revision")
    found.write(officer, text=said, revision=-1 if revision is None else revision, send="send" in request.POST)
    return "The letter is sent." if "send" in request.POST else "Kept. Only officers see it until it is sent."
