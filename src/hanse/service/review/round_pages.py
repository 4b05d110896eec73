"""A round's page for officers: conflicts to answer, reviews to give, the ranking, and closing it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from hanse.contracts.base import now
from hanse.contracts.errors import HanseError, UsageError
from hanse.programme import clock
from hanse.reporting.markup import Child, h, join
from hanse.reporting.tables import table
from hanse.reporting.words import Look, badge, plain_date
from hanse.service.access.models import Application, Person
from hanse.service.awarding.pages import officers_only
from hanse.service.review import clearing, rounds, steps, tables
from hanse.service.review.assignments import Assignment
from hanse.service.review.ranked import Round
from hanse.service.review.reviewers import Reviewer
from hanse.service.review.standing_rules import rules_of, terms_of

_IN_IT = ("sent", "in-review", "granted", "declined")


@login_required
def page(request: HttpRequest, call: str, cut_off: str) -> HttpResponse:
    officers_only(request)
    officer: Any = request.user
    try:
        moment = tables.read(cut_off)
    except ValueError:
        raise Http404 from None
    entered = list(
        Application.objects.filter(call__call_id=call, cut_off=moment, state__in=_IN_IT)
        .select_related("organisation", "call", "applicant")
        .order_by("sent_at", "pk")
    )
    if not entered:
        raise Http404
    if request.method == "POST":
        _act(request, officer, call, moment)
        return redirect("review:round", call=call, cut_off=cut_off)
    return render(request, "review/round.html", _shown(officer, call, moment, entered))


def _act(request: HttpRequest, officer: Person, call: str, moment: datetime) -> None:
    posted = request.POST
    if "assign" in posted:
        _try(request, lambda: _assign(posted.get("due_on", ""), call, moment, officer))
    elif "close" in posted:
        _try(request, lambda: _close(posted.get("places", "").strip(), call, moment, officer))
    elif verdict := {"confirm": "confirmed", "clear": "cleared"}.get(posted.get("conflict", "")):
        application = get_object_or_404(
            Application.objects.select_related("organisation", "applicant", "call"),
            public_id=posted.get("application", ""), call__call_id=call, cut_off=moment,
        )  # fmt: skip
        reason = posted.get("reason", "")[:2000]
        _try(request, lambda: _answer(application, posted.get("reviewer", ""), officer, verdict, reason))


def _assign(due: str, call: str, moment: datetime, officer: Person) -> str:
    try:
        due_on = date.fromisoformat(due)
    except ValueError:
        raise UsageError("the day cannot be read", where="due_on", fix="Write it as 2027-01-29.") from None
    if due_on < now().astimezone(clock.ZONE).date():
        raise UsageError("the day is over", where="due_on", fix="Choose a later one.")
    told = rounds.assign(call, moment, due_on=due_on, by=officer)
    said = [f"{len(told.given):,} review{'' if len(told.given) == 1 else 's'} given."]
    if told.short:
        said.append(f"{len(told.short):,} lack reviewers who may judge them: enlist more, or clear a conflict.")
    if told.waiting:
        said.append(f"{len(told.waiting):,} wait for an earlier step.")
    return " ".join(said)


def _close(text: str, call: str, moment: datetime, officer: Person) -> str:
    if text and not (text.isascii() and text.isdecimal()):
        raise UsageError("the places are no number", where="places", fix="Write a whole number.")
    rounds.close(call, moment, by=officer, places=int(text) if text else None)
    return "The round is closed; its ranking stands."


def _answer(application: Application, reviewer: str, officer: Person, verdict: str, reason: str) -> str:
    clearing.answer(application, Reviewer.named(reviewer), officer, verdict=verdict, reason=reason)
    return "Your word is kept."


def _try(request: HttpRequest, act: Callable[[], str]) -> None:
    try:
        messages.success(request, act())
    except HanseError as refused:
        messages.error(request, " ".join(part for part in (f"{refused.what[:1].upper()}{refused.what[1:]}.",
                                                            refused.fix) if part))  # fmt: skip


def _shown(officer: Person, call: str, moment: datetime, entered: list[Application]) -> dict[str, Any]:
    held, terms = Round.at(call, moment), terms_of(call, moment)
    closed = held is not None and held.state == "closed"
    ranking, missing = None, ""
    rules = held.rules if held is not None and held.rules else rules_of(entered[0])
    try:
        # Before it is closed a number of places is only asked for where the call says none.
        ranking = rounds.ranking(call, moment, by=officer, places=_places(terms, closed))
    except HanseError as refused:
        missing = " ".join((f"{refused.what[:1].upper()}{refused.what[1:]}", f"({refused.where}).", refused.fix))
    try:
        found = () if closed else rounds.conflicts(call, moment, by=officer)
    except HanseError:
        found = ()
    sheets = list(Assignment.objects.filter(application__in=entered).select_related("reviewer__person", "application"))
    titles = {one.public_id: one.form.title for one in entered}
    return {
        "call": call, "terms": terms, "cut_off": moment, "closed": closed, "round": held, "over": moment <= now(),
        "rules": rules, "applications": _applications(entered, sheets),
        "conflicts": [(one, titles.get(one.application, one.application)) for one in found],
        "ranking": tables.ranking(ranking.places, rules) if ranking else None, "missing": missing,
        "free": ranking.free if ranking else 0, "needs_places": not closed and _places(terms, closed) is not None,
        "reviews": len([one for one in sheets if one.state != "declined"]),
        "sent": len([one for one in sheets if one.state == "sent"]),
        "days": clock.add_working_days(max(now(), moment), 10).date().isoformat(),
    }  # fmt: skip


def _places(terms: Any, closed: bool) -> int | None:
    """Nought where nobody says how many there are: the order can be looked at, all of it on the reserve."""
    from hanse.programme.review import rules

    return 0 if not closed and terms is not None and rules.places(terms) is None else None


def _applications(entered: list[Application], sheets: list[Assignment]) -> Child:
    by_application: dict[Any, list[Assignment]] = defaultdict(list)
    for sheet in sheets:
        by_application[sheet.application.pk].append(sheet)
    today, stands = now().astimezone(clock.ZONE).date(), steps.states_of(entered)
    rows = []
    for one in entered:
        turn = steps.turn_of(one, stands[one.pk])
        failed = steps.failed_of(stands[one.pk])
        rows.append((
            tables.link(one.public_id, one.form.title), str(one.organisation),
            f"{tables.KINDS[failed]} failed" if failed else tables.KINDS[turn] if turn else "Decision",
            join([_reviewer(sheet, today) for sheet in by_application[one.pk]]) if by_application[one.pk] else "none",
            one.state.replace("-", " ").capitalize(),
        ))  # fmt: skip
    return table(("Application", "Organisation", "Next", "Reviewers", "State"), rows)


def _reviewer(sheet: Assignment, today: date) -> Child:
    late = sheet.state == "given" and sheet.due_on < today
    look = Look("is-failed", "Late") if late else tables.SHEET_LOOKS[sheet.state]
    due = f" by {plain_date(sheet.due_on)}" if sheet.state == "given" else ""
    because = f": {sheet.reason}" if sheet.reason else ""
    return h("span", f"{sheet.reviewer} ", badge(look), f"{due}{because}", h("br"))
