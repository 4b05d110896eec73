"""What of review waits for a person: steps to do, reviews to write, and for officers lanes, rounds and reviewers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Case, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from hanse.contracts.base import now
from hanse.contracts.errors import HanseError
from hanse.programme import clock
from hanse.reporting.markup import Child
from hanse.reporting.tables import Column, table
from hanse.service.access.models import Call, Person
from hanse.service.awarding.forms import Labelled
from hanse.service.awarding.pages import officers_only
from hanse.service.review import lanes, panel, queue, rounds, tables
from hanse.service.review.assignments import Assignment
from hanse.service.review.redress import Redress
from hanse.service.review.reviewers import Reviewer
from hanse.service.review.stand_ins import StandIn

MOST, A_PAGE = 100, 50


@login_required
def desk(request: HttpRequest) -> HttpResponse:
    """Everybody sees what is theirs; nothing of others."""
    person: Any = request.user
    today = now().astimezone(clock.ZONE).date()
    mine = Assignment.objects.filter(reviewer__person=person).select_related("application__call")
    calls = list(Call.objects.order_by("call_id", "version"))
    current = {one.call_id: one for one in calls}.values()
    waiting, count = queue.part(person, limit=MOST, calls=calls)
    first = Case(When(state="given", then=0), default=1)
    held = list(mine.order_by(first, "-pk")[: 2 * MOST])
    mine_on = panel.Panel.objects.filter(members__person=person).select_related("round")
    return render(request, "review/desk.html", {
        "queue": tables.queue(waiting), "more": max(0, count - MOST),
        "stand_ins": tables.stand_ins(StandIn.waiting().order_by("pk")[:MOST]) if person.is_officer else None,
        "redress": tables.redress(Redress.seen_by(person).filter(state="asked").order_by("asked_at")[:MOST])
        if person.is_officer else None,
        "panels": tables.panels(mine_on[:MOST]),
        "open": tables.sheets(sorted((one for one in held if one.state == "given"), key=lambda one: one.due_on), today),
        "done": tables.sheets((one for one in held if one.state != "given"), today),
        "lanes": [(one, tables.lane(one), tables.kept(one)) for one in lanes.all_shown(by=person, calls=current)]
        if person.is_officer else [],
    })  # fmt: skip


@login_required
def all_rounds(request: HttpRequest) -> HttpResponse:
    officers_only(request)
    page = Paginator(rounds.Rounds(), A_PAGE).get_page(request.GET.get("page"))
    return render(request, "review/rounds.html", {"table": tables.rounds(page.object_list), "page": page})


class EnlistForm(Labelled):
    person = forms.CharField(max_length=150, label="User name", help_text="As they sign in here.")
    organisation = forms.CharField(
        max_length=200, required=False, label="Where they work",
        help_text="Applications of it are not given to them.",
    )  # fmt: skip
    keywords = forms.CharField(
        max_length=500, required=False, label="What they know", help_text="Words with commas between them."
    )
    active = forms.BooleanField(required=False, initial=True, label="Is asked for reviews")


@login_required
def reviewers(request: HttpRequest) -> HttpResponse:
    """Who reviews; enlisting and changing, for officers."""
    officers_only(request)
    officer: Any = request.user
    form = EnlistForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        person = Person.objects.filter(username=given["person"], is_active=True).first()
        if person is None:
            form.blame("person", f"nobody here is called {given['person']}", "Invite them first.")
        else:
            words = tuple(word.strip() for word in given["keywords"].split(",") if word.strip())
            try:
                Reviewer.enlist(
                    person, organisation=given["organisation"], keywords=words, active=given["active"], by=officer
                )
            except HanseError as refused:
                form.blame(refused.where, refused.what, refused.fix)
            else:
                messages.success(request, f"{person.display_name} is put down.")
                return redirect("review:reviewers")
    return render(request, "review/reviewers.html", {"form": form, "table": _listed()})


def _listed() -> Child:
    rows = [
        (told.name, told.person, told.organisation, ", ".join(told.keywords), f"{told.open_reviews:,}",
         "" if told.active else "not asked any more")
        for told in (one.contract() for one in Reviewer.counted())
    ]  # fmt: skip
    columns = ("Name", "User name", "Works at", "Knows", Column("Open reviews", True), "")
    return table(columns, rows) if rows else None
