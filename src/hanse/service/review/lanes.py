"""Lanes: applications of a call that are taken in order of arrival, with the clock of what was promised.

A lane is a call that orders by arrival, or one round of it where it has cut-offs. An application that failed a step
holds nobody up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from hanse.contracts import review_steps as contract
from hanse.contracts.base import now
from hanse.contracts.errors import UsageError
from hanse.contracts.programme import CallTerms
from hanse.programme.review import steps as order
from hanse.programme.review.lanes import Arrival, lane, overtaken
from hanse.service.access.models import Application, Call, Person
from hanse.service.review import steps

ORDERS = ("arrival", "arrival-among-passing")
WAITING = ("sent", "in-review")
DECIDED = ("granted", "declined")


def is_lane(terms: CallTerms) -> bool:
    return terms.order in ORDERS


def ahead(application: Any) -> list[Application]:
    """Those of its lane that came earlier and wait for their decision, first the one whose turn it is."""
    if not is_lane(application.call.terms) or application.sent_at is None:
        return []
    rows = Application.objects.filter(
        call__call_id=application.call.call_id, cut_off=application.cut_off, state__in=WAITING,
        sent_at__lte=application.sent_at,
    )  # fmt: skip
    key = (application.sent_at, application.public_id)
    earlier = [one for one in rows.select_related("call") if (one.sent_at, one.public_id) < key]
    stands = steps.states_of(earlier)
    waiting = [one for one in earlier if "failed" not in stands[one.pk].values()]
    return sorted(waiting, key=lambda one: (one.sent_at, one.public_id))


def shown(call: str, *, by: Person, at: datetime | None = None) -> contract.LaneShown:
    """The lane of a call at a moment: who waits in order, and how the promise was kept.

    Raises:
        PolicyError: not an officer.
        UsageError: there is no such call, or it is not taken in order of arrival.
    """
    by.require_officer()
    latest = Call.latest(call)
    if not is_lane(latest.terms):
        raise UsageError(f"{latest.terms.title} is not taken in order of arrival", where=call, fix="look at its rounds")
    return _shown([latest], at or now())[0]


def all_shown(
    *, by: Person, at: datetime | None = None, calls: Iterable[Call] | None = None
) -> tuple[contract.LaneShown, ...]:
    """Every call's lane, by the call's title. `calls` are the current ones, if at hand."""
    by.require_officer()
    found = [one for one in (Call.current() if calls is None else calls) if is_lane(one.terms)]
    return _shown(sorted(found, key=lambda one: one.terms.title), at or now())


def _shown(calls: list[Call], moment: datetime) -> tuple[contract.LaneShown, ...]:
    """Of all of them at once; of who was answered only the days are read."""
    mine = Application.objects.filter(call__call_id__in=[one.call_id for one in calls], sent_at__isnull=False)
    waiting: dict[str, list[Application]] = defaultdict(list)
    for row in mine.filter(state__in=WAITING).select_related("organisation", "call"):
        waiting[row.call.call_id].append(row)
    answered: dict[str, list[tuple[Any, Arrival]]] = defaultdict(list)
    days = ("call__call_id", "cut_off", "public_id", "sent_at", "decide_by", "decided_at")
    for call, cut_off, id, sent_at, decide_by, decided_at in mine.filter(state__in=DECIDED).values_list(*days):
        one = Arrival(id=id, sent_at=sent_at, decide_by=decide_by, decided_at=decided_at)
        answered[call].append((cut_off, one))
    stands = steps.states_of(row for rows in waiting.values() for row in rows)
    return tuple(_lane(one, waiting[one.call_id], answered[one.call_id], stands, moment) for one in calls)


def _lane(
    latest: Call, rows: list[Application], answered: list[tuple[Any, Arrival]], stands: Mapping[Any, Any],
    moment: datetime,
) -> contract.LaneShown:  # fmt: skip
    terms: CallTerms = latest.terms
    by_id = {row.public_id: row for row in rows}
    waits = [
        (row.cut_off, Arrival(id=row.public_id, sent_at=row.sent_at, decide_by=row.decide_by))
        for row in rows
        if row.sent_at is not None
    ]
    every = [*answered, *waits]
    found = lane(terms, (one for _, one in every), moment)
    by_round: dict[Any, list[Arrival]] = defaultdict(list)
    for cut_off, arrival in every:
        by_round[cut_off].append(arrival)
    return contract.LaneShown(
        call=latest.call_id, version=latest.version, title=terms.title,
        promised_working_days=terms.decision_working_days,
        waiting=tuple(
            contract.LaneItem(
                application=one.id, title=by_id[one.id].form.title, organisation=by_id[one.id].organisation.name,
                place=place, sent_at=one.sent_at, decide_by=one.decide_by, standing=standing.state,
                working_days=standing.working_days,
                next_step=order.turn(by_id[one.id].call.terms, stands[by_id[one.id].pk]),
            )
            for place, (one, standing) in enumerate(found.waiting, 1)
            if one.id in by_id
        ),
        decided=sum(one.decided_at is not None for _, one in every), share_in_time=found.share_in_time,
        median_working_days=found.median_working_days, out_of_order=sum(map(overtaken, by_round.values())),
    )  # fmt: skip
