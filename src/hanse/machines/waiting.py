"""What an attempt that has not started waits for, in words, as it is told on a terminal and on the run's page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hanse.contracts.run import FINAL_ATTEMPT_STATES, Attempt, AttemptState, Run
from hanse.machines import pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """`words` explain; `quoted` is the scheduler's own word, where it gave one; `estimate` when it would start."""

    words: str
    what_you_can_do: str
    estimate: str = ""
    quoted: str = ""


def of_attempt(attempt: Attempt, *, now: datetime) -> Waiting | None:
    """None of one that runs or has ended."""
    if attempt.state is AttemptState.UNKNOWN:
        return Waiting(
            words="The scheduler does not mention it. It may still run; nothing is submitted twice.",
            what_you_can_do="If it stays so for an hour, ask the site's operator.",
        )
    if attempt.held and attempt.state in {AttemptState.PLANNED, AttemptState.QUEUED}:
        return Waiting(words=attempt.held, what_you_can_do="You need do nothing; 'hanse cancel' takes it back.")
    if attempt.state is AttemptState.PLANNED:
        words = (
            "It is to follow the attempt before it, and is handed over with it."
            if attempt.after
            else attempt.reason or "The machine's agent takes it up with its next report."
        )
        return Waiting(words=words, what_you_can_do=pending.NOTHING)
    if attempt.state is not AttemptState.QUEUED:
        return None
    told = pending.explain(attempt.reason, now=now)
    timed = pending.explain(attempt.reason, expected_start_at=attempt.expected_start_at, now=now)
    return Waiting(
        words=told.words,
        what_you_can_do=told.what_you_can_do,
        estimate=timed.words.removeprefix(told.words).strip(),
        quoted=told.reason if told.known else "",
    )


def of_run(run: Run, *, now: datetime) -> tuple[Attempt, Waiting] | None:
    """The attempt that the run waits for; None while one of them runs, and of a run that has ended."""
    going = [attempt for leg in run.legs for attempt in leg.attempts if attempt.state not in FINAL_ATTEMPT_STATES]
    if any(attempt.state is AttemptState.RUNNING for attempt in going):
        return None
    for attempt in going:
        if (told := of_attempt(attempt, now=now)) is not None:
            return attempt, told
    return None
