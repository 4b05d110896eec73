"""The panel's meeting on a closed round: officers convene it, move places with reasons and close it; members read."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from hanse.contracts.errors import HanseError, UsageError
from hanse.reporting.markup import Child
from hanse.reporting.tables import table
from hanse.service.access.models import Application, Person
from hanse.service.review import panel, rounds, tables, typed
from hanse.service.review.panel import Panel
from hanse.service.review.ranked import Round
from hanse.service.review.round_pages import found, judges_only
from hanse.service.review.standing_rules import terms_of

MINUTES = 20_000
"""Characters; ours."""
FIELDS = ("members", "held_on", "application", "place", "reason", "minutes")


@login_required
def page(request: HttpRequest, call: str, cut_off: str) -> HttpResponse:
    person: Any = request.user
    moment, entered = found(call, cut_off)
    held = Round.at(call, moment)
    met = Panel.objects.filter(round=held).select_related("round").first() if held else None
    member = met is not None and met.members.filter(person=person).exists()  # type: ignore[attr-defined]
    if held is None or held.state != "closed" or not (person.is_officer or member):
        raise Http404
    if not member:
        judges_only(person, entered)
    refusal: dict[str, Any] = {}
    if request.method == "POST":
        if not person.is_officer:
            raise Http404
        try:
            messages.success(request, _act(request, held, met, entered, person))
            return redirect("review:panel", call=call, cut_off=cut_off)
        except HanseError as refused:
            about = "minutes" if "close" in request.POST else "reason" if "move" in request.POST else "members"
            field = refused.where if refused.where in FIELDS else about
            refusal = {"field": field, "problem": typed.told(refused), "typed": request.POST}
    titles = {one.public_id: one for one in entered}
    told = met.contract() if met else None
    return render(request, "review/panel.html", {
        "terms": terms_of(call, moment), "call": call, "stamp": cut_off, "panel": told, "officer": person.is_officer,
        "places": _places(held, titles, links=person.is_officer), "minutes_most": MINUTES,
        "entries": [one for one in entered if one.state in rounds.WAITING],
        "moves": _moves(told, titles) if told and told.moves else None,
    } | refusal)  # fmt: skip


def _act(request: HttpRequest, held: Round, met: Panel | None, entered: list[Application], officer: Person) -> str:
    posted = request.POST
    if met is None:
        members = tuple(name.strip() for name in posted.get("members", "").split(",") if name.strip())
        Panel.convene(held, officer, members=members, held_on=_day(posted.get("held_on", "")))
        return "The meeting is convened; its members read the ranking here."
    if "close" in posted:
        met.close(officer, minutes=typed.text(posted, "minutes", most=MINUTES))
        return "The meeting is closed; its places stand."
    one = next((one for one in entered if one.public_id == posted.get("application")), None)
    place = typed.number(posted, "place")
    if one is None or place is None:
        raise UsageError("which application goes to which place?", where="place", fix="Choose one and write its place.")
    met.move(one, officer, place=place, reason=typed.text(posted))
    return f"{one.form.title} stands in place {place}."


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError("the day cannot be read", where="held_on", fix="Write it as 2027-01-29.") from None


def _places(held: Round, titles: dict[str, Application], *, links: bool) -> Child:
    computed = list(
        held.recommendations.order_by("place").values_list("application__public_id", "place", "standing")  # type: ignore[attr-defined]
    )
    was, moves = {one: place for one, place, _ in computed}, panel.moves(held)
    why = {one: reason for one, _, reason in moves}
    rows = []
    for one in panel.settled(held, {one: standing for one, _, standing in computed}, moves):
        title = titles[one.id].form.title if one.id in titles else one.id
        said = "" if was[one.id] == one.place else f"It was in place {was[one.id]}. {why.get(one.id, '')}"
        name = tables.link(one.id, title) if links else title
        rows.append((name, f"{one.place}", tables.recommended(one.standing), said))
    return table(("Application", "Place", "Recommended", "What the panel changed"), rows)


def _moves(told: Any, titles: dict[str, Application]) -> Child:
    rows = [
        (titles[one.application].form.title if one.application in titles else one.application,
         f"{one.was} to {one.place}", one.reason, one.by)
        for one in told.moves
    ]  # fmt: skip
    return table(("Application", "Moved", "Why", "Put down by"), rows)
