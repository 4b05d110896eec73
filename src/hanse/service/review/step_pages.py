"""A step's page: what Hanse prepared, what a person corrects in it, and the word: passed or not."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from hanse.contracts.errors import HanseError, PolicyError
from hanse.contracts.review_steps import FindingWord, StepWord
from hanse.service.access.models import Application
from hanse.service.review import orders, steps, tables, typed


@login_required
def page(request: HttpRequest, application_id: str, step: str) -> HttpResponse:
    """For who does the step; others are told that there is no such page."""
    person: Any = request.user
    rows = Application.objects.exclude(state="draft").select_related("call", "organisation", "applicant")
    found = get_object_or_404(rows, public_id=application_id)
    if step not in {one.kind for one in steps.of(found)}:
        raise Http404
    kind: Any = step
    if not steps.may(found, kind, person):
        raise Http404
    problem, where = "", ""
    if request.method == "POST":
        try:
            told = steps.do(found, kind, person, _word(request, steps.sheet(found, kind).step.findings))
        except PolicyError:
            raise Http404 from None
        except HanseError as refused:
            problem, where = typed.told(refused), refused.where.removeprefix("why-")
        else:
            messages.success(request, f"{tables.KINDS[kind]} of {found.form.title}: {told.state}.")
            return redirect("review:desk")
    sheet = steps.sheet(found, kind)
    posted = request.POST
    return render(request, "review/step.html", {
        "sheet": sheet, "title": tables.KINDS[kind], "problem": problem, "where": where,
        "organisation": found.organisation, "reason": posted.get("reason", ""), "answers": tables.ANSWERS,
        "by_round": not steps.alone(found, kind),
        "findings": [
            (one, posted.get(f"answer-{one.id}", one.corrected or ""), posted.get(f"why-{one.id}", one.reason))
            for one in sheet.step.findings
        ],
        "officer": person.is_officer,
    })  # fmt: skip


def _word(request: HttpRequest, findings: Any) -> StepWord:
    posted = request.POST
    corrections = []
    for one in findings:
        answer: Any = posted.get(f"answer-{one.id}", "")
        if answer in tables.ANSWERS and answer != one.answer:
            corrections.append(FindingWord(id=one.id, answer=answer, reason=typed.text(posted, f"why-{one.id}")))
    return StepWord(passed="pass" in posted, reason=typed.text(posted), corrections=tuple(corrections))


@login_required
@require_POST
def out_of_order(request: HttpRequest, application_id: str) -> HttpResponse:
    """An officer puts down why it is decided against the order."""
    person: Any = request.user
    if not person.is_officer:
        raise Http404
    rows = Application.objects.exclude(state="draft").select_related("call", "organisation", "applicant")
    found = get_object_or_404(rows, public_id=application_id)
    try:
        orders.allow(found, person, reason=typed.text(request.POST))
    except HanseError as refused:
        messages.error(request, typed.told(refused))
    else:
        messages.success(request, "Your reason is kept beside the application.")
    return redirect("portal:application", application_id=application_id)
