"""Places of a closed round and its reserve list, for officers: who holds one, who gave one up, who is next."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from hanse.contracts import review_ends as contract
from hanse.contracts.errors import HanseError, UsageError
from hanse.reporting.markup import Child, h, join
from hanse.reporting.tables import table
from hanse.reporting.words import Look, badge
from hanse.service.access.models import Application, Person
from hanse.service.awarding.pages import officers_only
from hanse.service.review import panel, reserve, tables, typed
from hanse.service.review.ranked import Round
from hanse.service.review.round_pages import found, judges_only
from hanse.service.review.standing_rules import terms_of


@login_required
def page(request: HttpRequest, call: str, cut_off: str) -> HttpResponse:
    officers_only(request)
    officer: Any = request.user
    moment, entered = found(call, cut_off)
    held = Round.at(call, moment)
    if held is None or held.state != "closed":
        raise Http404
    judges_only(officer, entered)
    refusal: dict[str, Any] = {}
    if request.method == "POST":
        try:
            messages.success(request, _free(request, entered, officer))
            return redirect("review:places", call=call, cut_off=cut_off)
        except HanseError as refused:
            field = "application" if refused.where == "application" else "reason"
            refusal = {"field": field, "problem": typed.told(refused), "typed": request.POST}
    now_at = reserve.state(held)
    titles = {one.public_id: one for one in entered}
    return render(request, "review/places.html", {
        "terms": terms_of(call, moment), "call": call, "stamp": cut_off, "reserve": now_at,
        "table": _table(held, now_at, titles), "next": [titles[one] for one in now_at.next if one in titles],
        "winners": [one for one in entered if one.state == "granted" and one.public_id not in now_at.freed],
    } | refusal)  # fmt: skip


def _free(request: HttpRequest, entered: list[Application], officer: Person) -> str:
    name = request.POST.get("application", "")
    winner = next((one for one in entered if one.public_id == name), None)
    if winner is None:
        raise UsageError("it is not in this round", where="application", fix="Choose one of its awards.")
    told = reserve.free(winner, officer, reason=typed.text(request.POST))
    following = "; the next on the reserve list can be awarded." if told.next else "; nobody waits for it."
    return f"{winner.form.title} gave up its place{following}"


def _table(held: Round, now_at: contract.Reserve, titles: dict[str, Application]) -> Child:
    rows = []
    for one in panel.settled(held):
        entry = titles.get(one.id)
        if one.standing == "below" and (entry is None or entry.state != "granted"):
            continue
        rows.append((
            join(f"{one.place}. ", tables.link(one.id, entry.form.title if entry else one.id)),
            str(entry.organisation) if entry else "", badge(tables.RECOMMENDED[one.standing]), _now(one, entry, now_at),
        ))  # fmt: skip
    return table(("Place", "Organisation", "Ranking", "Now"), rows) if rows else None


def _now(one: Any, entry: Application | None, now_at: contract.Reserve) -> Child:
    if one.id in now_at.freed:
        return join(badge(Look("is-declined", "Gave it up")), h("small", f" {now_at.freed[one.id]}"))
    if entry is None:
        return badge(Look("is-declined", "Withdrawn"))
    if entry.state == "granted":
        return badge(Look("is-done", "Holds a place"))
    if entry.state == "declined":
        return badge(Look("is-declined", "Declined"))
    if one.standing == "grant":
        return badge(Look("is-running", "Waits for its award"))
    return badge(Look("is-running", "Its turn now") if one.id in now_at.next else Look("is-queued", "On the list"))
