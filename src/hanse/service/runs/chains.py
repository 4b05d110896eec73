"""Long runs as chains: the next attempts are queued ahead while one runs, so that an absent agent loses no place.

An attempt ahead starts when the one before it has ended, however. It reserves only what is left, and is cancelled
unspent when the run ends before its turn.
"""

from __future__ import annotations

from typing import Any, Final

from hanse.contracts.base import now
from hanse.contracts.run import FINAL_ATTEMPT_STATES, AttemptState
from hanse.planning import jobs
from hanse.service.runs.attempts import Attempt

MARGIN: Final = 1.1
"""On the plan's own upper estimate: a chain that is one job too long costs nothing."""

LOST_ITS_PLACE: Final = "the attempt it waited for ended before its turn"
FEWER_NODES: Final = "too few sound nodes are left for it; the next attempt takes fewer"
STAYS: Final = ("", LOST_ITS_PLACE, FEWER_NODES)
"""What an attempt may be recalled for without its run leaving the machine."""


def attempts_of(leg: Any) -> list[Attempt]:
    return list(Attempt.objects.filter(leg=leg).order_by("number"))


def used_up(leg: Any) -> int:
    """Attempts of the run that count against where.max_attempts: since a person last began it, without the unused."""
    since = leg.run.legs.filter(slot=leg.slot, asked=True, number__lte=leg.number).order_by("-number").first()
    counted = _of_slot(leg).filter(leg__number__gte=since.number if since else 1)
    return int(counted.exclude(state=AttemptState.CANCELLED, started_at=None).count())


def _of_slot(leg: Any) -> Any:
    """Attempts of the leg and of those it follows: of another leg that trains beside it they are none."""
    return Attempt.objects.filter(leg__run=leg.run, leg__slot=leg.slot)


def extend(leg: Any, allocation: Any, *, by: str) -> tuple[Attempt, ...]:
    """Plan what is to be queued ahead of time. Needs the run and the allocation locked."""
    run, planned = leg.run, []
    where, plan = run.spec.where, leg.plan or run.plan
    if plan is None or not where.ahead:  # a command is not gone on with
        return ()
    attempts = attempts_of(leg)
    waiting = [each for each in attempts if each.state not in FINAL_ATTEMPT_STATES]
    done = max((each.last_step or 0 for each in _of_slot(leg)), default=0)
    left_s = plan.wall_time_s.high * MARGIN * max(0.0, 1 - done / plan.steps)
    shape = run.shape(leg)
    while waiting and not any(each.recalled for each in waiting):
        enough = sum(each.job.wall_time_s for each in waiting) >= left_s
        if enough or len(waiting) > where.ahead or used_up(leg) >= where.max_attempts:
            break
        allocation = type(allocation).locked(allocation.public_id)
        if not allocation.open_on(now().date()):
            break
        if run.affordable_wall_time_s(shape, allocation) < jobs.MIN_WALL_TIME_S:
            break
        latest = Attempt.plan(leg, attempts[-1].number + 1, allocation, by=by, after=waiting[-1])
        for rows in (attempts, waiting, planned):
            rows.append(latest)
    return tuple(planned)


def break_off(lost: Attempt, *, by: str) -> None:
    """One queued ahead ended before its turn: what waits for its end would start beside the one that trains."""
    for each in attempts_of(lost.leg):
        if each.number > lost.number and each.state not in FINAL_ATTEMPT_STATES:
            each.recall(LOST_ITS_PLACE, by=by)


def still_open(ahead: list[Attempt], why: str, *, by: str) -> list[Attempt]:
    """Have what is queued ahead end, for the run leaves; those an agent has to end first."""
    for each in sorted(ahead, key=lambda one: -one.number):
        each.recall(why, by=by)
    return [each for each in ahead if each.state not in FINAL_ATTEMPT_STATES]


def why_left(leg: Any) -> str:
    """Why its attempts were recalled so that the run goes on elsewhere; '' where only its chain was broken."""
    recalled = leg.attempts.exclude(recalled__in=STAYS).order_by("-number").first()
    return recalled.recalled if recalled else ""


def ended_of(leg: Any) -> Any:
    """Its attempts that had their turn and have ended."""
    ended = Attempt.objects.filter(leg=leg, state__in=FINAL_ATTEMPT_STATES)
    return ended.exclude(state=AttemptState.CANCELLED, started_at=None).select_related("leg__machine")


def last_of(leg: Any) -> Attempt | None:
    last: Attempt | None = ended_of(leg).order_by("-number").first()
    return last
