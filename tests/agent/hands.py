"""A service and a cluster in a test's hand, for agents that are real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hanse.agent.cycle import Agent
from hanse.agent.setting import Setting
from hanse.agent.store import Store
from hanse.contracts.agentapi import Assignment, Exchange, Hello, SyncRequest, SyncResponse, Welcome
from hanse.contracts.base import now
from hanse.contracts.errors import SchedulerUnknown, ServiceError, SiteError
from hanse.contracts.job import JobReport, JobSpec
from hanse.contracts.run import AttemptState
from hanse.contracts.rundir import RunDir
from hanse.contracts.site import MachineState, SiteJob
from hanse.contracts.spec import TrainSpec
from hanse.tickets.keys import new_private_key, public_key_b64
from hanse.tickets.signing import sign
from tests.contracts.examples import ASSIGNMENT, MACHINE, SPEC, TICKET

KEY = new_private_key()


def wanted(
    name: str, *, code: str | None = None, job: Mapping[str, Any] | None = None, spec: TrainSpec = SPEC, **more: Any
) -> Assignment:
    """An attempt of a run of its own, with a ticket that covers it."""
    ids = {"attempt_id": f"att-{name}", "run_id": f"run-{name}"}
    asked = {**ids, "name": f"hanse-att-{name}", "wall_time_s": 600, **(job or {})}
    ticket = TICKET.model_copy(
        update={
            **ids, "spec_hash": spec.digest(), "code_sha256": code, "issued_at": now() - timedelta(minutes=1),
            "expires_at": now() + timedelta(days=1),
        }
    )  # fmt: skip
    given = {"job": ASSIGNMENT.job.model_copy(update=asked), "spec": spec}
    given |= {"ticket": sign(ticket, KEY), "code_sha256": code}
    return ASSIGNMENT.model_copy(update={**ids, **given, **more})


class Service:
    """Speaks protocol 2: what changed since the cursor. `away` makes every exchange fail as a closed port does."""

    def __init__(self, *assignments: Assignment) -> None:
        self.revision = 0
        self.wishes: dict[str, tuple[int, Assignment | None]] = {}
        self.away = self.drain = self.stop = False
        self.requests: list[SyncRequest] = []
        self.hellos: list[Hello] = []
        self.wish(*assignments)

    def wish(self, *assignments: Assignment) -> None:
        for assignment in assignments:
            self.revision += 1
            self.wishes[assignment.attempt_id] = (self.revision, assignment)

    def close(self, attempt_id: str) -> None:
        self.revision += 1
        self.wishes[attempt_id] = (self.revision, None)

    def hello(self, hello: Hello) -> Welcome:
        self.hellos.append(hello)
        return Welcome(epoch=1, ticket_key=public_key_b64(KEY), clock=now())

    def sync(self, request: SyncRequest) -> SyncResponse:
        self._require_presence()
        self.requests.append(request)
        news = {id: wish for id, (at, wish) in self.wishes.items() if at > request.cursor}
        return SyncResponse(
            acknowledged=0, drain=self.drain, stop=self.stop, cursor=self.revision,
            assignments=tuple(wish for wish in news.values() if wish),
            closed=tuple(id for id, wish in news.items() if wish is None and request.cursor),
        )  # fmt: skip

    def exchange_of(self, attempt_id: str) -> Exchange:
        raise ServiceError(f"{attempt_id} is of one machine")

    def code(self, sha256: str) -> bytes:
        self._require_presence()
        raise ServiceError("the code bundle arrived cut")

    def _require_presence(self) -> None:
        if self.away:
            raise ServiceError("the service does not answer")


class Cluster:
    """A scheduler whose jobs are what a test says they are."""

    def __init__(self) -> None:
        self.jobs: dict[str, tuple[JobReport, ...]] = {}
        self.submissions: list[str] = []
        self.submitted: list[JobSpec] = []
        self.after: dict[str, str | None] = {}
        self.cancelled: list[str] = []
        self.cancel_calls = 0
        self.signals = True
        self.signalled: list[str] = []
        self.looks: list[set[str]] = []
        self.refusal: Exception | None = None
        self.answers = True
        self.submits_at_once = 1

    def submit(
        self, job: JobSpec, run_dir: RunDir, *, ticket_key: str, data_dir: str, after: str | None = None
    ) -> str:  # fmt: skip
        self.submissions.append(job.name)
        self.submitted.append(job)
        self.after[job.name] = after
        if self.refusal is not None:
            raise self.refusal
        job_id = str(len(self.submissions))
        self.jobs[job.name] = (JobReport(job_id=job_id, name=job.name, state="queued", raw_state="PENDING"),)
        return job_id

    def observe(self, jobs: Mapping[str, str | None]) -> dict[str, tuple[JobReport, ...]]:
        if not self.answers:
            raise SchedulerUnknown("no answer")
        self.looks.append(set(jobs))
        return {name: self.jobs.get(name, ()) for name in jobs}

    def cancel(self, job_ids: Sequence[str]) -> None:
        self.cancel_calls += 1
        self.cancelled += job_ids
        for name, reports in self.jobs.items():
            if reports[0].job_id in job_ids:
                self.become(name, "cancelled")

    def signal(self, job_ids: Sequence[str], signal: str) -> None:
        if not self.signals:
            raise SiteError("it sends no signals")
        self.signalled += job_ids

    def state(self) -> MachineState:
        raise SchedulerUnknown("it tells nothing of itself")

    def accounting(self, accounts: Sequence[str], since: datetime) -> tuple[SiteJob, ...]:
        raise SchedulerUnknown("it keeps no accounting")

    def become(self, name: str, state: str, **more: object) -> None:
        (job,) = self.jobs[name]
        changed = {"state": state, "raw_state": state.upper(), **more}
        self.jobs[name] = (JobReport.model_validate({**job.model_dump(), **changed}),)


@contextmanager
def agent_of(tmp_path: Path, service: Service, cluster: Cluster, **setting: Any) -> Iterator[Agent]:
    with closing(Store(tmp_path / "agent.sqlite3")) as store:
        yield Agent(service, MACHINE, cluster, store, tmp_path / "work", Setting(**setting))


def states(service: Service) -> list[tuple[str, AttemptState]]:
    return [(seen.attempt_id, seen.state) for request in service.requests for seen in request.observations]


def reasons(service: Service) -> list[str]:
    return [seen.reason for request in service.requests for seen in request.observations]
