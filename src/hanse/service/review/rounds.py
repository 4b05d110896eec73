"""A round as one: all applications of one cut-off are given to reviewers together, and ranked together."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime

from django.db import transaction

from hanse.contracts import review as contract
from hanse.contracts.errors import Conflict
from hanse.programme.review import rules
from hanse.programme.review.assignment import propose
from hanse.programme.review.conflicts import found
from hanse.programme.review.ranking import Scored, rank
from hanse.service.access.models import Application, Person
from hanse.service.review.assignments import Assignment
from hanse.service.review.reviewers import Reviewer, entry, require_judge


def of(call: str, cut_off: datetime, person: Person) -> list[Application]:
    """The round's applications that wait for a decision. Raises PolicyError where the person may not judge one."""
    person.require_officer()
    rows = Application.objects.filter(call__call_id=call, cut_off=cut_off, state__in=("sent", "in-review"))
    every = list(rows.select_related("organisation", "applicant", "call").order_by("pk"))
    for one in every:
        require_judge(person, one)
    return every


def assign(call: str, cut_off: datetime, *, due_on: date, by: Person) -> contract.Assigned:
    """Give every application the reviewers it lacks: at first, and as stand-ins for those who declined."""
    with transaction.atomic():
        entries = {one.public_id: one for one in of(call, cut_off, by)}
        people = {str(one.pk): one for one in Reviewer.objects.select_related("person").order_by("pk")}
        # Two officers at once: the second waits here, then sees whom the first one asked.
        keys = [one.pk for one in entries.values()]
        list(Application.objects.select_for_update(of=("self",)).filter(pk__in=keys).order_by("pk"))
        held = Assignment.objects.filter(application__in=entries.values()).select_related("application")
        asked = [(one.application.public_id, str(one.reviewer_id), one.state) for one in held]
        load = Counter(str(pk) for pk in Assignment.objects.filter(state="given").values_list("reviewer_id", flat=True))
        given, short = [], {}
        for name in _scarcest_first(entries, people):
            missing = rules.default().reviewers_each - sum(
                app == name and state != "declined" for app, _, state in asked
            )
            before = {who for app, who, _ in asked if app == name}
            free = [one.seen(load=load[key]) for key, one in people.items() if key not in before]
            proposal = propose([entry(entries[name])], free, each=max(missing, 0))
            for _, who in proposal.pairs:
                load[who] += 1
                given.append(Assignment.give(entries[name], people[who], due_on=due_on, by=by).public_id)
            short.update(proposal.short)
    return contract.Assigned(given=tuple(given), short=short)


def ranking(call: str, cut_off: datetime, *, places: int, by: Person) -> contract.Ranking:
    """The round in order. Raises Conflict while a review is missing."""
    entries = of(call, cut_off, by)
    sheets = Assignment.objects.filter(application__in=entries, state__in=("given", "sent"))
    by_application: dict[int, list[Assignment]] = {one.pk: [] for one in entries}
    for sheet in sheets:
        by_application[sheet.application_id].append(sheet)
    for one in entries:
        mine = by_application[one.pk]
        if not mine or any(sheet.state == "given" for sheet in mine):
            raise Conflict("a review of it is missing", where=one.public_id, fix="remind its reviewers or assign more")
    scored = [
        Scored(id=one.public_id, sent_at=one.sent_at, sheets=tuple(sheet.points for sheet in by_application[one.pk]))
        for one in entries
    ]
    return contract.Ranking(
        places=tuple(
            contract.RankedPlace(
                application=one.id, place=one.place, total=float(one.total), standing=one.standing, reserve=one.reserve
            )
            for one in rank(rules.default(), scored, places=places)
        )
    )


def _scarcest_first(entries: dict[str, Application], people: dict[str, Reviewer]) -> list[str]:
    seen = [one.seen() for one in people.values()]
    able = {name: sum(not found(one, entry(app)) for one in seen) for name, app in entries.items()}
    return sorted(entries, key=lambda name: (able[name], name))
