"""What an agent has to tell the service, and nothing twice: observations that differ, new steps, logs, results.

Of attempts that wait in a queue there is nothing to read; of those whose end was told neither. What was told is
written down only once it has arrived.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from hanse.agent import tails
from hanse.agent.store import Record, Store
from hanse.contracts.agentapi import Observation, RunResultReport
from hanse.contracts.run import FINAL_ATTEMPT_STATES, AttemptState
from hanse.contracts.rundir import RunDir
from hanse.schedulers.host import Host, HostUnreachable

MOST_OBSERVATIONS = 200
"""In one request: each is a transaction's worth of work for the service. The rest follows at once."""
_NOTHING_TO_READ = frozenset({AttemptState.PLANNED, AttemptState.QUEUED})


@dataclass(slots=True)
class Letter:
    """One request's worth of news."""

    observations: dict[str, Observation] = field(default_factory=dict)
    seen: dict[str, Observation] = field(default_factory=dict)
    """The same as they stand in the store."""
    news: dict[str, tails.News] = field(default_factory=dict)
    results: list[RunResultReport] = field(default_factory=list)
    more: bool = False


class Telling:
    """The memory of one epoch. `number` gives the next sequence."""

    def __init__(
        self, store: Store, run_dir: Callable[[Record], RunDir], epoch: int, host: Host = tails.HERE
    ) -> None:  # fmt: skip
        self._store = store
        self._run_dir = run_dir
        self._epoch = epoch
        self._host = host
        self._sequence = 0
        self._told: dict[str, tuple[Observation, tuple[object, ...]]] = {}

    def letter(self) -> Letter:
        letter = Letter()
        cut = False
        for record in self._store.open():
            seen = record.seen
            if seen is None:
                continue
            last = self._told.get(record.attempt_id)
            differs = last is None or (last[0] is not seen and last[1] != essence(seen))
            ended = is_final(seen)
            if seen.state not in _NOTHING_TO_READ and (differs or not ended):
                news = None if cut else self._news(record, ended=ended)
                cut = news is None
                if news is None and ended:
                    continue  # its end is told with the rest of it, once there is a connection
            else:
                news = None
            if news is not None:
                letter.news[record.attempt_id] = news
                letter.more |= news.more
                if news.result is not None:
                    letter.results.append(RunResultReport(run_id=record.assignment.run_id, result=news.result))
                if ended and news.more:
                    continue  # after its end is told the service asks no more, and what is left would stay here
            if differs and len(letter.observations) < MOST_OBSERVATIONS:
                self._sequence += 1
                numbers = {"epoch": self._epoch, "sequence": self._sequence}
                letter.observations[record.attempt_id] = seen.model_copy(update=numbers)
                letter.seen[record.attempt_id] = seen
            elif differs:
                letter.more = True
        return letter

    def _news(self, record: Record, *, ended: bool) -> tails.News | None:
        """None: where its files lie cannot be reached now."""
        try:
            if record.assignment.spec.across is not None and not record.trail_offset:
                record = replace(record, trail_offset=self._store.trail_offset_of(record.assignment.run_id))
            return tails.news(record, self._run_dir(record), self._host, ended=ended)
        except HostUnreachable:
            return None

    def arrived(self, letter: Letter) -> None:
        for attempt_id, seen in letter.seen.items():
            self._told[attempt_id] = (seen, essence(seen))
        results = {report.run_id for report in letter.results}
        with self._store.together():
            for attempt_id, news in letter.news.items():
                record = self._store.find(attempt_id)
                sent = record is not None and (record.result_sent or record.assignment.run_id in results)
                self._store.told(
                    attempt_id, steps_offset=news.steps_offset, steps_sent_at=news.steps_sent_at,
                    log_offset=news.log_offset, trail_offset=news.trail_offset, result_sent=sent,
                )  # fmt: skip

    def forget(self, attempt_ids: tuple[str, ...]) -> None:
        for attempt_id in attempt_ids:
            self._told.pop(attempt_id, None)


def is_final(seen: Observation | None) -> bool:
    return seen is not None and seen.state in FINAL_ATTEMPT_STATES


def essence(seen: Observation | None) -> tuple[object, ...]:
    """What makes an observation worth telling again: of the time that simply goes by only the minutes."""
    if seen is None:
        return ()
    return (
        seen.state, seen.job_id, seen.reason, seen.started_at, seen.ended_at, seen.exit_code, seen.nodes, seen.step,
        seen.doubled_jobs, (seen.accelerator_seconds or 0) // 60, _ten_minutes(seen.expected_start_at), seen.policy,
        seen.bad_nodes,
    )  # fmt: skip


def _ten_minutes(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp()) // 600
