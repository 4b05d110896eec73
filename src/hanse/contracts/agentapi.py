"""The protocol between service and agent: versioned, pulled by the agent, safe to repeat.

An agent says hello once a start and gets an epoch, higher than any before for its machine; whoever speaks with an
older epoch is refused (409) and must stop. Then it syncs in a loop: it reports observations numbered from 1 within
its epoch, and receives every attempt the service wants something of. Repeating a sync changes nothing.

Protocol 2 sends what changed: the agent names the `cursor` of the last answer it has written down, and receives the
attempts whose wishes changed since, and those of which nothing more is wanted. Cursor 0 asks for everything open.
Protocol 1 always receives everything open; an attempt it does not hear of is closed.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hanse.contracts.base import Contract, Count, Identifier, Positive, Sha256, Timestamp
from hanse.contracts.job import JobSpec
from hanse.contracts.machine import Machine
from hanse.contracts.outer import OuterLaunch, OuterRow
from hanse.contracts.parcel import Parcel, ParcelOrder, ParcelReport
from hanse.contracts.plan import Plan
from hanse.contracts.run import AttemptState
from hanse.contracts.site import BadNode, MachineState, SiteBudget, SiteJob
from hanse.contracts.spec import TrainSpec
from hanse.contracts.telemetry import StepSummary, TrainResult
from hanse.contracts.ticket import SignedTicket

PROTOCOL: Literal[2] = 2
ACCEPTED_PROTOCOLS: frozenset[int] = frozenset({1, 2})


class Hello(Contract):
    protocol: int = PROTOCOL
    machine: Machine
    software: str
    mode: Literal["run", "observe"] = "run"
    """`observe`: it reports and submits nothing."""
    clock: Timestamp | None = None
    """The agent's own time, so that a clock that is wrong is found before a signature fails."""
    policy: tuple[str, ...] = ()
    """What the site's policy file binds, in sentences, for those who wonder why a run waits."""


class Welcome(Contract):
    protocol: int = PROTOCOL
    epoch: Positive
    ticket_key: str
    """Base64 of the service's Ed25519 public key."""
    clock: Timestamp | None = None
    sync_every_s: float = Field(default=2.0, gt=0)


class Observation(Contract):
    """What an agent saw of one attempt. Final states carry the measured charge."""

    attempt_id: Identifier
    epoch: Positive
    sequence: Positive
    at: Timestamp
    state: AttemptState
    job_id: str | None = None
    raw_state: str = ""
    reason: str = ""
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    exit_code: int | None = None
    nodes: tuple[str, ...] = ()
    step: Count | None = None
    accelerator_seconds: Count | None = None
    """Held so far, by the scheduler's own measure; in a final state, the charge."""
    energy_joules: Count | None = None
    doubled_jobs: tuple[str, ...] = ()
    """Jobs of the same attempt that found the claim taken and ended."""
    doubled_accelerator_seconds: Count = 0
    error: str = ""
    """The last telling lines of the log, for a failed attempt."""
    expected_start_at: Timestamp | None = None
    """The scheduler's own estimate for a job that waits."""
    bad_nodes: tuple[BadNode, ...] = ()
    """Nodes of this attempt that the agent holds to blame for its failure."""
    policy: bool = False
    """The site's policy keeps it from being submitted: `reason` says which rule."""


class TelemetryBatch(Contract):
    attempt_id: Identifier
    rows: tuple[StepSummary, ...]


class LogChunk(Contract):
    """Text of the job's log from byte `offset` on; re-sending one is harmless."""

    attempt_id: Identifier
    offset: Count
    text: str


class TrailLine(Contract):
    offset: Count
    """Of the line's first byte in the leg's outer.jsonl: a line told again is known by it."""
    row: OuterRow


class TrailBatch(Contract):
    """New lines of the audit trail of the leg that the attempt is of."""

    attempt_id: Identifier
    lines: tuple[TrailLine, ...]


class RunResultReport(Contract):
    run_id: Identifier
    result: TrainResult


class SyncRequest(Contract):
    protocol: int = PROTOCOL
    epoch: Positive
    observations: tuple[Observation, ...] = ()
    telemetry: tuple[TelemetryBatch, ...] = ()
    logs: tuple[LogChunk, ...] = ()
    trails: tuple[TrailBatch, ...] = ()
    results: tuple[RunResultReport, ...] = ()
    cursor: Count = 0
    """Of the last answer that was written down; 0 in a new epoch."""
    state: MachineState | None = None
    """How the machine is; sent when it was looked at anew."""
    jobs: tuple[SiteJob, ...] = ()
    """Of the accounts the service asked after, jobs that are new or have changed."""
    budgets: tuple[SiteBudget, ...] = ()
    parcels: tuple[ParcelReport, ...] = ()


class Assignment(Contract):
    """An attempt the service wants run, or cancelled. It is repeated until a final observation was taken."""

    attempt_id: Identifier
    run_id: Identifier
    number: Positive
    desired: Literal["run", "cancel", "stop"]
    """`stop` (protocol 2): end it with a checkpoint, as before its wall time is over; a command is cancelled."""
    job: JobSpec
    ticket: SignedTicket
    spec: TrainSpec
    plan: Plan | None = None
    machine: Machine
    code_sha256: Sha256 | None = None
    """Fetch it at /api/agent/v1/code/<sha256>."""
    after: Identifier | None = None
    """The attempt of the same run before this one: queued ahead, its job waits until that one's has ended."""
    fetch: tuple[Parcel, ...] = ()
    """What must lie in the run's folder before the job may be submitted."""
    user: str | None = None
    """Who launched it, as the service knows them; a site's identity map says under which name it runs."""
    project: Identifier | None = None
    stop: str = ""
    """Why it is to write a checkpoint and end; empty lets it run. The agent makes the attempt's stop file, no kill."""


class Exchange(Contract):
    """Of an attempt of one leg among several: what its machine's agent writes for the job beside the assignment."""

    launch: OuterLaunch
    key: str = Field(pattern=r"^[A-Za-z0-9+/]{43}=$")
    """32 bytes in base64 that the leg signs its files with. They go to this agent alone, which stores them nowhere
    but in the run's folder."""


class LostLegs(Contract):
    """Legs of a run that the service gave up: those that train on need not wait for them."""

    run_id: Identifier
    names: tuple[Identifier, ...]


class SyncResponse(Contract):
    protocol: int = PROTOCOL
    acknowledged: Count
    """The highest sequence of this epoch that is stored; nothing up to it need be sent again."""
    assignments: tuple[Assignment, ...] = ()
    drain: bool = False
    """Submit nothing new."""
    cursor: Count = 0
    closed: tuple[Identifier, ...] = ()
    """Attempts of which nothing more is wanted (protocol 2)."""
    stop: bool = False
    """The kill switch: cancel every job of Hanse's on this machine, submit nothing, until it is lifted."""
    accounts: tuple[str, ...] = ()
    """Scheduler accounts whose jobs, all of them, the service wants to hear of."""
    send: tuple[ParcelOrder, ...] = ()
    bring: tuple[Parcel, ...] = ()
    """Parcels to this machine that no attempt waits for: outer-step files, to be put into the inboxes of legs."""
    lost: tuple[LostLegs, ...] = ()
    """Of every run that has a leg open on this machine and lost one elsewhere."""
