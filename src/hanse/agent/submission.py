"""Hand attempts to the scheduler: policy first, then the ticket, then the run's folder, the intent, the scheduler.

Whatever says no or not yet becomes one sentence. Nothing is written for a job before all that forbids it was asked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
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
from hanse.contracts.errors import Conflict, SchedulerUnknown, ServiceError, SiteError, TicketError, UsageError
from hanse.contracts.parcel import Parcel
from hanse.contracts.policy import SitePolicy
from hanse.contracts.run import FINAL_ATTEMPT_STATES
from hanse.contracts.rundir import RunDir

logger = logging.getLogger("hanse.agent")

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

    def submit(self, records: Sequence[Record], rules: SitePolicy, tell: Callable[[Outcome], None]) -> None:
        """Submit what may be, project by project in turn; `tell` hears of each as soon as it is known."""
        self.more = False
        load = policy.Load.of(r.assignment for r in self.store.open() if r.job_id is not None and not _ended(r))
        until = self.clock() + SUBMIT_FOR_S
        for record in in_turn(records):
            if self.clock() > until:
                self.more = True
                return
            verdict = policy.judge(rules, record.assignment, load, at=now())
            if isinstance(verdict, policy.Refused):
                tell(Refusal(record=record, reason=verdict.reason, policy=True))
                continue
            if isinstance(verdict, policy.Held):
                tell(Delay(record=record, reason=verdict.reason, policy=True))
                continue
            if not self.sure(record):
                continue
            outcome = self._hand_over(record, rules)
            if outcome is None:
                self.more = True
                return
            tell(outcome)
            if isinstance(outcome, Submitted):
                load.add(record.assignment)

    def _hand_over(self, record: Record, rules: SitePolicy) -> Outcome | None:
        """None: the scheduler may not be called any more for now."""
        assignment = record.assignment
        after = self._after(assignment)
        if isinstance(after, NotYet):
            return Delay(record=record, reason=after.reason)
        if missing := [
            parcel.id for parcel in assignment.fetch if not (self.arrivals and self.arrivals.arrived(parcel))
        ]:
            return Delay(record=record, reason=f"what it needs from another machine has not arrived: {missing[0]}")
        assignment = assignment.model_copy(update={"job": policy.with_excluded(rules, assignment.job)})
        run_dir = RunDir(self.work / "runs" / assignment.run_id)
        user = policy.unix_user(rules, assignment)
        try:
            place.check(assignment, machine=self.machine, ticket_key=self.ticket_key, at=now())
            scheduler = self.schedulers.of(user, rules.identity)
            if not self.budget.allows():
                return None
            lay_folder(run_dir.attempt(assignment.number).root, run_dir.root, user, rules.identity)
            place.prepare(assignment, run_dir, self.fetch_code)
            self.store.intend(record.attempt_id, now())
            job_id = scheduler.submit(
                assignment.job, run_dir, ticket_key=self.ticket_key, data_dir=str(self.work / "data"),
                **({} if after is None else {"after": after}),
            )  # fmt: skip
        except SchedulerUnknown as error:
            return Delay(record=record, reason=f"submitted or not, the scheduler does not say: {error.what}")
        except Conflict:
            raise
        except ServiceError as error:  # only its code was asked for: others need not wait for it
            return Delay(record=record, reason=f"waiting for its code: {error.what}")
        except (SiteError, TicketError, UsageError) as error:
            if after is not None and "depend" in error.what.lower():  # it ended this moment: the next look shows it
                return Delay(record=record, reason=f"job {after}, before it, is just ending")
            return Refusal(record=record, reason=f"Not submitted: {error.what}.", error=str(error))
        return Submitted(record=record, job_id=job_id)

    def _after(self, assignment: Assignment) -> str | NotYet | None:
        if assignment.after is None:
            return None
        before = self.store.find(assignment.after)
        return waits_for(before, is_open=self.store.is_open(assignment.after))


def _ended(record: Record) -> bool:
    return record.seen is not None and record.seen.state in FINAL_ATTEMPT_STATES
