"""The desk's questions: the form and its answer for anybody, the collection to search, and the officer's page."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from hanse.contracts.errors import HanseError, PolicyError
from hanse.reporting.words import Look, badge, full_date
from hanse.service.compliance import fields, questions
from hanse.service.compliance.models import Question
from hanse.service.compliance.pages import _happened, _judged

PAGE = 30


def ask(request: HttpRequest) -> HttpResponse:
    form, status = fields.QuestionFields(request.POST or None), 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            given = form.cleaned_data
            if given.pop("website"):
                return redirect("compliance:faq")  # a program filled in what people do not see
            try:
                made = Question.ask(**given, address=get_adapter(request).get_client_ip(request))
                return redirect("compliance:question", question_id=made.public_id)
            except HanseError as refused:
                form.add_error("text", f"{refused.what.capitalize()}. {refused.fix}")
                status = 429 if isinstance(refused, PolicyError) else 422
        for name in form.errors:
            form.fields[name].widget.attrs |= {"aria-invalid": "true", "aria-errormessage": f"id_{name}_error"}
    return render(request, "compliance/ask.html", {"form": form}, status=status)


@require_safe
def question(request: HttpRequest, question_id: str) -> HttpResponse:
    """For whoever has its address: how it stands, and the answer. E-mail and notes are not shown."""
    found = get_object_or_404(Question, public_id=question_id)
    response = render(request, "compliance/question.html", {"question": found})
    response["Cache-Control"] = "private, no-store"
    response["X-Robots-Tag"] = "noindex"
    return response


@require_safe
def faq(request: HttpRequest) -> HttpResponse:
    words = request.GET.get("q", "")[:200].strip()
    found = questions.published(words)
    return render(
        request, "compliance/faq.html", {"found": found[:PAGE], "count": found.count(), "words": words, "most": PAGE}
    )


@login_required
def answer(request: HttpRequest, question_id: str) -> HttpResponse:
    if not request.user.is_officer:
        raise Http404
    one = get_object_or_404(Question, public_id=question_id)
    form = fields.AnswerFields(
        request.POST or None, initial={"answer": one.answer, "published_text": one.published_text or one.text}
    )
    if not one.may_publish:
        del form.fields["published_text"]

    def act(filled: Any, do: str) -> str:
        given = filled.cleaned_data
        if do == "aside":
            one.set_aside(request.user, given["answer"])
            return "The question is set aside, with your reason."
        one.reply(
            request.user, given["answer"], publish=do == "publish", published_text=given.get("published_text", "")
        )
        return "Answered, and shown to all." if do == "publish" else "Answered; the asker sees it."

    buttons = [("answer", "Answer it", False)]
    if one.may_publish:
        buttons.append(("publish", "Answer it and show it to all", True))
    if one.state == "asked":
        buttons.append(("aside", "Set it aside with this as the reason", True))
    if request.method == "POST" and request.POST.get("do") == "aside" and one.state != "asked":
        messages.error(request, "It was answered already.")
    shown = {"asked": "is-queued", "answered": "is-done", "published": "is-done", "set-aside": "is-cancelled"}
    return _judged(
        request, form, act, reverse("compliance:queue"), title="A question to the desk", lede=one.text,
        state=badge(Look(shown[one.state], one.state.replace("-", " ").capitalize())), ask="Your answer",
        facts=[("Asked", full_date(one.asked_at)), ("E-mail", one.email or "none given")], buttons=buttons,
        events=_happened(one.public_id),
    )  # fmt: skip
