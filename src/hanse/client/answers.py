"""What the API asks and answers beyond the contracts: who I am, pages of a list, pieces of a log, tokens.

The service builds its answers from these same classes, so that the two cannot drift apart.
"""

from __future__ import annotations

from datetime import date
from typing import Generic, Literal, TypeVar

from pydantic import Field

from hanse.contracts.base import Contract, Count, Identifier, Positive, Sha256, Timestamp
from hanse.contracts.decision import Finding
from hanse.contracts.placement import Placement
from hanse.contracts.plan import Plan
from hanse.contracts.site import MachineState, QueueWait
from hanse.contracts.spec import DatasetSpec, TrainSpec

Item = TypeVar("Item")


class Page(Contract, Generic[Item]):
    """Part of a list, newest first; `count` is the length of the whole."""

    items: tuple[Item, ...]
    count: Count


class Standing(Contract):
    """A person's place in one organisation."""

    organisation: Identifier
    name: str
    kind: str
    country: str
    role: Literal["owner", "member", "operator"]


class ProjectRef(Contract):
    id: Identifier
    name: str
    organisation: Identifier


class Me(Contract):
    username: str
    name: str
    email: str
    officer: bool
    """May decide applications."""
    organisations: tuple[Standing, ...] = ()
    projects: tuple[ProjectRef, ...] = ()


class AgentStatus(Contract):
    """How an agent was last heard of. Away is a normal state: queued work keeps its place."""

    machine: Identifier
    site: str
    epoch: Count
    software: str
    last_heard_at: Timestamp | None
    away: bool
    draining: bool
    open_attempts: Count


class LaunchLeg(Contract):
    """One machine's part of a run across machines. `plan` is for its share of the batch and of the tokens."""

    machine: Identifier
    allocation: Identifier
    plan: Plan
    inner_steps: Positive


class LaunchRequest(Contract):
    spec: TrainSpec
    plan: Plan | None = None
    allocation: Identifier
    machine: Identifier
    code_sha256: Sha256 | None = None
    placement: Placement | None = None
    """What the machine was chosen from, to be kept with the run."""
    legs: tuple[LaunchLeg, ...] = ()
    """Of a run across machines (`spec.across`), one for each; `machine`, `allocation` and `plan` are the first's."""


class CancelRequest(Contract):
    reason: str = Field(default="", max_length=500)


class RetryRequest(Contract):
    machine: Identifier | None = None
    """One of the spec's; None: where it was last."""


class GoneRequest(Contract):
    because: str = Field(min_length=1, max_length=500)
    """How it is known that the job is gone."""


class DrainRequest(Contract):
    """Take nothing new on a machine; with `move` what is there stops with a checkpoint and goes on elsewhere."""

    reason: str = Field(min_length=1, max_length=500)
    """Users and colleagues read it."""
    move: bool = False


class UndrainRequest(Contract):
    reason: str = Field(min_length=1, max_length=500)


class Drained(Contract):
    machine: Identifier
    draining: bool
    moving: Count = 0
    """Runs that were asked to leave; those with nowhere to go stay."""


class MachineOffer(Contract):
    """How a machine stands, for those who have to choose one."""

    machine: Identifier
    away: bool
    draining: bool
    stopped: bool
    state: MachineState | None = None
    waits: tuple[QueueWait, ...] = ()
    """Medians of what jobs launched here waited, lately."""
    data: tuple[DatasetSpec, ...] = ()
    """What runs of this person's organisations have trained on there."""


class Trouble(Contract):
    """A node that an attempt had trouble with."""

    node: str
    machine: Identifier
    run_id: Identifier
    attempt_id: Identifier
    reason: str
    declared: bool
    at: Timestamp


class DecisionRequest(Contract):
    """An officer's decision. Against the gate's verdict it needs `override_reason`."""

    decision: Literal["grant", "decline"]
    reason: str = Field(min_length=1, max_length=2000)
    gpu_hours: Positive | None = None
    """None grants what was asked."""
    partition: str | None = None
    account: str | None = None
    conditions: tuple[str, ...] = ()
    override_reason: str = ""


class LogText(Contract):
    """Log from `offset` on. Offsets are the API's own: begin at 0 and go on with `next_offset`."""

    offset: Count
    next_offset: Count
    text: str
    attempt: Count
    """Number of the attempt the text is of, on its leg; 0 while there is none."""
    machine: str = ""
    """Where that attempt ran."""


class EnrolRequest(Contract):
    machine: Identifier
    site: Identifier
    name: str = Field(default="agent", max_length=100)


class OwnHoursRequest(Contract):
    """Hours somebody has there already, granted elsewhere, as who operates the machine here states them."""

    account: str = Field(min_length=1, max_length=63)
    partition: str | None = None
    gpu_hours: Positive
    ends: date


class NewToken(Contract):
    """A token, shown once: the service keeps its hash only."""

    token: str
    name: str
    expires_at: Timestamp | None


class CodeRequest(Contract):
    """An operator asks for a one-time code, so that the agent of a machine of the site's can enrol itself."""

    machine: Identifier
    site: Identifier


class NewCode(Contract):
    """Shown once; whoever has it within the hour becomes the agent of that machine."""

    code: str
    machine: Identifier
    expires_at: Timestamp


class RedeemRequest(Contract):
    """Sent with the code as the bearer token."""

    machine: Identifier


class NewLoginLink(Contract):
    """An address that signs its person in, once."""

    url: str
    expires_at: Timestamp


class Problem(Contract):
    """The body of every error."""

    what: str
    where: str = ""
    fix: str = ""
    history: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
