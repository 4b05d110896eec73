"""A round as one: all applications of one cut-off are given to reviewers together, ranked together, closed once.

Until it is closed the ranking is how the round would come out now; from then on it is what was kept on closing, and
decisions are shown against it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.db.models import Count

from hanse.contracts import review as contract
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, UsageError
from hanse.contracts.programme import CallTerms
from hanse.contracts.review_steps import PossibleConflict, RoundShown
from hanse.programme.review import rules
from hanse.programme.review import steps as order
from hanse.programme.review.assignment import propose
from hanse.programme.review.conflicts import found
from hanse.programme.review.ranking import Place, Scored, means, passes, rank
from hanse.service.access.models import Application, Call, Person
from hanse.service.records import together, transition
from hanse.service.review import clearing, panel, reserve, steps
from hanse.service.review.assignments import Assignment
from hanse.service.review.ranked import TRANSITIONS, Recommendation, Round
from hanse.service.review.reviewers import Reviewer, entry, require_judge_of_all
from hanse.service.review.standing_rules import rules_of, terms_of

WAITING = ("sent", "in-review")
_SENT = ("sent", "in-review", "granted", "declined")


def of(call: str, cut_off: datetime, person: Person, *, states: tuple[str, ...] = WAITING) -> list[Application]:
    """The round's applications that wait for a decision, or in other `states`.

    Raises PolicyError where the person may not judge one.
    """
    person.require_officer()
    rows = Application.objects.filter(call__call_id=call, cut_off=cut_off, state__in=states)
    every = list(rows.select_related("organisation", "applicant", "call").order_by("pk"))
    require_judge_of_all(person, every)
    return every


def assign(call: str, cut_off: datetime, *, due_on: date, by: Person) -> contract.Assigned:
    """Give every application the reviewers it lacks: at first, and as stand-ins for those who declined.

    Applications whose earlier steps are not passed wait.

    Raises:
        PolicyError: not an officer, or one of the applicants.
        Conflict: the round is closed.
    """
    with transaction.atomic():
        entries = {one.public_id: one for one in of(call, cut_off, by)}
        people = {str(one.pk): one for one in Reviewer.listed()}
        # Two officers at once: the second waits here, then sees whom the first one asked.
        lock(entries.values())
        _require_open(Round.at(call, cut_off), call)
        held = Assignment.objects.filter(application__in=entries.values()).select_related("application")
        asked = [(one.application.public_id, str(one.reviewer_id), one.state) for one in held]
        load = Counter(str(pk) for pk in Assignment.objects.filter(state="given").values_list("reviewer_id", flat=True))
        cleared = clearing.cleared(entries.values())
        given, short, waiting = [], {}, {}
        stands = steps.states_of(entries.values())
        each = rules_of(next(iter(entries.values()))).reviewers_each if entries else 0
        for name in _scarcest_first(entries, people):
            earlier = order.before(entries[name].call.terms, "scientific", stands[entries[name].pk])
            if earlier is not None:
                waiting[name] = earlier
                continue
            missing = each - sum(app == name and state in ("given", "sent") for app, _, state in asked)
            before = {who for app, who, _ in asked if app == name}
            free = [one.seen(load=load[key]) for key, one in people.items() if key not in before]
            proposal = propose([entry(entries[name])], free, each=max(missing, 0), cleared=cleared)
            for _, who in proposal.pairs:
                load[who] += 1
                given.append(Assignment.give(entries[name], people[who], due_on=due_on, by=by).public_id)
            short.update(proposal.short)
    return contract.Assigned(given=tuple(given), short=short, waiting=waiting)


def conflicts(call: str, cut_off: datetime, *, by: Person) -> tuple[PossibleConflict, ...]:
    """Every possible conflict of the round's applications, and what was said of it."""
    return clearing.possible(of(call, cut_off, by))


def certain(call: str, cut_off: datetime, *, by: Person) -> tuple[PossibleConflict, ...]:
    """Every pair of the round that is never asked, with the reason that stands in the records."""
    return clearing.certain(of(call, cut_off, by))


def ranking(call: str, cut_off: datetime, *, by: Person, places: int | None = None) -> contract.Ranking:
    """The round in order: as it was kept on closing, else as it would come out now.

    Raises:
        PolicyError: not an officer, or one of the applicants.
        UsageError: the call does not say how many places there are, and `places` does not either.
        Conflict: a review is missing.
    """
    applications = of(call, cut_off, by, states=(*_SENT, "withdrawn"))
    held = Round.at(call, cut_off)
    if held is not None and held.state == "closed":
        return kept(held)
    return computed(applications, sheets_of(applications), terms_of(call, cut_off), places)


def computed(
    applications: Iterable[Application], sheets: Mapping[int, list[Assignment]], terms: CallTerms | None,
    places: int | None,
) -> contract.Ranking:  # fmt: skip
    """An open round as it would come out now; raises as `ranking`. The caller has asked who may."""
    if terms is None:
        return contract.Ranking()
    applications = list(applications)
    scored, outside = _scored(applications, sheets, rules.of(terms))
    count = max(0, _places(terms, places) - outside)
    shown = rank(rules.of(terms), scored, places=count, reserve=rules.reserve(terms))
    by_id = {one.public_id: one for one in applications}
    return contract.Ranking(places=tuple(_shown(one, by_id[one.id], sheets) for one in shown))


def close(
    call: str, cut_off: datetime, *, by: Person, places: int | None = None, at: datetime | None = None
) -> contract.Ranking:
    """Compute the ranking and keep it, once.

    Raises:
        PolicyError: not an officer, or one of the applicants.
        UsageError: there is nobody to rank, or nobody says how many places there are.
        Conflict: the cut-off is not over, a review is missing, or it was closed before.
    """
    by.require_officer()
    moment = at or now()
    if cut_off > moment:
        raise Conflict("applications still arrive", where=call, fix=f"close it after {cut_off:%Y-%m-%d %H:%M} UTC")
    with together():
        applications = of(call, cut_off, by, states=_SENT)
        lock(applications)
        held = Round.objects.select_for_update(of=("self",)).get(pk=Round.kept(call, cut_off).pk)
        _require_open(held, call)
        # Again, under the lock: what was decided or sent in between is in it.
        applications = of(call, cut_off, by, states=_SENT)
        terms = terms_of(call, cut_off)
        if terms is None:
            raise UsageError("nobody applied in this round", where=call, fix="choose another cut-off")
        scored, outside = _scored(applications, sheets_of(applications), rules.of(terms))
        if not scored:
            raise UsageError("nobody in this round was scored", where=call, fix="give it reviewers first")
        count, longest = max(0, _places(terms, places) - outside), rules.reserve(terms)
        transition(
            held, "closed", TRANSITIONS, event="officer:round:closed", by=by.username, closed_at=moment, closed_by=by,
            rules=rules.of(terms), places=count, outside=outside, reserve=longest,
            data={"call": call, "cut_off": cut_off.isoformat(), "applications": len(scored), "places": count},
        )  # fmt: skip
        by_id = {one.public_id: one for one in applications}
        for one in rank(rules.of(terms), scored, places=count, reserve=longest):
            Recommendation.objects.create(
                round=held, application=by_id[one.id], place=one.place, total=float(one.total), standing=one.standing,
                means={name: float(mean) for name, mean in one.means.items()}, reserve=one.reserve,
            )  # fmt: skip
        for entered in scored:
            application = by_id[entered.id]
            if application.state in WAITING and "scientific" in order.kinds(application.call.terms):
                good = passes(rules.of(terms), means(rules.of(terms), entered))
                why = "" if good else "It does not reach the thresholds of the call."
                steps.finish(application, "scientific", by, passed=good, reason=why)
    return kept(held)


def kept(held: Round, sheets: Mapping[int, list[Assignment]] | None = None) -> contract.Ranking:
    """The ranking of a closed round, with the panel's places and what became of its applications since."""
    rows = list(held.recommendations.select_related("application").order_by("place"))
    sheets = sheets_of(one.application for one in rows) if sheets is None else sheets
    moves = panel.moves(held)
    order_now = panel.settled(held, {one.application.public_id: one.standing for one in rows}, moves)
    by_panel = {one.id: one for one in order_now}
    states = {one.application.public_id: one.application.state for one in rows}
    why, shown = {one: reason for one, _, reason in moves}, []
    for one in rows:
        now_at, state = by_panel[one.application.public_id], one.application.state
        shown.append(
            contract.RankedPlace(
                application=now_at.id,
                place=one.place,
                total=one.total,
                standing=one.standing,
                reserve=one.reserve,
                title=one.application.form.title,
                means=one.means,
                spread=_spread(sheets.get(one.application_id, [])),
                state=state,
                panel_standing=now_at.standing,
                panel_place=now_at.place if now_at.place != one.place else None,
                panel_reason=why.get(now_at.id, ""),
                against=against(now_at.standing, state),
            )
        )
    return contract.Ranking(
        places=tuple(shown), round=held.public_id, closed_at=held.closed_at,
        closed_by=held.closed_by.username if held.closed_by else "", free=reserve.state(held, order_now, states).free,
    )  # fmt: skip


def against(standing: str, state: str) -> str:
    """How a decision differs from what was recommended; empty: it does not, or there is none yet."""
    if state == "granted" and standing == "below":
        return "granted, though not recommended"
    if state == "declined" and standing == "grant":
        return "declined, though recommended"
    return ""


def shown(*, by: Person) -> tuple[RoundShown, ...]:
    """Every round with an application, the latest first."""
    by.require_officer()
    return Rounds()[:]


class Rounds:
    """All of them as a list of which a part is looked at: reviews are counted for that part alone."""

    def __init__(self) -> None:
        self._calls = {one.pk: one for one in Call.objects.all()}
        self._states: dict[tuple[str, datetime], Counter[str]] = defaultdict(Counter)
        self._first: dict[tuple[str, datetime], Call] = {}
        rows = Application.objects.filter(cut_off__isnull=False).exclude(state="draft").order_by()
        for pk, cut_off, state, count in rows.values_list("call", "cut_off", "state").annotate(count=Count("pk")):
            call = self._calls[pk]
            key = (call.call_id, cut_off)
            self._first[key] = min(self._first.get(key, call), call, key=lambda one: one.version)
            if state in _SENT:
                self._states[key][state] += count
        self._keys = sorted(self._states, key=lambda key: (-key[1].timestamp(), key[0]))

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, part: slice) -> tuple[RoundShown, ...]:
        keys = self._keys[part]
        if not keys:
            return ()
        between = (keys[-1][1], keys[0][1])
        sheets: dict[tuple[str, datetime], Counter[str]] = defaultdict(Counter)
        rows = Assignment.objects.filter(state__in=("given", "sent"), application__cut_off__range=between).order_by()
        for pk, cut_off, state, count in rows.values_list(
            "application__call", "application__cut_off", "state"
        ).annotate(count=Count("pk")):
            sheets[self._calls[pk].call_id, cut_off][state] += count
        held = Round.objects.filter(cut_off__range=between).select_related("panel")
        kept_rows = {(one.call_id, one.cut_off): one for one in held}
        return tuple(
            _round(key, self._states[key], sheets[key], kept_rows.get(key), self._first[key].terms) for key in keys
        )


def _round(
    key: tuple[str, datetime], states: Counter[str], sheets: Counter[str], held: Round | None, terms: Any
) -> RoundShown:
    closed = held is not None and held.state == "closed"
    return RoundShown(
        call=key[0], cut_off=key[1], id=held.public_id if held else None, state="closed" if closed else "open",
        applications=states.total(), undecided=sum(states[one] for one in WAITING), reviews=sheets.total(),
        panel=held.panel.state if held and hasattr(held, "panel") else "none",
        reviews_sent=sheets["sent"], reply_until=held.reply_until if held else None,
        places=held.places if held and closed else rules.places(terms) if terms else None,
    )  # fmt: skip


def _places(terms: Any, said: int | None) -> int:
    """The call's number of places; said on closing only where the call does not say it."""
    of_call = rules.places(terms)
    if of_call is not None and said not in (None, of_call):
        raise UsageError(
            f"the call has {of_call:,} places, not {said:,}", where="places", fix="leave it out, or amend the call"
        )
    count = of_call if of_call is not None else said
    if count is None:
        raise UsageError("the call does not say how many places there are", where="places", fix="say how many")
    if count < 0:
        raise UsageError("there are no places below nought", where="places", fix="say how many")
    return count


def sheets_of(applications: Iterable[Application]) -> dict[int, list[Assignment]]:
    rows = Assignment.objects.filter(application__in=list(applications), state__in=("given", "sent"))
    found: dict[int, list[Assignment]] = defaultdict(list)
    for sheet in rows:
        found[sheet.application_id].append(sheet)
    return found


def _scored(
    applications: Iterable[Application], sheets: Mapping[int, list[Assignment]], by: contract.ReviewRules
) -> tuple[list[Scored], int]:
    """Who is ranked by which sheets, and how many places went to applications that nobody scored.

    Decided ones stay in by the sheets that were sent, so that a decision moves nobody else. Who failed a step is out.
    """
    scored, outside = [], 0
    every = list(applications)
    stands = steps.states_of(every)
    for one in every:
        if one.state == "withdrawn" or "failed" in stands[one.pk].values():
            continue
        earlier = order.before(one.call.terms, "scientific", stands[one.pk]) if one.state in WAITING else None
        if earlier is not None:
            raise Conflict(f"its {earlier} step is not done", where=one.public_id, fix="wait until it is")
        mine = sheets.get(one.pk, [])
        sent = tuple(sheet.points for sheet in mine if sheet.state == "sent")
        if one.state in WAITING and (not sent or len(sent) < len(mine) or len(sent) < by.reviewers_each):
            raise Conflict("a review of it is missing", where=one.public_id, fix="remind its reviewers or assign more")
        if sent:
            scored.append(Scored(id=one.public_id, sent_at=one.sent_at, sheets=sent))
        else:
            outside += one.state == "granted"
    return scored, outside


def _spread(sheets: Iterable[Assignment]) -> dict[str, tuple[int, int]]:
    """Lowest and highest points by criterion of what was sent."""
    sent = [one.points for one in sheets if one.state == "sent"]
    names = sent[0] if sent else ()
    return {name: (min(one[name] for one in sent), max(one[name] for one in sent)) for name in names}


def _shown(one: Place, application: Application, sheets: Mapping[int, list[Assignment]]) -> contract.RankedPlace:
    return contract.RankedPlace(
        application=one.id, place=one.place, total=float(one.total), standing=one.standing, reserve=one.reserve,
        title=application.form.title, means={name: float(mean) for name, mean in one.means.items()},
        state=application.state, against=against(one.standing, application.state),
        spread=_spread(sheets.get(application.pk, [])),
    )  # fmt: skip


def lock(applications: Iterable[Application]) -> None:
    """Hold them, in one order for all, until the transaction ends."""
    keys = [one.pk for one in applications]
    list(Application.objects.select_for_update(of=("self",)).filter(pk__in=keys).order_by("pk"))


def _require_open(held: Round | None, call: str) -> None:
    if held is not None and held.state == "closed":
        raise Conflict("the round is closed and its ranking stands", where=call, fix="look at the ranking")


def _scarcest_first(entries: dict[str, Application], people: dict[str, Reviewer]) -> list[str]:
    seen = [one.seen() for one in people.values()]
    able = {name: sum(not found(one, entry(app)) for one in seen) for name, app in entries.items()}
    return sorted(entries, key=lambda name: (able[name], name))
