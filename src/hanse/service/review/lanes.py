"""Lanes: applications of a call that are taken in order of arrival, with the clock of what was promised.

A lane is a call that orders by arrival, or one round of it where it has cut-offs. An application that failed a step
holds nobody up.
"""

from __future__ import annotations

from collections import defaultdict
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
_SENT = (*WAITING, "granted", "declined")


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
    latest, moment = Call.latest(call), at or now()
    terms: CallTerms = latest.terms
    if not is_lane(terms):
        raise UsageError(f"{terms.title} is not taken in order of arrival", where=call, fix="look at its rounds")
    rows = list(Application.objects.filter(call__call_id=call, state__in=_SENT).select_related("organisation", "call"))
    stands = steps.states_of(rows)
    arrivals = {
        one.public_id: Arrival(
            id=one.public_id, sent_at=one.sent_at, decide_by=one.decide_by, decided_at=one.decided_at
        )
        for one in rows
        if one.sent_at is not None
    }
    found = lane(terms, arrivals.values(), moment)
    by_id = {one.public_id: one for one in rows}
    waiting = []
    for place, (one, standing) in enumerate(found.waiting, 1):
        row = by_id[one.id]
        waiting.append(
            contract.LaneItem(
                application=one.id,
                title=row.form.title,
                organisation=row.organisation.name,
                place=place,
                sent_at=one.sent_at,
                decide_by=one.decide_by,
                standing=standing.state,
                working_days=standing.working_days,
                next_step=order.turn(row.call.terms, stands[row.pk]),
            )
        )
    by_round: dict[Any, list[Arrival]] = defaultdict(list)
    for name, arrival in arrivals.items():
        by_round[by_id[name].cut_off].append(arrival)
    return contract.LaneShown(
        call=call, version=latest.version, title=terms.title, promised_working_days=terms.decision_working_days,
        waiting=tuple(waiting), decided=sum(one.decided_at is not None for one in arrivals.values()),
        share_in_time=found.share_in_time, median_working_days=found.median_working_days,
        out_of_order=sum(overtaken(each) for each in by_round.values()),
    )  # fmt: skip


def all_shown(*, by: Person, at: datetime | None = None) -> tuple[contract.LaneShown, ...]:
    """Every call's lane, by the call's title."""
    by.require_officer()
    calls = [one for one in Call.current() if is_lane(one.terms)]
    return tuple(shown(one.call_id, by=by, at=at) for one in sorted(calls, key=lambda one: one.terms.title))
