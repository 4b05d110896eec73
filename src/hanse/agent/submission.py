"""Hand attempts to the scheduler: policy first, then the ticket, then the run's folder, the intent, the scheduler.

Whatever says no or not yet becomes one sentence. Nothing is written for a job before all that forbids it was asked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hanse.agent import legs, place, policy
from hanse.agent.budget import Budget
from hanse.agent.chain import NotYet, in_turn, waits_for
from hanse.agent.identity import Schedulers, lay_folder
from hanse.agent.store import Record, Store
from hanse.contracts.agentapi import Assignment, Exchange
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, NoRoom, SchedulerUnknown, ServiceError, SiteError, TicketError, UsageError
from hanse.contracts.parcel import Parcel
from hanse.contracts.policy import SitePolicy
from hanse.contracts.run import FINAL_ATTEMPT_STATES
from hanse.contracts.rundir import RunDir
from hanse.schedulers.base import Scheduler
from hanse.schedulers.host import Host, HostUnreachable

logger = logging.getLogger("hanse.agent")

AHEAD = 8
"""So many attempts' folders are written beforehand."""
MOST_AT_ONCE = 4
"""With the scheduler at a time, at most; each scheduler says how many it takes itself."""
TOGETHER = 8
"""Intents, and outcomes, in one write to the disk."""
SUBMIT_FOR_S = 15.0
"""Then the service is told, and asked whether all this is still wanted; the rest follows in the next cycle."""


class Arrivals(Protocol):
    """Whether what an attempt needs from another machine lies there, verified."""

    def arrived(self, parcel: Parcel) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    record: Record
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    record: Record
    reason: str
    error: str = ""
    policy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    record: Record
    reason: str
    policy: bool = False


Outcome = Submitted | Refusal | Delay


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """One attempt on its way to the scheduler."""

    record: Record
    assignment: Assignment
    scheduler: Scheduler
    after: str | None


class UnderWay:
    """What is on its way to the scheduler or with it; each outcome is told in the thread that began them.

    Intents reach the disk some at a time, before any of their jobs is submitted, and so do outcomes: one that is lost
    with the agent is found again by its job's name.
    """

    def __init__(
        self, store: Store, tell: Callable[[Outcome], None], hand_over: Callable[[Going], Outcome]
    ) -> None:  # fmt: skip
        self._store = store
        self._tell = tell
        self._hand_over = hand_over
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="submit")
        self._next: list[Going] = []
        self._going: dict[Future[Outcome], str] = {}
        self._ended: list[Future[Outcome]] = []

    def begin(self, going: Going) -> None:
        self._next.append(going)
        if len(self._next) >= (TOGETHER if going.scheduler.submits_at_once > 1 else 1):
            self._send()

    def settle(self, attempt_id: str | None) -> None:
        """Waits for one attempt's outcome if it is under way: the next of its chain needs its job."""
        if attempt_id is None:
            return
        if any(going.record.attempt_id == attempt_id for going in self._next):
            self._send()
        while attempt_id in self._going.values():
            self._wait()
        self._say()

    def finish(self) -> None:
        """Waits for all of them. What one of them raised is raised when all others are told."""
        try:
            self._send()
            while self._going:
                self._wait()
            self._say()
        finally:
            self._pool.shutdown()

    def _send(self) -> None:
        with self._store.together():
            for going in self._next:
                self._store.intend(going.record.attempt_id, now())
        sent, self._next = self._next, []
        for going in sent:
            while len(self._going) >= min(MOST_AT_ONCE, going.scheduler.submits_at_once):
                self._wait()
            self._going[self._pool.submit(self._hand_over, going)] = going.record.attempt_id

    def _wait(self) -> None:
        done = wait(self._going, return_when=FIRST_COMPLETED).done
        for one in [each for each in self._going if each in done]:
            del self._going[one]
            self._ended.append(one)
        if len(self._ended) >= TOGETHER or not self._going:
            self._say()

    def _say(self) -> None:
        ended, self._ended = self._ended, []
        failed = next((error for one in ended if (error := one.exception()) is not None), None)
        with self._store.together():
            for one in ended:
                if one.exception() is None:
                    self._tell(one.result())
        if failed is not None:
            raise failed


@dataclass(slots=True, kw_only=True)
class Submission:
    """One machine's way from attempts to jobs; `more` says that the time or the calls ran out."""

    machine: str
    ticket_key: str
    schedulers: Schedulers
    store: Store
    work: Path
    fetch_code: Callable[[str], bytes]
    fetch_exchange: Callable[[str], Exchange]
    budget: Budget
    sure: Callable[[Record], bool]
    """A last look at what an earlier submission would have left behind; what it finds it tells itself."""
    arrivals: Arrivals | None = None
    clock: Callable[[], float] = time.monotonic
    more: bool = False
    host: Host = place.HERE
    """Where the runs' folders lie."""

    def submit(self, records: Sequence[Record], rules: SitePolicy, tell: Callable[[Outcome], None]) -> None:
        """Submit what may be, project by project in turn; `tell` hears of each as soon as it is known.

        Several are with the scheduler at a time where it takes that, and the folders of the next ones are written
        meanwhile: most of both is waiting. What a job's going out rests on is looked at, and its intent written, here.
        """
        self.more = False
        load = policy.Load.of(r.assignment for r in self.store.open() if r.job_id is not None and not _ended(r))
        turns = in_turn(records)
        until = self.clock() + SUBMIT_FOR_S
        pool = ThreadPoolExecutor(AHEAD // 2, thread_name_prefix="prepare")
        ahead: dict[str, Future[Assignment]] = {}
        under_way = UnderWay(self.store, tell, self._hand_over)
        try:
            for number, record in enumerate(turns):
                if self.clock() > until:
                    self.more = True
                    return
                verdict = policy.judge(rules, record.assignment, load, at=now())
                if verdict is not None:
                    refused = isinstance(verdict, policy.Refused)
                    tell((Refusal if refused else Delay)(record=record, reason=verdict.reason, policy=True))
                    continue
                for one in turns[number : number + AHEAD]:
                    if one.attempt_id not in ahead and policy.judge(rules, one.assignment, load, at=now()) is None:
                        ahead[one.attempt_id] = pool.submit(self._prepare, one, rules)
                if not self.sure(record):
                    continue
                under_way.settle(record.assignment.after)
                going = self._ready(record, rules, ahead[record.attempt_id])
                if going is None:
                    self.more = True
                    return
                if not isinstance(going, Going):
                    tell(going)
                    continue
                load.add(record.assignment)
                under_way.begin(going)
        finally:
            try:
                under_way.finish()
            finally:
                pool.shutdown(cancel_futures=True)

    def _prepare(self, record: Record, rules: SitePolicy) -> Assignment:
        """Check the ticket, write the folder; the answer is what to submit. Runs in a thread: it leaves the store."""
        assignment = record.assignment
        assignment = assignment.model_copy(update={"job": policy.with_excluded(rules, assignment.job)})
        ticket = place.check(assignment, machine=self.machine, ticket_key=self.ticket_key, at=now())
        exchange = self.fetch_exchange(record.attempt_id) if ticket.outer_sha256 is not None else None
        run_dir = self._run_dir(assignment)
        if not self.host.remote:
            user = policy.unix_user(rules, assignment)
            boxes = (run_dir.outbox, run_dir.inbox) if exchange else ()
            lay_folder(run_dir.attempt(assignment.number).root, run_dir.root, user, rules.identity, boxes)
        place.prepare(assignment, run_dir, self.fetch_code, self.host)
        if exchange is not None:
            legs.write(exchange, ticket, run_dir, self.host)
        return assignment

    def _ready(self, record: Record, rules: SitePolicy, prepared: Future[Assignment]) -> Going | Outcome | None:
        """What is to be handed over, or why it is not now. None: the scheduler may not be called any more for now."""
        after = self._after(record.assignment)
        if isinstance(after, NotYet):
            return Delay(record=record, reason=after.reason)
        if missing := self._missing(record.assignment):
            return Delay(record=record, reason=f"what it needs from another machine has not arrived: {missing}")
        try:
            assignment = prepared.result()
            scheduler = self.schedulers.of(policy.unix_user(rules, assignment))
        except Exception as error:
            return _not_submitted(record, error)
        if not self.budget.allows():
            return None
        return Going(record=record, assignment=assignment, scheduler=scheduler, after=after)

    def _hand_over(self, going: Going) -> Outcome:
        """Runs in a thread: it leaves the store alone."""
        record, after = going.record, going.after
        try:
            job_id = going.scheduler.submit(
                going.assignment.job, self._run_dir(going.assignment), ticket_key=self.ticket_key,
                data_dir=str(self.work / "data"), after=after,
            )  # fmt: skip
        except Exception as error:
            if after is not None and isinstance(error, SiteError) and "depend" in error.what.lower():
                # It ended this moment: the next look shows it.
                return Delay(record=record, reason=f"job {after}, before it, is just ending")
            return _not_submitted(record, error)
        return Submitted(record=record, job_id=job_id)

    def _run_dir(self, assignment: Assignment) -> RunDir:
        return RunDir(self.work / "runs" / assignment.run_id)

    def _missing(self, assignment: Assignment) -> str:
        """The first parcel that is not there, empty if all are."""
        gone = (parcel.id for parcel in assignment.fetch if not (self.arrivals and self.arrivals.arrived(parcel)))
        return next(gone, "")

    def _after(self, assignment: Assignment) -> str | NotYet | None:
        if assignment.after is None:
            return None
        before = self.store.find(assignment.after)
        return waits_for(before, is_open=self.store.is_open(assignment.after))


def _ended(record: Record) -> bool:
    return record.seen is not None and record.seen.state in FINAL_ATTEMPT_STATES


def _not_submitted(record: Record, error: Exception) -> Outcome:
    """What became of an attempt that met this; an error that is not about it alone is raised again."""
    match error:
        case HostUnreachable():  # if sbatch was under way its job is found by name
            return Delay(record=record, reason=f"no connection: {error.what}")
        case SchedulerUnknown():
            return Delay(record=record, reason=f"submitted or not, the scheduler does not say: {error.what}")
        case Conflict():
            raise error
        case ServiceError():  # only its code was asked for: others need not wait for it
            return Delay(record=record, reason=f"waiting for its code: {error.what}")
        case NoRoom():
            return Delay(record=record, reason=f"waiting for room: {error.what}")
        case SiteError() | TicketError() | UsageError():
            return Refusal(record=record, reason=f"Not submitted: {error.what}.", error=str(error))
    raise error
