"""Pages of the watch: one condition, permit, change or rescreening with its form, and what waits for an officer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from pydantic import ValidationError

from hanse.contracts.base import now
from hanse.contracts.errors import HanseError
from hanse.contracts.watch import ConditionChange
from hanse.reporting.markup import Child, Html, h
from hanse.reporting.sections import decision_block
from hanse.reporting.tables import table
from hanse.reporting.words import badge, full_date, plain_date
from hanse.service.access.models import Application
from hanse.service.compliance import fields, tables
from hanse.service.compliance.models import Condition, Permit, Question, Rescreening, RunChange
from hanse.service.compliance.rescreen import answer
from hanse.service.portal import blocks
from hanse.service.runs.models import Event

Button = tuple[str, str, bool]


def _seen(request: HttpRequest, kind: Any, id: str) -> Any:
    mine = Application.objects.seen_by(request.user).values("pk")
    rows = kind.objects.filter(award__application__in=mine).select_related("award__application")
    return get_object_or_404(rows, public_id=id)


def _judged(
    request: HttpRequest, form: fields.Fields | None, act: Callable[[Any, str], str], back: str, **context: Any
) -> HttpResponse:
    """The page; or, after a post that could be done, back to where it came from."""
    status = 200
    if request.method == "POST" and form is not None:
        status = 422
        if form.is_valid():
            try:
                messages.success(request, act(form, request.POST.get("do", "")))
                return redirect(back)
            except HanseError as refused:
                messages.error(request, " ".join(part for part in (f"{refused.what}.", refused.fix) if part))
                status = 409
        for name in form.errors:
            if name in form.fields:
                form.fields[name].widget.attrs |= {"aria-invalid": "true", "aria-errormessage": f"id_{name}_error"}
    return render(request, "compliance/judge.html", {"form": form, **context}, status=status)


def _happened(subject: str) -> Html | None:
    found = [event.contract() for event in Event.objects.filter(subject_id=subject)]
    return blocks.events(found) if found else None


@login_required
def condition(request: HttpRequest, condition_id: str) -> HttpResponse:
    one = _seen(request, Condition, condition_id)
    application, officer = one.award.application, request.user.is_officer
    kind = fields.ConditionWord if officer else fields.EvidenceOffered
    form = kind(request.POST or None)

    def act(filled: fields.Fields, do: str) -> str:
        if not officer:
            one.offer(filled.cleaned_data["evidence"], request.user)
            return "An officer will look at what you showed."
        one.change(ConditionChange(to=do if do in tables.LOOKS else "open", **filled.cleaned_data), request.user)
        return f"The condition is now: {tables.LOOKS[one.state].word.lower()}."

    words = {"met": "It is met", "waived": "Waive it", "breached": "It does not hold", "open": "Open it again"}
    buttons: Sequence[Button] = (
        [(to, words[to], to != "met") for to in words if to != one.state] if officer else [("", "Show this", False)]
    )
    facts = [
        ("Where it stands", h("span", one.citation, lang="en") if one.citation else ""),
        ("Due", full_date(one.due) if one.due else ""),
        ("What shows it", one.evidence), ("Reason", one.reason), ("Said by", one.said_by),
    ]  # fmt: skip
    return _judged(
        request, form, act, reverse("portal:application", args=[application.public_id]), application=application,
        title="A condition", lede=h("span", one.text, lang=tables.language_of(one)), buttons=buttons,
        state=badge(tables.LOOKS[one.state]),
        facts=[pair for pair in facts if pair[1]], events=_happened(one.public_id),
        ask="Your word on it" if officer else "Show that it is met",
    )  # fmt: skip


@login_required
def permit(request: HttpRequest, permit_id: str) -> HttpResponse:
    one = _seen(request, Permit, permit_id)
    form = fields.Reason(request.POST or None) if request.user.is_officer and one.state != "withdrawn" else None

    def act(filled: fields.Fields, do: str) -> str:
        (one.confirm if do == "confirm" else one.withdraw)(request.user, reason=filled.cleaned_data["reason"])
        return f"The permit is now: {tables.LOOKS[one.state].word.lower()}."

    confirm: list[Button] = [("confirm", "Confirm it", False)] if one.state == "stated" else []
    return _judged(
        request, form, act, reverse("portal:application", args=[one.award.application.public_id]),
        application=one.award.application, title=f"Permit {one.form.number}", state=badge(tables.LOOKS[one.state]),
        buttons=[*confirm, ("withdraw", "Withdraw it", True)], ask="Your word on it", events=_happened(one.public_id),
        facts=[
            ("Given by", one.form.issuer), ("Purpose", one.form.purpose), ("Datasets", ", ".join(one.form.datasets)),
            ("Where", ", ".join(one.form.machines)), ("Valid until", full_date(one.valid_until)),
            ("Stated by", one.stated_by.display_name),
        ],
    )  # fmt: skip


@login_required
def new_permit(request: HttpRequest, application_id: str) -> HttpResponse:
    seen = Application.objects.seen_by(request.user).select_related("award")
    application = get_object_or_404(seen, public_id=application_id)
    award = getattr(application, "award", None)
    if award is None:
        raise Http404
    form = fields.PermitFields(request.POST or None)

    def act(filled: Any, _do: str) -> str:
        Permit.state_one(award, filled.permit(), request.user, today=now().date())
        return "The permit is on file; an officer confirms it."

    context = {
        "application": application, "title": "State a permit", "ask": "What it allows",
        "lede": "Runs that read data of persons start once an officer has confirmed it, and until it ends.",
        "buttons": [("", "State it", False)],
    }  # fmt: skip
    back = reverse("portal:application", args=[application.public_id])
    try:
        return _judged(request, form, act, back, **context)
    except ValidationError as wrong:
        name = str(wrong.errors()[0]["loc"][0])
        form.add_error(name, "Names have small letters, digits and hyphens, with commas between.")
        return _judged(request, form, act, back, **context)


@login_required
def change(request: HttpRequest, change_id: str) -> HttpResponse:
    one = _seen(request, RunChange, change_id)
    form = fields.Reason(request.POST or None) if request.user.is_officer else None

    def act(filled: fields.Fields, do: str) -> str:
        one.decide(request.user, accept=do == "accept", reason=filled.cleaned_data["reason"])
        return f"The change is now: {tables.LOOKS[one.state].word.lower()}."

    choices: list[Button] = [("accept", "Accept it", False), ("refuse", "Do not accept it", True)]
    drop = {"accepted": "accept", "refused": "refuse"}.get(one.state)
    rows: list[tuple[Child, ...]] = [(d["what"].capitalize(), d["was"], d["now"]) for d in one.differences]
    return _judged(
        request, form, act, reverse("portal:application", args=[one.award.application.public_id]),
        application=one.award.application, title="A changed run", state=badge(tables.LOOKS[one.state]),
        lede="A launch was not what was granted; it was screened anew.", ask="Your word on it",
        buttons=[each for each in choices if each[0] != drop],
        facts=[("Decided by", one.decided_by), ("Reason", one.reason)] if one.decided_by else [],
        more=h("div", table(("What", "Granted", "Launched"), rows), decision_block(one.decision, "The new screening")),
    )  # fmt: skip


@login_required
def rescreening(request: HttpRequest, rescreening_id: int) -> HttpResponse:
    mine = Application.objects.seen_by(request.user).values("pk")
    rows = Rescreening.objects.filter(screening__application__in=mine).select_related("screening__application")
    one = get_object_or_404(rows, pk=rescreening_id)
    said, application = getattr(one, "answer", None), one.screening.application
    form = fields.Reason(request.POST or None) if request.user.is_officer and said is None else None

    def act(filled: fields.Fields, do: str) -> str:
        made = answer(one, request.user, stands=do == "stands", reason=filled.cleaned_data["reason"])
        return "The grant stands." if made.stands else "The grant does not stand; no new run starts on it."

    told = [("Answered by", said.by.display_name), ("Answer", said.reason)] if said else []
    before, after = one.screening.decision, one.decision
    return _judged(
        request, form, act, reverse("portal:application", args=[application.public_id]), application=application,
        title="Screened again", ask="Does what was granted stand?", facts=told, state="",
        lede=f"The same answers under the rules of {plain_date(one.as_of)}.",
        buttons=[("stands", "It stands", False), ("falls", "It does not stand", True)],
        more=h("div", _shift(before.findings, after.findings), decision_block(after, "What the gate says now")),
    )  # fmt: skip


def _shift(before: Any, after: Any) -> Html:
    was = {one.rule: one for one in tables.gate_of(before)}
    is_now = {one.rule: one for one in tables.gate_of(after)}
    rows: list[tuple[Child, ...]] = [
        (rule, "Speaks now", one.reason) for rule, one in is_now.items() if rule not in was
    ]
    rows += [(rule, "Is silent now", one.reason) for rule, one in was.items() if rule not in is_now]
    return table(("Rule", "Change", "Why"), rows) if rows else h("p", "The same rules speak, and say otherwise.")


@login_required
def queue(request: HttpRequest) -> HttpResponse:
    if not request.user.is_officer:
        raise Http404
    changed = list(RunChange.objects.filter(state__in=("asked", "noted")).select_related("award"))
    stated = list(Permit.objects.filter(state="stated"))
    again = [
        one for one in Rescreening.objects.filter(answer=None).select_related("screening__application").order_by("-pk")
        if one.screening.rescreenings.order_by("-pk").first() == one
    ]  # fmt: skip
    open_ones = list(Condition.objects.filter(state="breached")) + list(
        Condition.objects.filter(state="open").exclude(evidence="")
    )
    asked = list(Question.objects.filter(state="asked"))
    parts = [
        ("changed", "Changed runs", tables.changes(changed) if changed else None),
        ("permits", "Permits to confirm", tables.permits(stated) if stated else None),
        ("conditions", "Conditions in breach or with evidence", tables.conditions(open_ones) if open_ones else None),
        ("again", "Screenings that end otherwise today", _again(again) if again else None),
        ("asked", "Questions to the desk", _questions(asked) if asked else None),
    ]  # fmt: skip
    count = sum(map(len, (changed, stated, again, open_ones, asked)))
    return render(request, "compliance/queue.html", {"parts": [one for one in parts if one[2]], "count": count})


def _again(rows: Sequence[Any]) -> Html:
    lines: list[tuple[Child, ...]] = [
        (
            h("a", one.screening.application.form.title, href=reverse("compliance:rescreening", args=[one.pk])),
            tables.ending(one.screening.decision.findings), tables.ending(one.decision.findings), plain_date(one.as_of),
        )
        for one in rows
    ]  # fmt: skip
    return table(("Application", "Was", "Is now", "As of"), lines)


def _questions(rows: Sequence[Question]) -> Html:
    lines: list[tuple[Child, ...]] = [
        (
            h("a", one.text[:120], href=reverse("compliance:answer", args=[one.public_id])), full_date(one.asked_at),
            "yes" if one.may_publish else "no", one.email,
        )
        for one in rows
    ]  # fmt: skip
    return table(("Question", "Asked", "May be shown", "E-mail"), lines)
