"""Attempts queued ahead: which job one must wait for, so that a machine out of reach for days goes on by itself. Pure.

An attempt whose predecessor was not yet submitted waits for that; one whose predecessor ended, or was put away, waits
for nothing.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from hanse.agent.store import Record
from hanse.contracts.run import FINAL_ATTEMPT_STATES, AttemptState


@dataclass(frozen=True, slots=True, kw_only=True)
class NotYet:
    reason: str


def waits_for(predecessor: Record | None, *, is_open: bool) -> str | NotYet | None:
    """The job id to submit after, None for none, or why it cannot be submitted yet.

    `predecessor` is what the store knows of the attempt before; None: it was never heard of, so it ended before.
    """
    if predecessor is None or not is_open:
        return None
    seen = predecessor.seen
    if seen is not None and seen.state in FINAL_ATTEMPT_STATES:
        return None
    if seen is not None and seen.state is AttemptState.UNKNOWN:
        return NotYet(reason=f"what became of {predecessor.attempt_id}, before it, is not known")
    if predecessor.job_id is None:
        return NotYet(reason=f"{predecessor.attempt_id}, before it, is not submitted yet")
    return predecessor.job_id


def in_turn(records: Iterable[Record]) -> list[Record]:
    """Projects take turns, each in its own order: one that queued thousands does not make the others wait."""
    queues: dict[str, deque[Record]] = defaultdict(deque)
    for record in records:
        queues[record.assignment.project or ""].append(record)
    turns: list[Record] = []
    while queues:
        for project in list(queues):
            turns.append(queues[project].popleft())
            if not queues[project]:
                del queues[project]
    return turns
