"""Calls for everyone, without signing in: what is open, every value with its source, and which call suits."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.views.decorators.http import require_safe
from pydantic import ValidationError

from hanse.contracts.base import now
from hanse.contracts.programme import CallTerms
from hanse.programme import drafts, rounds, routing
from hanse.service.access.models import Call
from hanse.service.forms import fields, values
from hanse.service.forms.fields import KINDS, PURPOSES, TITLES, Field

CONFIDENCE = {
    "official": lazy("official"), "secondary": lazy("second-hand"), "single-report": lazy("one report"),
    "conflicting": lazy("conflicting"),
}  # fmt: skip
NEED = (
    Field(
        path="gpu_hours", label=fields.BY_PATH["whole.compute.gpu_hours"].label, kind="whole",
        hint=fields.BY_PATH["whole.compute.gpu_hours"].hint,
    ),
    Field(
        path="organisation_kind", label=fields.BY_PATH["organisation_kind"].label, kind="choice", choices=KINDS
    ),
    Field(path="country", label=fields.BY_PATH["country"].label, hint=fields.BY_PATH["country"].hint),
    Field(
        path="purpose", label=fields.BY_PATH["whole.project.purpose"].label, kind="choice", choices=PURPOSES
    ),
    Field(
        path="duration_months", label=fields.BY_PATH["whole.project.duration_months"].label, kind="whole",
        unit=fields.BY_PATH["whole.project.duration_months"].unit,
    ),
)  # fmt: skip
"""What the suggestion asks."""


@require_safe
def listed(request: HttpRequest) -> HttpResponse:
    at = now()
    found = [_card(call.terms, at) for call in Call.current() if call.terms.offered]
    return render(request, "forms/calls.html", {
        "open": [one for one in found if one["open"]], "closed": [one for one in found if not one["open"]],
        "need": _asked({}, {}),
    })  # fmt: skip


@require_safe
def welcome(request: HttpRequest) -> HttpResponse:
    """What Hanse is, for who is not signed in, with the calls that are open."""
    at = now()
    found = [_card(call.terms, at) for call in Call.current() if call.terms.offered]
    return render(request, "forms/welcome.html", {"open": [one for one in found if one["open"]][:4]})


@require_safe
def shown(request: HttpRequest, call_id: str, version: int | None = None) -> HttpResponse:
    rows = Call.objects.filter(call_id=call_id).order_by("-version")
    found = get_object_or_404(rows, version=version) if version else rows.first()
    if found is None:
        return get_object_or_404(rows, version=0)
    return render(request, "forms/call.html", call_context(found.terms) | {"versions": list(rows)})


def call_context(terms: CallTerms, before: CallTerms | None = None) -> dict[str, Any]:
    """What the page of a call shows; `before` is the version it amends."""
    changed = drafts.amended(before, terms) if before else ()
    rows = [
        (label, _spoken(terms, name), terms.sources.get(name), CONFIDENCE.get(_confidence(terms, name), ""))
        for name, label in LABELS.items()
    ]
    return {
        "terms": terms, "card": _card(terms, now()), "rows": [row for row in rows if row[1]],
        "sections": [TITLES[name] for name in terms.sections],
        "changes": [
            (LABELS.get(name, name.replace("_", " ").capitalize()), was or "–", becomes or "–")
            for name, was, becomes in ((one, _spoken(before, one), _spoken(terms, one)) for one in changed)
        ],
    }  # fmt: skip


def _confidence(terms: CallTerms, name: str) -> str:
    found = terms.sources.get(name)
    return found.confidence if found else ""


def _card(terms: CallTerms, at: Any) -> dict[str, Any]:
    closing = rounds.closing(terms)
    promise = rounds.promise(terms, at)
    later = terms.opens > at.date()
    over = closing is not None and at > closing
    ended = bool(terms.cut_offs or terms.cut_off_rule) and promise.cut_off is None
    return {
        "terms": terms, "open": not (later or over or ended), "later": later, "closing": closing,
        "cut_off": promise.cut_off, "promise": promise.sentence, "amount": _spoken(terms, "max_gpu_hours"),
    }  # fmt: skip


LABELS: dict[str, Any] = {
    "opens": lazy("Opens"),
    "closes": lazy("Closes"),
    "max_gpu_hours": lazy("GPU-hours"),
    "amounts": lazy("Amount"),
    "durations_months": lazy("Duration"),
    "who": lazy("Who may apply"),
    "pays": lazy("May have to pay"),
    "only_in_eu_project": lazy("Only inside an EU project"),
    "decision_working_days": lazy("Working days to the answer"),
    "decision_months": lazy("Months to the answer"),
    "cut_off_rule": lazy("Cut-offs"),
    "cut_offs": lazy("Dated cut-offs"),
    "purposes": lazy("For"),
    "experience": lazy("Experience"),
    "rooms": lazy("Machines with room"),
    "order": lazy("Order"),
    "max_entries": lazy("Applications at most"),
    "winners": lazy("Winners"),
    "prize_eur": lazy("Prize"),
    "reserve": lazy("Reserve list"),
    "quotas": lazy("Quotas"),
    "extension": lazy("Extension"),
    "obligations": lazy("What an award binds to"),
    "conditions": lazy("Conditions"),
    "not_found": lazy("Looked for, not found"),
}


def _spoken(terms: CallTerms | None, name: str) -> str:
    """A term in words; empty where there is none."""
    if terms is None:
        return ""
    held = getattr(terms, name, None)
    if name == "max_gpu_hours":
        if held is None:
            return _("from %(least)s") % {"least": f"{terms.min_gpu_hours:,}"} if terms.min_gpu_hours else ""
        if not terms.min_gpu_hours:
            return _("up to %(most)s") % {"most": f"{held:,}"}
        return f"{terms.min_gpu_hours:,} – {held:,}"
    if held in (None, (), ""):
        return ""
    if name in ("who", "pays", "only_in_eu_project"):
        return ", ".join(str(dict(KINDS)[kind]) for kind in held)
    if name == "purposes":
        return "; ".join(str(dict(PURPOSES)[one]) for one in held)
    if name == "durations_months":
        return _("%(months)s months") % {"months": ", ".join(str(one) for one in held)}
    if name == "amounts":
        return f"{held[0]:,} – {held[1]:,} {terms.unit}"
    return _plain(held)


def _plain(held: Any) -> str:
    if isinstance(held, bool):
        return _("yes") if held else _("no")
    if isinstance(held, int):
        return f"{held:,}"
    if isinstance(held, tuple):
        return "; ".join(_plain(one) for one in held)
    said = {
        "rooms": lambda one: one.machine if one.offered else one.machine + " (" + _("no room") + ")",
        "rule": lambda one: _("on day %(days)s of a month, %(months)s times a year")
        % {"days": ", ".join(map(str, one.days)), "months": len(one.months)},
    }  # fmt: skip
    if hasattr(held, "machine"):
        return said["rooms"](held)
    if hasattr(held, "days"):
        return said["rule"](held)
    if hasattr(held, "share") and hasattr(held, "of"):
        return f"{held.share * 100:g} % {held.of}"
    if hasattr(held, "kind") and hasattr(held, "by"):
        return f"{held.kind}, by {held.by}" if held.by else str(held.kind)
    if hasattr(held, "times"):
        return _("%(times)s time(s), by %(months)s months or %(share)s %%") % {
            "times": held.times, "months": held.months, "share": f"{held.share * 100:g}"
        }  # fmt: skip
    return str(getattr(held, "text", held))


@require_safe
def suggest(request: HttpRequest) -> HttpResponse:
    """Which call suits what is asked, with reasons; the answer has its own address."""
    given = {one.path: request.GET.get(one.path, "").strip() for one in NEED}
    problems: dict[str, str] = {}
    found = None
    if any(given.values()):
        read: dict[str, Any] = {}
        for one in NEED:
            try:
                read[one.path] = values.value_of(one, given[one.path])
            except values.NotRead as error:
                problems[one.path] = str(error)
        for path in ("gpu_hours", "organisation_kind", "country"):
            if read.get(path) is None:
                problems.setdefault(path, _("This is needed."))
        if read.get("country"):
            read["country"] = str(read["country"]).upper()
            if len(read["country"]) != 2:
                problems["country"] = _("Write two capital letters, as DE.")
        if not problems:
            try:
                need = routing.Need.model_validate({key: held for key, held in read.items() if held is not None})
                found = routing.suggest(need, (call.terms for call in Call.current()), now())
            except ValidationError as error:
                problems[str(error.errors()[0]["loc"][0])] = _("Write a whole number, as 1,500.")
    context = {"need": _asked(given, problems), "given": given, "found": found, "problems": problems}
    return render(request, "forms/suggest.html", context, status=422 if problems else 200)


def _asked(given: dict[str, str], problems: dict[str, str]) -> list[Any]:
    from hanse.service.forms.shown import Shown

    return [
        Shown(
            field=one, name=one.path, value=given.get(one.path, ""), gap=problems.get(one.path, ""),
            wrong=one.path in problems,
        )
        for one in NEED
    ]  # fmt: skip
