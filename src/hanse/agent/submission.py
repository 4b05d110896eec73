"""Hand attempts to the scheduler: policy first, then the ticket, then the run's folder, the intent, the scheduler.

Whatever says no or not yet becomes one sentence. Nothing is written for a job before all that forbids it was asked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hanse.agent import place, policy
from hanse.agent.budget import Budget
from hanse.agent.chain import NotYet, in_turn, waits_for
from hanse.agent.identity import Schedulers, lay_folder
from hanse.agent.store import Record, Store
from hanse.contracts.agentapi import Assignment
from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, NoRoom, SchedulerUnknown, ServiceError, SiteError, TicketError, UsageError
from hanse.contracts.parcel import Parcel
from hanse.contracts.policy import SitePolicy
from hanse.contracts.run import FINAL_ATTEMPT_STATES
from hanse.contracts.rundir import RunDir
from hanse.schedulers.host import Host, HostUnreachable

logger = logging.getLogger("hanse.agent")

AHEAD = 8
"""So many attempts' folders are written beforehand."""
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


@dataclass(slots=True, kw_only=True)
class Submission:
    """One machine's way from attempts to jobs; `more` says that the time or the calls ran out."""

    machine: str
    ticket_key: str
    schedulers: Schedulers
    store: Store
    work: Path
    fetch_code: Callable[[str], bytes]
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

        The folders of the next ones are written while the scheduler is busy with one: most of that is waiting for disk.
        """
        self.more = False
        load = policy.Load.of(r.assignment for r in self.store.open() if r.job_id is not None and not _ended(r))
        turns = in_turn(records)
        until = self.clock() + SUBMIT_FOR_S
        pool = ThreadPoolExecutor(AHEAD // 2, thread_name_prefix="prepare")
        ahead: dict[str, Future[Assignment]] = {}
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
                outcome = self._hand_over(record, rules, ahead[record.attempt_id])
                if outcome is None:
                    self.more = True
                    return
                tell(outcome)
                if isinstance(outcome, Submitted):
                    load.add(record.assignment)
        finally:
            pool.shutdown(cancel_futures=True)

    def _prepare(self, record: Record, rules: SitePolicy) -> Assignment:
        """Check the ticket, write the folder; the answer is what to submit. Runs in a thread: it leaves the store."""
        assignment = record.assignment
        assignment = assignment.model_copy(update={"job": policy.with_excluded(rules, assignment.job)})
        place.check(assignment, machine=self.machine, ticket_key=self.ticket_key, at=now())
        run_dir = self._run_dir(assignment)
        if not self.host.remote:
            user = policy.unix_user(rules, assignment)
            lay_folder(run_dir.attempt(assignment.number).root, run_dir.root, user, rules.identity)
        place.prepare(assignment, run_dir, self.fetch_code, self.host)
        return assignment

    def _hand_over(self, record: Record, rules: SitePolicy, prepared: Future[Assignment]) -> Outcome | None:
        """None: the scheduler may not be called any more for now."""
        after = self._after(record.assignment)
        if isinstance(after, NotYet):
            return Delay(record=record, reason=after.reason)
        if missing := self._missing(record.assignment):
            return Delay(record=record, reason=f"what it needs from another machine has not arrived: {missing}")
        try:
            assignment = prepared.result()
            scheduler = self.schedulers.of(policy.unix_user(rules, assignment), rules.identity)
            if not self.budget.allows():
                return None
            self.store.intend(record.attempt_id, now())
            job_id = scheduler.submit(
                assignment.job, self._run_dir(assignment), ticket_key=self.ticket_key,
                data_dir=str(self.work / "data"), after=after,
            )  # fmt: skip
        except HostUnreachable as error:  # if sbatch was under way its job is found by name
            return Delay(record=record, reason=f"no connection: {error.what}")
        except SchedulerUnknown as error:
            return Delay(record=record, reason=f"submitted or not, the scheduler does not say: {error.what}")
        except Conflict:
            raise
        except ServiceError as error:  # only its code was asked for: others need not wait for it
            return Delay(record=record, reason=f"waiting for its code: {error.what}")
        except NoRoom as error:
            return Delay(record=record, reason=f"waiting for room: {error.what}")
        except (SiteError, TicketError, UsageError) as error:
            if after is not None and "depend" in error.what.lower():  # it ended this moment: the next look shows it
                return Delay(record=record, reason=f"job {after}, before it, is just ending")
            return Refusal(record=record, reason=f"Not submitted: {error.what}.", error=str(error))
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
