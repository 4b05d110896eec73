"""What of review waits for a person: steps to do, reviews to write, and for officers lanes, rounds and reviewers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Case, F, OuterRef, Subquery, When
from django.db.models.fields.json import KeyTextTransform
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from hanse.contracts.base import now
from hanse.contracts.errors import HanseError, UsageError
from hanse.programme import clock
from hanse.reporting.markup import Child
from hanse.reporting.tables import Column, table
from hanse.service.access.models import Application, Call, Person
from hanse.service.awarding.forms import Labelled
from hanse.service.awarding.pages import officers_only
from hanse.service.review import lanes, panel, queue, rounds, steps, tables
from hanse.service.review.assignments import Assignment
from hanse.service.review.redress import Redress
from hanse.service.review.reviewers import Reviewer
from hanse.service.review.stand_ins import StandIn

MOST, A_PAGE = 100, 50
IN_LANE = 20
"""Of each lane on the desk; the others stand on the lane's own page."""


@login_required
def desk(request: HttpRequest) -> HttpResponse:
    """Everybody sees what is theirs; nothing of others. Of a form, which is long, only titles are read."""
    person: Any = request.user
    officer = person.is_officer
    today = now().astimezone(clock.ZONE).date()
    calls, stands = list(Call.objects.order_by("call_id", "version")), steps.states_of_open()
    waiting, count = queue.briefly(person, limit=MOST, calls=calls, stands=stands)
    every = lanes.first_of_all(IN_LANE, by=person, calls=calls, stands=stands) if officer else []
    held = _held(person, calls)
    mine_on = panel.Panel.objects.filter(members__person=person).select_related("round")
    return render(request, "review/desk.html", {
        "queue": tables.queue(waiting), "more": max(0, count - MOST),
        "stand_ins": tables.stand_ins(StandIn.waiting().order_by("pk")[:MOST]) if officer else None,
        "redress": tables.redress(_redress()) if officer else None,
        "panels": tables.panels(mine_on[:MOST]),
        "open": tables.sheets(sorted((one for one in held if one.state == "given"), key=lambda one: one.due_on), today),
        "done": tables.sheets((one for one in held if one.state != "given"), today),
        "lanes": [(one, tables.lane(one), tables.kept(one), count - len(one.waiting)) for one, count in every],
    })  # fmt: skip


def _held(person: Person, calls: list[Call]) -> list[Any]:
    """The person's reviews, those to write first, each with its `title` and the title of its `call`."""
    first = Case(When(state="given", then=0), default=1)
    titles = {one.pk: one.terms.title for one in calls}
    rows = Assignment.objects.filter(reviewer__person=person).order_by(first, "-pk")
    found = list(rows.annotate(
        title=KeyTextTransform("title", "application__form"), call_key=F("application__call")
    )[: 2 * MOST])  # fmt: skip
    for one in found:
        one.call = titles.get(one.call_key, "")
    return found


def _redress() -> list[Any]:
    """Those that wait for an answer, the earliest first, with (id, title, organisation) of each's application."""
    told = Application.objects.filter(pk=OuterRef("application")).order_by()
    rows = Redress.objects.filter(state="asked").order_by("asked_at").values_list(
        Subquery(told.values("public_id")), Subquery(told.values(title=KeyTextTransform("title", "form"))),
        Subquery(told.values("organisation__name")), "asked_at",
    )  # fmt: skip
    return list(rows[:MOST])


@login_required
def lane(request: HttpRequest, call: str) -> HttpResponse:
    """Everybody who waits in a lane, in order of arrival."""
    officers_only(request)
    officer: Any = request.user
    try:
        number = max(1, int(request.GET.get("page", 1)))
        shown, count = lanes.part(call, by=officer, offset=(number - 1) * A_PAGE, limit=A_PAGE)
    except (ValueError, OverflowError, UsageError):
        raise Http404 from None
    page = Paginator(range(count), A_PAGE).get_page(number)
    return render(request, "review/lane.html", {
        "lane": shown, "waiting": tables.lane(shown), "kept": tables.kept(shown), "page": page, "count": count,
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
    page = Paginator(Reviewer.counted(), A_PAGE).get_page(request.GET.get("page"))
    return render(request, "review/reviewers.html", {"form": form, "table": _listed(page.object_list), "page": page})


def _listed(people: Any) -> Child:
    rows = [
        (told.name, told.person, told.organisation, ", ".join(told.keywords), f"{told.open_reviews:,}",
         "" if told.active else "not asked any more")
        for told in (one.contract() for one in people)
    ]  # fmt: skip
    columns = ("Name", "User name", "Works at", "Knows", Column("Open reviews", True), "")
    return table(columns, rows) if rows else None
