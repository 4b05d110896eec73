"""A small world for the service's tests: a start-up with hours, an officer, an operator, and an agent in hand."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hanse.client.answers import LaunchRequest
from hanse.contracts import machine as machines
from hanse.contracts.agentapi import Hello, Observation, SyncRequest, SyncResponse
from hanse.contracts.base import now
from hanse.contracts.layout import Layout
from hanse.contracts.plan import Interval, Memory, Plan, StepTime
from hanse.contracts.spec import DatasetSpec, ModelSpec, TrainSpec, WhereSpec
from hanse.contracts.telemetry import Spread, StepSummary
from hanse.contracts.workload import ModelShape, Workload
from hanse.service.access.models import Allocation, ApiToken, Membership, Organisation, Person, Project
from hanse.service.access.people import OFFICERS
from hanse.service.runs import issue
from hanse.service.runs.launch import launch
from hanse.service.runs.models import Attempt, Event, Machine, Run, Site
from hanse.service.runs.sync import sync

SHAPE = ModelShape(layers=2, hidden=64, heads=4, kv_heads=2, ffn=128, vocab=512, context=64)
HOUR = 3600


def a_machine(id: str = "local", **changes: Any) -> machines.Machine:
    return machines.Machine(
        id=id,
        name="This machine",
        site="here",
        nodes=4,
        accelerators_per_node=1,
        accelerator=machines.Accelerator(
            name="cores", kind="cpu", memory_bytes=8 * 10**9, memory_bytes_per_s=1e10, peak_flops={"fp32": 1e11}
        ),
        scheduler=machines.SchedulerFacts(kind="local"),
    ).model_copy(update=changes)


def a_spec(**changes: Any) -> TrainSpec:
    where = {"machines": ("local",), "max_gpu_hours": 10.0, "wall_time_s": HOUR, "max_attempts": 5}
    where |= changes.pop("where", {})
    return TrainSpec(
        name="tiny",
        model=ModelSpec(shape=SHAPE),
        data=(DatasetSpec(name="stdlib", source="python-stdlib", licence="PSF-2.0"),),
        batch=8,
        tokens=512 * 100,
        precision="fp32",
        where=WhereSpec(**where),
    ).model_copy(update=changes)


def a_plan(spec: TrainSpec | None = None, *, nodes: int = 2, accelerator_seconds: int = 600, **changes: Any) -> Plan:
    workload = Workload(
        name="tiny", shape=SHAPE, context=64, vocab=512, global_batch=8, total_tokens=51_200, parameters=100_000,
        flops_per_token=6e5,
    )  # fmt: skip
    seconds = accelerator_seconds / nodes
    return Plan(
        workload=workload,
        machine="local",
        layout=Layout(nodes=nodes, dp=nodes, micro_batch=8 // nodes),
        step_time=StepTime(parts={"matmul": 0.01}, total_s=Interval(low=0.01, expected=0.01, high=0.02)),
        memory=Memory(parameters=1, gradients=1, optimiser=1, activations=1, other=1, limit=10),
        tokens_per_s=Interval(low=1, expected=2, high=3),
        mfu=0.3,
        steps=100,
        wall_time_s=Interval(low=seconds, expected=seconds, high=seconds),
        accelerator_seconds=accelerator_seconds,
        why=("it fits",),
        machine_digest="0" * 64,
        made_at=now(),
    ).model_copy(update=changes)


def a_row(step: int, attempt: int = 1, loss: float = 2.5) -> StepSummary:
    one = Spread(min=1, median=1, max=1)
    return StepSummary(
        attempt=attempt, step=step, at=now(), tokens=step * 512, loss=loss, grad_norm=1.0, lr=1e-3, step_s=one,
        data_s=one, compute_s=one, optimiser_s=one, memory_bytes=one, tokens_per_s=512.0,
    )  # fmt: skip


@dataclass
class Agent:
    """An agent in the test's hand: it says what the test tells it to, by the real protocol."""

    machine: Machine
    epoch: int = 0
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def hello(self, facts: machines.Machine | None = None) -> None:
        self.machine.refresh_from_db()
        spoken = Hello(machine=facts or a_machine(self.machine.public_id), software="test")
        self.epoch = self.machine.greet(spoken, ticket_key=issue.public_key()).epoch
        self.numbers = itertools.count(1)

    def seen(self, attempt: Attempt | str, state: str, **more: Any) -> Observation:
        id = attempt if isinstance(attempt, str) else attempt.public_id
        number = more.pop("sequence", None) or next(self.numbers)
        known = {"epoch": self.epoch, "job_id": f"job-{id}", "at": now()} | more
        return Observation(attempt_id=id, sequence=number, state=state, **known)

    def sync(self, *observations: Observation, **more: Any) -> SyncResponse:
        return sync(self.machine, SyncRequest(epoch=self.epoch, observations=observations, **more))

    def report(self, attempt: Attempt | str, state: str, **more: Any) -> SyncResponse:
        return self.sync(self.seen(attempt, state, **more))


@dataclass
class World:
    founder: Person
    colleague: Person
    stranger: Person
    officer: Person
    operator: Person
    organisation: Organisation
    project: Project
    site: Site
    machine: Machine
    agent: Agent
    allocation: Allocation

    def token(self, person: Person) -> str:
        return ApiToken.issue("test", by="test", person=person)

    def agent_token(self, machine: Machine | None = None) -> str:
        return ApiToken.issue("test", by="test", machine=machine or self.machine)

    def launch(self, spec: TrainSpec | None = None, plan: Plan | None = None, **more: Any) -> Run:
        asked = LaunchRequest(
            spec=spec or a_spec(), plan=plan or a_plan(), allocation=self.allocation.public_id, machine="local"
        )
        return launch(more.pop("by", self.founder), asked.model_copy(update=more))

    def attempt(self, run: Run, number: int | None = None) -> Attempt:
        attempts = Attempt.objects.filter(leg__run=run)
        return attempts.get(number=number) if number else attempts.order_by("-number")[0]

    def balance(self) -> Any:
        return Allocation.objects.with_balance().get(pk=self.allocation.pk).contract()

    def events(self, name: str) -> int:
        return Event.objects.filter(name=name).count()


def _person(name: str) -> Person:
    return Person.objects.create_user(name, f"{name}@example.eu", "a long password")


@pytest.fixture
def world(db: None) -> World:
    return make_world()


@pytest.fixture
def shared_world(transactional_db: None) -> World:
    """The world in committed rows, for tests with threads."""
    return make_world()


def make_world(granted_hours: int = 100) -> World:
    from django.contrib.auth.models import Group

    people = {name: _person(name) for name in ("founder", "colleague", "stranger", "officer", "operator")}
    organisation = Organisation.objects.create(name="Brick AI", kind="start-up", country="BE")
    centre = Organisation.objects.create(name="Centre", kind="research", country="FI")
    elsewhere = Organisation.objects.create(name="Elsewhere", kind="sme", country="DE")
    for name, where, role in (
        ("founder", organisation, "owner"), ("colleague", organisation, "member"), ("stranger", elsewhere, "owner"),
        ("operator", centre, "operator"),
    ):  # fmt: skip
        Membership.objects.create(person=people[name], organisation=where, role=role)
    people["officer"].groups.add(Group.objects.get_or_create(name=OFFICERS)[0])
    project = Project.objects.create(organisation=organisation, name="A language model")
    site = Site.objects.create(public_id="here", name="Here", organisation=centre)
    machine = Machine.objects.create(public_id="local", site=site)
    agent = Agent(machine)
    agent.hello()
    machine.refresh_from_db()
    today = datetime.now(UTC).date()
    allocation = Allocation.open(
        by="test", project=project, machine=machine, granted_accelerator_seconds=granted_hours * HOUR,
        starts=today - timedelta(days=1), ends=today + timedelta(days=30),
    )  # fmt: skip
    return World(
        **people, organisation=organisation, project=project, site=site, machine=machine, agent=agent,
        allocation=allocation,
    )  # fmt: skip


__all__ = ["shared_world", "world"]
