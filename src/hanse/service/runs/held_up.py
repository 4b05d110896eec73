"""What waits at a machine that starts nothing of its kind: why, since when, and how long the user has patience with it.

`where.patience_s` counts from when the machine stopped taking jobs, or from when the attempt came to it if that was
later: what has long waited in a queue is not moved by a partition that is down for a minute.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from hanse.contracts.base import now
from hanse.contracts.run import FINAL_ATTEMPT_STATES, AttemptState
from hanse.contracts.site import PartitionState


class HeldUp(NamedTuple):
    because: str
    since: datetime

    def leaves_at(self, run: Any) -> datetime:
        return self.since + timedelta(seconds=run.spec.where.patience_s)


def of(attempt: Any) -> HeldUp | None:
    """What keeps an attempt at its machine from being started; None where nothing is known to."""
    machine, came = attempt.leg.machine, attempt.planned_at
    if attempt.after is not None and attempt.after.ended_at:
        came = max(came, attempt.after.ended_at)
    if machine.stopped or machine.draining:
        return HeldUp("the machine takes nothing new", came)
    if machine.away_since is not None:
        return HeldUp(f"its agent is away since {machine.away_since:%-d %B %H:%M} UTC", max(came, machine.away_since))
    if (down := _down(attempt)) is not None:
        why = f" ({down.reason})" if down.reason else ""
        return HeldUp(f"partition {down.name} is down{why}", max(came, down.down_since or machine.state.at))
    return None


def no_use_waiting(attempt: Any, at: datetime) -> str:
    """Why the user's patience is at its end; '' while it is not."""
    found = of(attempt)
    return found.because if found is not None and at >= found.leaves_at(attempt.leg.run) else ""


def told(attempt: Any) -> str:
    """For people: what a waiting attempt is held up by where its partition is down, and what becomes of the run.

    An agent that is away and a drained machine are told of where the machine is shown.
    """
    if attempt.state not in {AttemptState.PLANNED, AttemptState.QUEUED} or attempt.recalled:
        return ""
    if attempt.after is not None and attempt.after.state not in FINAL_ATTEMPT_STATES:
        return ""  # its turn has not come
    machine, run = attempt.leg.machine, attempt.leg.run
    if machine.stopped or machine.draining or machine.away_since is not None or _down(attempt) is None:
        return ""
    found = of(attempt)
    assert found is not None
    said = f"It waits on {machine.public_id}: {found.because} since {found.since:%-d %B %H:%M} UTC."
    if len(run.spec.where.machines) < 2:
        return f"{said} where.machines names no other, so it waits until that is over."
    leaves = found.leaves_at(run)
    if now() < leaves:
        return f"{said} It moves to another of where.machines at {leaves:%-d %B %H:%M} UTC if that is not over by then."
    return f"{said} No other of where.machines can take it now, so it stays and others are tried again."


def _down(attempt: Any) -> PartitionState | None:
    """The partition of an attempt, if it is not up; of one for the scheduler's default, where none is."""
    state = attempt.leg.machine.state
    here = [p for p in state.partitions if attempt.job.partition in (None, p.name)] if state else []
    return here[0] if here and not any(p.up for p in here) else None
