"""Lanes: applications of a call that are taken in order of arrival, with the clock of what was promised.

A lane is a call that orders by arrival, or one round of it where it has cut-offs. An application that failed a step
holds nobody up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Count, Exists, OuterRef, Q, Window
from django.db.models.fields.json import KeyTextTransform

from hanse.contracts import review_steps as contract
from hanse.contracts.base import now
from hanse.contracts.errors import UsageError
from hanse.contracts.programme import CallTerms
from hanse.contracts.review_steps import StepKind, StepState
from hanse.programme import rounds as promises
from hanse.programme.review import steps as order
from hanse.programme.review.lanes import Arrival, Record, record
from hanse.service.access.models import Application, Call, Person
from hanse.service.kept import Kept
from hanse.service.review import steps
from hanse.service.review.steps import Step

ORDERS = ("arrival", "arrival-among-passing")
WAITING = ("sent", "in-review")
DECIDED = ("granted", "declined")
_ANSWERED = Kept[Mapping[str, Record]](most=8)


def is_lane(terms: CallTerms) -> bool:
    return terms.order in ORDERS


def ahead(application: Any) -> tuple[int, str]:
    """How many of its lane came earlier and wait for their decision, and the id of the one whose turn it is."""
    if not is_lane(application.call.terms) or application.sent_at is None:
        return 0, ""
    lane_of = Application.objects.filter(
        call__call_id=application.call.call_id, cut_off=application.cut_off, state__in=WAITING
    )
    earlier = Q(sent_at__lt=application.sent_at) | Q(sent_at=application.sent_at, public_id__lt=application.public_id)
    failed = Exists(Step.objects.filter(application=OuterRef("pk"), state="failed"))
    rows = lane_of.filter(earlier, ~failed).order_by("sent_at", "public_id").annotate(count=Window(Count("pk")))
    return rows.values_list("count", "public_id").first() or (0, "")


def shown(call: str, *, by: Person, at: datetime | None = None) -> contract.LaneShown:
    """The lane of a call at a moment: who waits in order, and how the promise was kept.

    Raises:
        PolicyError: not an officer.
        UsageError: there is no such call, or it is not taken in order of arrival.
    """
    return part(call, by=by, at=at)[0]


def part(
    call: str, *, by: Person, at: datetime | None = None, offset: int = 0, limit: int | None = None
) -> tuple[contract.LaneShown, int]:
    """The same with a slice of who waits, and how many wait; raises as `shown`."""
    by.require_officer()
    latest = Call.latest(call)
    if not is_lane(latest.terms):
        raise UsageError(f"{latest.terms.title} is not taken in order of arrival", where=call, fix="look at its rounds")
    versions = Call.objects.filter(call_id=call).order_by("version")
    return _shown(versions, at or now(), steps.states_of_open(), offset, limit)[0]


def all_shown(*, by: Person, at: datetime | None = None) -> tuple[contract.LaneShown, ...]:
    """Every call's lane, by the call's title."""
    by.require_officer()
    every = Call.objects.order_by("call_id", "version")
    return tuple(one for one, _ in _shown(every, at or now(), steps.states_of_open()))


def first_of_all(
    limit: int, *, by: Person, calls: Iterable[Call], stands: Mapping[Any, Mapping[StepKind, StepState]]
) -> list[tuple[contract.LaneShown, int]]:
    """The first of every lane, and how many wait there; `calls` are all their versions in order."""
    by.require_officer()
    return _shown(calls, now(), stands, limit=limit)


def _shown(
    calls: Iterable[Call], moment: datetime, stands: Mapping[Any, Mapping[StepKind, StepState]], offset: int = 0,
    limit: int | None = None,
) -> list[tuple[contract.LaneShown, int]]:  # fmt: skip
    """All of them at once; titles are read of those alone that are shown."""
    by_key = {one.pk: one for one in calls}
    latest = {one.call_id: one for one in by_key.values()}
    found = sorted((one for one in latest.values() if is_lane(one.terms)), key=lambda one: one.terms.title)
    mine = {key for key, one in by_key.items() if is_lane(latest[one.call_id].terms)}
    waits: dict[str, list[_Waits]] = defaultdict(list)
    rows = Application.objects.filter(state__in=WAITING, call__in=mine, sent_at__isnull=False).order_by()
    for row in rows.values_list("public_id", "pk", "call", "cut_off", "sent_at", "decide_by"):
        waits[by_key[row[2]].call_id].append(_Waits(*row))
    for each in waits.values():
        each.sort(key=lambda one: (one.sent_at, one.id))
    ends = None if limit is None else offset + limit
    cut = {name: each[offset:ends] for name, each in waits.items()}
    lines = _lines([one.pk for each in cut.values() for one in each])
    records = _answered({one.call_id: one.terms for one in found}, moment)
    return [
        (_lane(one, waits[one.call_id], records[one.call_id]).model_copy(update={"waiting": tuple(
            _item(each, place, lines[each.pk], by_key[each.call].terms, stands.get(each.pk, {}), moment)
            for place, each in enumerate(cut.get(one.call_id, ()), offset + 1) if each.pk in lines
        )}), len(waits[one.call_id]))
        for one in found
    ]  # fmt: skip


class _Waits(NamedTuple):
    id: str
    pk: Any
    call: Any
    cut_off: datetime | None
    sent_at: datetime
    decide_by: datetime | None


def _lines(keys: list[Any]) -> dict[Any, tuple[str, str]]:
    """(title, organisation) of each, without reading the whole of a form."""
    rows = Application.objects.filter(pk__in=keys).order_by() if keys else Application.objects.none()
    title = KeyTextTransform("title", "form")
    return {key: (said, house) for key, said, house in rows.values_list("pk", title, "organisation__name")}


def _answered(terms: Mapping[str, CallTerms], moment: datetime) -> Mapping[str, Record]:
    """How each call was answered so far; kept for FIGURES_KEPT_S."""
    if not (kept_for := timedelta(seconds=settings.FIGURES_KEPT_S)):
        return _records(terms)
    return _ANSWERED.get(tuple(terms), lambda _at: _records(dict(terms)), at=moment, kept_for=kept_for)


def _records(terms: Mapping[str, CallTerms]) -> Mapping[str, Record]:
    """Of three years of answers only the days are read."""
    answered: dict[str, list[tuple[Any, Arrival]]] = defaultdict(list)
    rows = Application.objects.filter(call__call_id__in=terms, state__in=DECIDED).order_by()
    rows = rows.filter(sent_at__isnull=False, decided_at__isnull=False)
    days = ("call__call_id", "cut_off", "public_id", "sent_at", "decide_by", "decided_at")
    for call, cut_off, id, sent_at, decide_by, decided_at in rows.values_list(*days):
        one = Arrival(id=id, sent_at=sent_at, decide_by=decide_by, decided_at=decided_at)
        answered[call].append((cut_off, one))
    return {call: record(one, answered[call]) for call, one in terms.items()}


def _lane(latest: Call, waits: list[_Waits], so_far: Record) -> contract.LaneShown:
    terms: CallTerms = latest.terms
    first: dict[Any, tuple[float, str]] = {}
    for one in waits:
        first.setdefault(one.cut_off, (one.sent_at.timestamp(), one.id))
    return contract.LaneShown(
        call=latest.call_id, version=latest.version, title=terms.title,
        promised_working_days=terms.decision_working_days, decided=so_far.decided,
        share_in_time=so_far.share_in_time, median_working_days=so_far.median_working_days,
        out_of_order=so_far.overtaken(first),
    )  # fmt: skip


def _item(
    one: _Waits, place: int, line: tuple[str, str], terms: CallTerms, stands: Mapping[StepKind, StepState],
    moment: datetime,
) -> contract.LaneItem:  # fmt: skip
    standing: Any = promises.standing(terms, one.decide_by, None, moment)
    return contract.LaneItem(
        application=one.id, title=line[0], organisation=line[1], place=place, sent_at=one.sent_at,
        decide_by=one.decide_by, standing=standing.state, working_days=standing.working_days,
        next_step=order.turn(terms, stands),
    )  # fmt: skip
