"""The protocol between service and agent: versioned, pulled by the agent, safe to repeat.

An agent says hello once a start and gets an epoch, higher than any before for its machine; whoever speaks with an
older epoch is refused (409) and must stop. Then it syncs in a loop: it reports observations numbered from 1 within
its epoch, and receives every attempt the service wants something of. Repeating a sync changes nothing.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hanse.contracts.base import Contract, Count, Identifier, Positive, Sha256, Timestamp
from hanse.contracts.job import JobSpec
from hanse.contracts.machine import Machine
from hanse.contracts.plan import Plan
from hanse.contracts.run import AttemptState
from hanse.contracts.spec import TrainSpec
from hanse.contracts.telemetry import StepSummary, TrainResult
from hanse.contracts.ticket import SignedTicket

PROTOCOL: Literal[1] = 1
ACCEPTED_PROTOCOLS: frozenset[int] = frozenset({1})


class Hello(Contract):
    protocol: int = PROTOCOL
    machine: Machine
    software: str


class Welcome(Contract):
    protocol: int = PROTOCOL
    epoch: Positive
    ticket_key: str
    """Base64 of the service's Ed25519 public key."""
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


class TelemetryBatch(Contract):
    attempt_id: Identifier
    rows: tuple[StepSummary, ...]


class LogChunk(Contract):
    """Text of the job's log from byte `offset` on; re-sending one is harmless."""

    attempt_id: Identifier
    offset: Count
    text: str


class RunResultReport(Contract):
    run_id: Identifier
    result: TrainResult


class SyncRequest(Contract):
    protocol: int = PROTOCOL
    epoch: Positive
    observations: tuple[Observation, ...] = ()
    telemetry: tuple[TelemetryBatch, ...] = ()
    logs: tuple[LogChunk, ...] = ()
    results: tuple[RunResultReport, ...] = ()


class Assignment(Contract):
    """An attempt the service wants run, or cancelled. It is repeated until a final observation was taken."""

    attempt_id: Identifier
    run_id: Identifier
    number: Positive
    desired: Literal["run", "cancel"]
    job: JobSpec
    ticket: SignedTicket
    spec: TrainSpec
    plan: Plan | None = None
    machine: Machine
    code_sha256: Sha256 | None = None
    """Fetch it at /api/agent/v1/code/<sha256>."""


class SyncResponse(Contract):
    protocol: int = PROTOCOL
    acknowledged: Count
    """The highest sequence of this epoch that is stored; nothing up to it need be sent again."""
    assignments: tuple[Assignment, ...] = ()
    drain: bool = False
    """Submit nothing new."""
