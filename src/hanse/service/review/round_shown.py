"""What a round's page shows: how far it is, conflicts, the ranking, and its applications with their reviewers."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime
from typing import Any

from django.urls import reverse

from hanse.contracts.base import now
from hanse.contracts.errors import HanseError
from hanse.programme import clock
from hanse.programme.review import rules as of_call
from hanse.reporting.markup import Child, h, join
from hanse.reporting.tables import table
from hanse.reporting.words import Look, badge, plain_date
from hanse.service.access.models import Application, Person
from hanse.service.review import clearing, rounds, steps, tables, typed
from hanse.service.review.assignments import Assignment
from hanse.service.review.ranked import Round
from hanse.service.review.replies import Reply
from hanse.service.review.reviewers import Reviewer, require_judge_of_all
from hanse.service.review.standing_rules import terms_of

COUNTS = ("given", "sent")
"""Reviews that are waited for, or are in."""


def of(officer: Person, call: str, moment: datetime, entered: list[Application]) -> dict[str, Any]:
    held, terms = Round.at(call, moment), terms_of(call, moment)
    closed = held is not None and held.state == "closed"
    sheets = Assignment.objects.filter(application__in=entered).select_related("reviewer__person", "application")
    sheets = list(sheets.defer("application__form"))
    counting: dict[Any, list[Assignment]] = defaultdict(list)
    for one in sheets:
        if one.state in COUNTS:
            counting[one.application.pk].append(one)
    rules = held.rules if held is not None and held.rules else of_call.of(terms) if terms else of_call.default()
    nowhere = not closed and terms is not None and of_call.places(terms) is None
    ranking, missing, judges = None, "", True
    try:
        require_judge_of_all(officer, entered)
    except HanseError as refused:
        missing, judges = typed.told(refused), False
    try:
        # Before it is closed: where the call says no number, all of the order is looked at as the reserve.
        if judges:
            ranking = rounds.kept(held, counting) if held and closed else rounds.computed(
                entered, counting, terms, 0 if nowhere else None
            )  # fmt: skip
    except HanseError as refused:
        missing = f"{typed.told(refused)} ({refused.where})"
    return {
        "call": call, "terms": terms, "cut_off": moment, "closed": closed, "round": held, "stamp": tables.stamp(moment),
        "rules": rules, "applications": _applications(entered, sheets if judges else []),
        "ranking": tables.ranking(ranking.places, rules) if ranking else None, "missing": missing,
        "free": ranking.free if ranking else 0, "needs_places": nowhere,
        "reviews": sum(map(len, counting.values())),
        "sent": len([one for one in sheets if one.state == "sent"]),
        "waiting": len([one for one in entered if one.state in rounds.WAITING]),
        "replied": Reply.objects.filter(application__in=entered).count() if held and held.reply_until else 0,
        "days": clock.add_working_days(max(now(), moment), 10).date().isoformat(),
        **(_conflicts([one for one in entered if one.state in rounds.WAITING]) if judges and not closed else {}),
    }  # fmt: skip


def _conflicts(waiting: list[Application]) -> dict[str, Any]:
    titles = {one.public_id: one.form.title for one in waiting}
    people = Reviewer.listed()
    could, certain = clearing.all_of(waiting, people)
    rows = [(one.name, titles.get(one.application, one.application), "; ".join(one.found)) for one in certain]
    return {
        "conflicts": [
            (one, titles.get(one.application, one.application), f"why-{one.application}-{one.reviewer}")
            for one in could
        ],
        "certain": table(("Reviewer", "Application", "Why they are not asked"), rows) if rows else None,
    }


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
    who = h("a", str(sheet.reviewer), href=reverse("review:given", args=[sheet.public_id]))
    return h("span", who, " ", badge(look), f"{due}{because}", h("br"))
