"""One machine's agent between its start (an epoch) and its end: tell what was seen, learn what is wanted, look, act.

It may die at any line. What it is about to do is written down before it does it (`store`), what to make of what it
finds afterwards is decided in `decide`; jobs never depend on it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Literal

from hanse import __version__
from hanse.agent import legs, nodes, place, policy, tails
from hanse.agent.budget import Budget
from hanse.agent.courier_thread import CourierThread
from hanse.agent.decide import Finished, Follow, Lost, Submit, Traces, Wait, Withdraw, decide, quiet
from hanse.agent.ending import End, Ending
from hanse.agent.halt import Halt
from hanse.agent.identity import Schedulers
from hanse.agent.looks import Looks
from hanse.agent.setting import Service, Setting
from hanse.agent.store import Record, Store
from hanse.agent.submission import Delay, Outcome, Refusal, Submission, Submitted
from hanse.agent.telling import Telling, essence, is_final
from hanse.contracts.agentapi import Hello, LostLegs, Observation, SyncRequest, SyncResponse, Welcome
from hanse.contracts.base import now
from hanse.contracts.errors import SchedulerUnknown
from hanse.contracts.job import FINAL_JOB_STATES, JobReport
from hanse.contracts.machine import Machine
from hanse.contracts.parcel import Parcel, ParcelOrder
from hanse.contracts.run import FINAL_ATTEMPT_STATES, AttemptState
from hanse.contracts.rundir import RunDir
from hanse.schedulers.base import Scheduler
from hanse.schedulers.host import HostUnreachable

logger = logging.getLogger("hanse.agent")

OBSERVE_CALLS = 2
CLOCK_APART = timedelta(minutes=5)
WATCH_FOR = timedelta(days=7)
"""A job of an attempt that was given up is ended if it appears within that time; no queue brings one up later."""
PRUNE_EVERY = timedelta(hours=6)
CODE_KEPT = 2
"""Bundles kept in memory: of many runs of one code it is fetched once."""
_SOON = re.compile(r" \(tried again in [\d.]+ s\)")
_WAITS = frozenset({AttemptState.PLANNED, AttemptState.QUEUED})


class Agent:
    """`work` holds runs/ and data/."""

    def __init__(
        self, service: Service, machine: Machine, scheduler: Scheduler, store: Store, work: Path,
        setting: Setting | None = None,
    ) -> None:  # fmt: skip
        self._service = service
        self._machine = machine
        self._scheduler = scheduler
        self._store = store
        self._work = work
        self._setting = setting or Setting()
        self._host = self._setting.host
        self._halt = self._setting.halt or Halt(work.parent / "agent" / machine.id)
        self._schedulers = self._setting.schedulers or Schedulers(scheduler)
        self._budget = Budget(self._setting.policy.policy.scheduler_calls_per_minute)
        self._carrying = CourierThread(self._setting.courier) if self._setting.courier else None
        self._looks = Looks(scheduler, self._budget, self._setting.meter, state_every=self._setting.state_every)
        self._cursor = 0
        self._drain = False
        self._news = False
        """This look has shown something worth telling."""
        self._orders: tuple[ParcelOrder, ...] = ()
        self._brought: tuple[Parcel, ...] = ()
        self._lost: tuple[LostLegs, ...] = ()
        self._said: dict[str, str] = {}
        self._halted: dict[str, str] = {}
        """Attempts whose jobs the kill switch ended, and why; it may be lifted before their end is seen."""
        self._pruned_at = now() - PRUNE_EVERY
        self.welcome = self._greet()
        self._telling = Telling(store, self.run_dir, self.welcome.epoch, self._host)
        self._ending = Ending(schedulers=self._schedulers, budget=self._budget, store=store, say=self._say)
        self._absences = legs.Absences(lambda run_id: RunDir(work / "runs" / run_id), self._host)
        self._submission = Submission(
            machine=machine.id, ticket_key=self.welcome.ticket_key, schedulers=self._schedulers, store=store, work=work,
            fetch_code=lru_cache(maxsize=CODE_KEPT)(service.code), fetch_exchange=service.exchange_of,
            budget=self._budget,
            arrivals=self._setting.courier, sure=self._sure, host=self._host,
        )  # fmt: skip

    def _greet(self) -> Welcome:
        said_at = now()
        mode: Literal["run", "observe"] = "observe" if self._setting.observe else "run"
        welcome = self._service.hello(
            Hello(
                machine=self._machine, software=f"hanse {__version__}", clock=said_at, mode=mode,
                policy=policy.sentences(self._setting.policy.policy),
            )
        )  # fmt: skip
        if welcome.clock is not None and abs(welcome.clock - said_at) > CLOCK_APART:
            minutes = abs(welcome.clock - said_at).total_seconds() / 60
            logger.warning(
                "this machine's clock is %.0f min apart from the service's: tickets will be refused; set it by NTP",
                minutes,
            )
        return welcome

    def run_dir(self, record: Record) -> RunDir:
        return RunDir(self._work / "runs" / record.assignment.run_id)

    def cycle(self) -> bool:
        """Tell, learn, look, act. True if there is more to tell or to do at once."""
        more = self.sync()
        return self.pursue() or more

    def sync(self) -> bool:
        """One exchange with the service; True if not all that is new went into it."""
        letter = self._telling.letter()
        state, jobs, budgets = self._looks.untold_state, self._looks.untold_jobs, self._looks.untold_budgets
        parcels = self._carrying.reports() if self._carrying else ()
        answer = self._service.sync(
            SyncRequest(
                epoch=self.welcome.epoch, observations=tuple(letter.observations.values()),
                telemetry=tuple(n.telemetry for n in letter.news.values() if n.telemetry),
                logs=tuple(n.log for n in letter.news.values() if n.log),
                trails=tuple(n.trail for n in letter.news.values() if n.trail), results=tuple(letter.results),
                cursor=self._cursor, state=state, jobs=jobs, budgets=budgets, parcels=parcels,
            )
        )  # fmt: skip
        self._telling.arrived(letter)
        self._looks.told(state, jobs, budgets)
        self._looks.accounts = answer.accounts
        if self._carrying:
            self._carrying.told(parcels)
        self._learn(answer)
        return letter.more

    def _learn(self, answer: SyncResponse) -> None:
        """Write down what is wanted; the cursor counts only after that."""
        everything = self._cursor == 0 or answer.protocol == 1  # a service put back to an earlier day closes nothing
        self._store.take(answer.assignments, closed=None if everything else answer.closed)
        self._telling.forget(answer.closed)
        self._cursor = answer.cursor
        self._drain, self._halt.by_service = answer.drain, answer.stop
        self._orders, self._brought, self._lost = answer.send, answer.bring, answer.lost

    def pursue(self) -> bool:
        """Look at the scheduler once for all open attempts, and make each one's next move."""
        at = now()
        self._reread_policy()
        self._prune()
        records = [record for record in self._store.open() if not is_final(record.seen)]
        if self._carrying:
            waited_for = tuple(p for r in records if r.job_id is None for p in r.assignment.fetch)
            self._carrying.pursue(self._orders, (*waited_for, *self._brought))
        watched = self._store.watched()
        reports = self._observe({**dict.fromkeys(watched), **{r.assignment.job.name: r.job_id for r in records}})
        self._news = False
        if reports is not None:
            try:
                self._absences.tell(self._lost)
                self._act(records, reports)
            except HostUnreachable as error:  # what was not reached stays as it was
                self._cut_off(error)
            self._end_the_given_up(watched, reports)
        self._looks.look(at)
        return self._news or self._submission.more

    def _observe(self, jobs: Mapping[str, str | None]) -> Mapping[str, tuple[JobReport, ...]] | None:
        """What the scheduler says of these; None if it may not be asked now, or gives no answer."""
        if not jobs:
            return {}
        if not self._budget.allows(OBSERVE_CALLS):
            self._say("scheduler", "the site's limit of calls a minute is used up; looking later")
            return None
        try:
            reports = self._scheduler.observe(jobs)
        except HostUnreachable as error:
            self._cut_off(error)
            return None
        except SchedulerUnknown as error:
            self._say("scheduler", f"no answer: {error.what}")
            return None
        self._said.pop("scheduler", None)
        return reports

    def _cut_off(self, error: HostUnreachable) -> None:
        """Nothing is known of any job there, and its user is told why: most often a certificate has ended."""
        self._say("scheduler", reason := f"No connection: {_SOON.sub('', error.what)}. {error.fix}".strip())
        with self._store.together():
            for record in self._store.open():
                seen = record.seen
                if seen is not None and record.job_id is not None and not is_final(seen):
                    lost = seen.model_copy(update={"state": AttemptState.UNKNOWN, "reason": reason, "at": now()})
                    if essence(lost) != essence(seen):
                        self._keep(record, lost)

    def _act(self, records: list[Record], reports: Mapping[str, tuple[JobReport, ...]]) -> None:
        halted = self._note_halt()
        wanted: list[Record] = []
        ends: list[End] = []
        with self._store.together():
            for record in records:
                found = reports.get(record.assignment.job.name)
                if found is None:  # of this one nothing can be said now
                    continue
                if not halted and quiet(record, found):
                    continue
                # Thousands may wait for the policy: the folders of one never submitted are read when its turn comes.
                fresh = not found and record.intent_at is None and record.job_id is None
                if self._move(record, found, Traces() if fresh else self._traces(record), halted, ends):
                    wanted.append(record)
        self._end(ends)
        self._submit(wanted)

    def _move(
        self,
        record: Record,
        found: tuple[JobReport, ...],
        traces: Traces,
        halted: str,
        ends: list[End],
    ) -> bool:
        """Write down what is to be seen of one attempt; True if it is to be submitted."""
        match decide(record, found, traces, at=now(), halted=halted):
            case Submit():
                return True
            case Wait(reason=reason):
                self._say(record.attempt_id, f"waiting: {reason}")
            case Withdraw():
                self._saw(record, AttemptState.CANCELLED, reason="Cancelled before it was submitted.", charge=0)
            case Lost(reason=reason):
                self._say(record.attempt_id, reason)
                self._saw(record, AttemptState.UNKNOWN, reason=reason, job_id=record.job_id)
            case Finished():
                reason = "The scheduler forgot the job; its last measure stands."
                self._saw(record, AttemptState.FINISHED, reason=reason, job_id=record.job_id)
            case Follow() as follow:
                self._follow(record, follow, traces.last_step)
                if follow.stop and not self._setting.observe:
                    self._ask_to_stop(record, follow.stop)
                if follow.ask:
                    ends.append(End(record=record, job_ids=follow.ask, softly=True))
                if follow.end:
                    ends.append(End(record=record, job_ids=follow.end))
                    if halted and record.assignment.desired == "run":
                        self._halted[record.attempt_id] = halted
        return False

    def _ask_to_stop(self, record: Record, because: str) -> None:
        """A folder that cannot be written now is tried at the next look: other attempts must not suffer from it."""
        try:
            if place.ask_to_stop(self.run_dir(record).attempt(record.assignment.number), self._host):
                self._say(record.attempt_id, because)
        except OSError as error:
            self._say(record.attempt_id, f"it cannot be asked to stop yet: {error.strerror}")

    def _sure(self, record: Record) -> bool:
        """Whether its folders, too, say it was never submitted: what was written down here may have been lost."""
        try:
            return self._move(record, (), self._traces(record), "", [])
        except HostUnreachable as error:
            self._say(record.attempt_id, f"waiting: no connection: {_SOON.sub('', error.what)}")
            return False

    def _traces(self, record: Record) -> Traces:
        return tails.traces(self.run_dir(record), record.assignment.number, self._host)

    def _submit(self, records: list[Record]) -> None:
        self._submission.more = False
        if self._drain:
            for record in records:
                self._say(record.attempt_id, "waiting: this machine takes nothing new")
        elif self._setting.observe:
            reason = "This machine's agent observes: it submits nothing."
            self._hold(records, reason)
        elif records:
            self._submission.submit(records, self._setting.policy.policy, self._tell)

    def _hold(self, records: list[Record], reason: str) -> None:
        with self._store.together():
            for record in records:
                self._saw(record, AttemptState.PLANNED, reason=reason, policy=True)

    def _tell(self, outcome: Outcome) -> None:
        record = outcome.record
        match outcome:
            case Submitted(job_id=job_id):
                with self._store.together():
                    self._store.submitted(record.attempt_id, job_id, now())
                    self._saw(record, AttemptState.QUEUED, reason="", job_id=job_id)
                self._say(record.attempt_id, f"submitted as job {job_id}")
            case Refusal(reason=reason, error=error, policy=by_policy):
                self._say(record.attempt_id, f"refused: {reason}")
                self._saw(record, AttemptState.FAILED, reason=reason, error=error, charge=0, policy=by_policy)
            case Delay(reason=reason, policy=by_policy):
                self._say(record.attempt_id, f"waiting: {reason}")
                if by_policy:
                    self._saw(record, AttemptState.PLANNED, reason=reason, policy=True)

    def _end(self, ends: list[End]) -> None:
        if not self._setting.observe:  # such an agent ends nothing
            self._ending.end(ends, self._setting.policy.policy)

    def _end_the_given_up(
        self, watched: Mapping[str, str], reports: Mapping[str, tuple[JobReport, ...]]
    ) -> None:  # fmt: skip
        """A job that appears of an attempt that was closed without an end: its run may go on elsewhere by now."""
        for name, attempt_id in watched.items():
            if self._store.is_open(attempt_id) or (record := self._store.find(attempt_id)) is None:
                continue
            alive = tuple(job.job_id for job in reports.get(name, ()) if job.state not in FINAL_JOB_STATES)
            if alive:
                self._say(attempt_id, f"job {alive[0]} appeared although the attempt was given up: it is ended")
                self._end([End(record=record, job_ids=alive)])

    def _follow(self, record: Record, follow: Follow, last_step: int | None) -> None:
        job = follow.job
        if record.job_id != job.job_id:
            self._say(record.attempt_id, f"adopted job {job.job_id} found under its name")
            self._store.submitted(record.attempt_id, job.job_id, now())
        failed = follow.state is AttemptState.FAILED
        if failed and job.state == "node-failed":
            self._looks.soon()  # its next attempt is planned for the nodes that are left
        cancelled = follow.state is AttemptState.CANCELLED
        reason = (self._halted.pop(record.attempt_id, "") if cancelled else "") or follow.reason
        log = self.run_dir(record).attempt(record.assignment.number).log
        to_blame = nodes.to_blame(job, tails.last_lines(log, self._host), at=now()) if failed else ()
        self._keep(
            record,
            Observation(
                attempt_id=record.attempt_id, epoch=self.welcome.epoch, sequence=1, at=now(), state=follow.state,
                job_id=job.job_id, raw_state=job.raw_state, reason=reason, started_at=job.started_at,
                ended_at=job.ended_at, exit_code=job.exit_code, nodes=job.nodes, step=last_step,
                accelerator_seconds=job.accelerator_seconds, energy_joules=job.energy_joules,
                doubled_jobs=tuple(other.job_id for other in follow.doubled),
                doubled_accelerator_seconds=sum(other.accelerator_seconds for other in follow.doubled),
                error=tails.telling_lines(log, host=self._host) if failed else "", bad_nodes=to_blame,
                expected_start_at=job.expected_start_at,
            )
        )  # fmt: skip
        if follow.state in FINAL_ATTEMPT_STATES:
            blamed = f" Held to blame: {', '.join(node.name for node in to_blame)}." if to_blame else ""
            self._say(record.attempt_id, f"{follow.state}. {reason}{blamed}".strip())

    def _saw(
        self,
        record: Record,
        state: AttemptState,
        *,
        reason: str,
        job_id: str | None = None,
        error: str = "",
        charge: int | None = None,
        policy: bool = False,
    ) -> None:
        """Keep an observation that rests on no job report."""
        seen = Observation(
            attempt_id=record.attempt_id, epoch=self.welcome.epoch, sequence=1, at=now(), state=state, job_id=job_id,
            reason=reason, error=error, accelerator_seconds=charge, policy=policy,
        )  # fmt: skip
        if record.seen is None or essence(record.seen) != essence(seen):
            self._keep(record, seen)

    def _keep(self, record: Record, seen: Observation) -> None:
        self._news |= essence(record.seen) != essence(seen)
        self._store.saw(seen)

    def _note_halt(self) -> str:
        halted = self._halt.reason()
        if halted:
            self._say("kill switch", halted)
        elif self._said.pop("kill switch", None):
            logger.info("the kill switch is off: attempts are taken up again")
        return halted

    def _reread_policy(self) -> None:
        if news := self._setting.policy.changed():
            self._budget.limit(self._setting.policy.policy.scheduler_calls_per_minute)
            self._say("policy", news)

    def _prune(self) -> None:
        if now() - self._pruned_at < PRUNE_EVERY:
            return
        self._pruned_at = now()
        before = now() - timedelta(days=self._setting.policy.policy.keep_days)
        self._store.unwatch(before=now() - WATCH_FOR)
        if forgotten := self._store.prune(before=before):
            logger.info("%d attempts closed before %s are forgotten", forgotten, before.date())

    def _say(self, about: str, text: str) -> None:
        if self._said.get(about) != text:
            self._said[about] = text
            logger.info("%s: %s", about, text)
