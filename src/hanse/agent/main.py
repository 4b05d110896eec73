"""The agent's loop: tell what was seen, learn what is wanted, look at the scheduler once, act.

It may die at any line. What it is about to do is written down before it does it (`store`), what to make of what it
finds afterwards is decided in `decide`; jobs never depend on it. SIGTERM ends the agent and leaves the jobs.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import random
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from hanse import __version__
from hanse.agent import place, tails
from hanse.agent.decide import Finished, Follow, Lost, Submit, Wait, Withdraw, decide
from hanse.agent.store import Record, Store
from hanse.client.agent import AgentClient
from hanse.contracts.agentapi import Hello, Observation, RunResultReport, SyncRequest, SyncResponse, Welcome
from hanse.contracts.base import now
from hanse.contracts.errors import (
    Conflict,
    NoRoom,
    SchedulerUnknown,
    ServiceError,
    SiteError,
    TicketError,
    UsageError,
)
from hanse.contracts.job import JobReport, JobSpec
from hanse.contracts.machine import Machine
from hanse.contracts.run import FINAL_ATTEMPT_STATES, AttemptState
from hanse.contracts.rundir import RunDir

logger = logging.getLogger("hanse.agent")

LOCAL_EVERY_S = 1.0
CLUSTER_EVERY_S = 10.0
"""Between two looks at a cluster's scheduler: its controller serves others too."""
LONGEST_BACKOFF_S = 60.0


class Scheduler(Protocol):
    """What an agent needs of a scheduler; `hanse.schedulers.base` has the full promise."""

    def submit(self, job: JobSpec, run_dir: RunDir, *, ticket_key: str, data_dir: str) -> str: ...

    def observe(self, jobs: Mapping[str, str | None]) -> dict[str, tuple[JobReport, ...]]: ...

    def cancel(self, job_ids: tuple[str, ...]) -> None: ...


class Service(Protocol):
    def hello(self, hello: Hello) -> Welcome: ...

    def sync(self, request: SyncRequest) -> SyncResponse: ...

    def code(self, sha256: str) -> bytes: ...


class Agent:
    """One machine's agent between its start (an epoch) and its end. `work` holds runs/ and data/."""

    def __init__(self, service: Service, machine: Machine, scheduler: Scheduler, store: Store, work: Path) -> None:
        self._service = service
        self._machine = machine
        self._scheduler = scheduler
        self._store = store
        self._work = work
        self._sequence = 0
        self._drain = False
        self._said: dict[str, str] = {}
        self._told: dict[str, tuple[object, ...]] = {}
        """Per attempt what the service last took of it in this epoch."""
        self.welcome = service.hello(Hello(machine=machine, software=f"hanse {__version__}"))

    def run_dir(self, record: Record) -> RunDir:
        return RunDir(self._work / "runs" / record.assignment.run_id)

    def cycle(self) -> bool:
        """Tell, learn, look, act. True if something changed that is worth telling at once."""
        self.sync()
        return self.pursue()

    def sync(self) -> None:
        """One exchange with the service. What was told is written down only once it has arrived."""
        records = self._store.open()
        request, numbered, news = self._report(records)
        answer = self._service.sync(request)
        for record in records:
            if seen := numbered.get(record.attempt_id):
                self._told[record.attempt_id] = _essence(seen)
            arrived = news[record.attempt_id]
            self._store.told(
                record.attempt_id, steps_offset=arrived.steps_offset, steps_sent_at=arrived.steps_sent_at,
                log_offset=arrived.log_offset, result_sent=int(record.result_sent or arrived.result is not None),
            )  # fmt: skip
        self._drain = answer.drain
        self._store.take(answer.assignments)

    def _report(self, records: tuple[Record, ...]) -> tuple[SyncRequest, dict[str, Observation], dict[str, tails.News]]:
        numbered: dict[str, Observation] = {}
        news: dict[str, tails.News] = {}
        for record in records:
            seen = record.seen
            news[record.attempt_id] = tails.news(record, self.run_dir(record), ended=_is_final(seen))
            if seen is None or (_is_final(seen) and news[record.attempt_id].more):
                continue  # after its end is told the service asks no more, and what is left would stay here
            if self._told.get(record.attempt_id) != _essence(seen):
                self._sequence += 1
                numbered[record.attempt_id] = seen.model_copy(
                    update={"epoch": self.welcome.epoch, "sequence": self._sequence}
                )
        request = SyncRequest(
            epoch=self.welcome.epoch,
            observations=tuple(numbered.values()),
            telemetry=tuple(n.telemetry for n in news.values() if n.telemetry),
            logs=tuple(n.log for n in news.values() if n.log),
            results=tuple(
                RunResultReport(run_id=record.assignment.run_id, result=result)
                for record in records
                if (result := news[record.attempt_id].result)
            ),
        )
        return request, numbered, news

    def pursue(self) -> bool:
        """Look at the scheduler once for all open attempts, and make each one's next move."""
        records = [record for record in self._store.open() if not _is_final(record.seen)]
        if not records:
            return False
        jobs = {record.assignment.job.name: record.job_id for record in records}
        try:
            reports: dict[str, tuple[JobReport, ...]] | None = self._scheduler.observe(jobs)
        except SchedulerUnknown as error:
            self._say("scheduler", f"no answer: {error.what}")
            reports = None
        before = {record.attempt_id: _essence(record.seen) for record in records}
        for record in records:
            self._move(record, None if reports is None else reports.get(record.assignment.job.name))
        return any(_essence(r.seen) != before.get(r.attempt_id, ()) for r in self._store.open())

    def _move(self, record: Record, reports: tuple[JobReport, ...] | None) -> None:
        traces = tails.traces(self.run_dir(record), record.assignment.number)
        match decide(record, reports, traces, at=now()):
            case Wait(reason=reason):
                self._say(record.attempt_id, f"waiting: {reason}")
            case Submit():
                self._submit(record)
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

    def _submit(self, record: Record) -> None:
        if self._drain:
            self._say(record.attempt_id, "waiting: this machine takes nothing new")
            return
        assignment, run_dir = record.assignment, self.run_dir(record)
        try:
            place.check(assignment, machine=self._machine.id, ticket_key=self.welcome.ticket_key, at=now())
            place.prepare(assignment, run_dir, self._service.code)
            self._store.intend(record.attempt_id, now())
            job_id = self._scheduler.submit(
                assignment.job, run_dir, ticket_key=self.welcome.ticket_key, data_dir=str(self._work / "data")
            )
        except SchedulerUnknown as error:
            self._say(record.attempt_id, f"submitted or not, the scheduler does not say: {error.what}")
        except Conflict:
            raise
        except ServiceError as error:  # only its code was asked for: others need not wait for it
            self._say(record.attempt_id, f"waiting for its code: {error.what}")
        except NoRoom as error:
            self._say(record.attempt_id, f"waiting for room: {error.what}")
        except (SiteError, TicketError, UsageError) as error:
            self._say(record.attempt_id, f"refused: {error.what}")
            self._saw(record, AttemptState.FAILED, reason=f"Not submitted: {error.what}.", error=str(error), charge=0)
        else:
            self._store.submitted(record.attempt_id, job_id, now())
            self._say(record.attempt_id, f"submitted as job {job_id}")
            self._saw(record, AttemptState.QUEUED, reason="", job_id=job_id)

    def _follow(self, record: Record, follow: Follow, last_step: int | None) -> None:
        job = follow.job
        if record.job_id != job.job_id:
            self._say(record.attempt_id, f"adopted job {job.job_id} found under its name")
            self._store.submitted(record.attempt_id, job.job_id, now())
        if follow.end:
            with contextlib.suppress(SchedulerUnknown):
                self._scheduler.cancel(follow.end)
                self._store.cancelling(record.attempt_id, now())
        failed = follow.state is AttemptState.FAILED
        log = self.run_dir(record).attempt(record.assignment.number).log
        self._store.saw(
            Observation(
                attempt_id=record.attempt_id, epoch=self.welcome.epoch, sequence=1, at=now(), state=follow.state,
                job_id=job.job_id, raw_state=job.raw_state, reason=follow.reason, started_at=job.started_at,
                ended_at=job.ended_at, exit_code=job.exit_code, nodes=job.nodes, step=last_step,
                accelerator_seconds=job.accelerator_seconds, energy_joules=job.energy_joules,
                doubled_jobs=tuple(other.job_id for other in follow.doubled),
                doubled_accelerator_seconds=sum(other.accelerator_seconds for other in follow.doubled),
                error=tails.telling_lines(log) if failed else "",
            )
        )  # fmt: skip
        if follow.state in FINAL_ATTEMPT_STATES:
            self._say(record.attempt_id, f"{follow.state}. {follow.reason}".strip())

    def _saw(
        self,
        record: Record,
        state: AttemptState,
        *,
        reason: str,
        job_id: str | None = None,
        error: str = "",
        charge: int | None = None,
    ) -> None:
        """Keep an observation that rests on no job report."""
        seen = Observation(
            attempt_id=record.attempt_id, epoch=self.welcome.epoch, sequence=1, at=now(), state=state, job_id=job_id,
            reason=reason, error=error, accelerator_seconds=charge,
        )  # fmt: skip
        if record.seen is None or _essence(record.seen) != _essence(seen):
            self._store.saw(seen)

    def _say(self, about: str, text: str) -> None:
        if self._said.get(about) != text:
            self._said[about] = text
            logger.info("%s: %s", about, text)


def run(
    url: str,
    token: str,
    machine: Machine,
    scheduler: Scheduler,
    home: Path,
    once: bool = False,
    *,
    every_s: float | None = None,
) -> None:
    """Be `machine`'s agent until SIGTERM, or for one round.

    Raises:
        UsageError: another agent of this machine runs with the same home.
        Conflict: a newer agent has taken over this machine.
    """
    every_s = every_s or (LOCAL_EVERY_S if machine.scheduler.kind == "local" else CLUSTER_EVERY_S)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stop = threading.Event()
    with _alone(home / "agent" / machine.id), _until_signalled(stop):
        store = Store(home / "agent" / machine.id / "agent.sqlite3")
        with contextlib.closing(store), AgentClient(url, token) as service:
            agent: Agent | None = None
            backoff_s = every_s
            while not stop.is_set():
                try:
                    if agent is None:
                        agent = Agent(service, machine, scheduler, store, home / "work")
                        logger.info("agent of %s, epoch %d, at %s", machine.id, agent.welcome.epoch, url)
                    changed = agent.cycle()
                    backoff_s = every_s
                except Conflict:
                    raise
                except ServiceError as error:
                    if once:
                        raise
                    logger.warning("%s; trying again in %.0f s", error.what, backoff_s)
                    changed = agent.pursue() if agent else False
                    stop.wait(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries  # nosec
                    backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)
                    continue
                if once:
                    agent.sync()
                    return
                if not changed:
                    stop.wait(every_s)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                "another agent of this machine runs already", where=str(folder), fix="One is enough: leave it running."
            ) from None
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def _until_signalled(stop: threading.Event) -> Iterator[None]:
    def end(*_: object) -> None:
        logger.info("stopping; jobs go on, and are found again at the next start")
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_final(seen: Observation | None) -> bool:
    return seen is not None and seen.state in FINAL_ATTEMPT_STATES


def _essence(seen: Observation | None) -> tuple[object, ...]:
    """What makes an observation worth telling again: of the time that simply goes by only the minutes."""
    if seen is None:
        return ()
    held_minutes = (seen.accelerator_seconds or 0) // 60
    return (
        seen.state, seen.job_id, seen.reason, seen.started_at, seen.ended_at, seen.exit_code, seen.nodes, seen.step,
        seen.doubled_jobs, held_minutes,
    )  # fmt: skip
