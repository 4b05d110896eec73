"""Runs, legs, attempts: their states, and which state may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from hanse.contracts.base import Contract, Count, Identifier, Positive, Sha256, Timestamp
from hanse.contracts.outer import OuterTerms
from hanse.contracts.placement import Placement
from hanse.contracts.plan import Plan
from hanse.contracts.spec import TrainSpec


class RunState(StrEnum):
    QUEUED = "queued"
    """Accepted; no attempt is running, the next one waits."""
    RUNNING = "running"
    CANCELLING = "cancelling"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    PLANNED = "planned"
    """The service wants it; no agent has reported it yet."""
    QUEUED = "queued"
    RUNNING = "running"
    UNKNOWN = "unknown"
    """The scheduler does not mention it. Never taken for gone."""
    FINISHED = "finished"
    """The job ended well and the run is finished."""
    STOPPED = "stopped"
    """The job ended with a checkpoint before the run was finished (wall time): another attempt follows."""
    FAILED = "failed"
    CANCELLED = "cancelled"


RUN_TRANSITIONS: Mapping[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset(
        {RunState.RUNNING, RunState.CANCELLING, RunState.CANCELLED, RunState.FINISHED, RunState.FAILED}
    ),
    RunState.RUNNING: frozenset(
        {RunState.QUEUED, RunState.CANCELLING, RunState.FINISHED, RunState.FAILED, RunState.CANCELLED}
    ),
    RunState.CANCELLING: frozenset({RunState.CANCELLED, RunState.FINISHED, RunState.FAILED}),
    RunState.FINISHED: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.CANCELLED: frozenset(),
}

_ENDS = frozenset({AttemptState.FINISHED, AttemptState.STOPPED, AttemptState.FAILED, AttemptState.CANCELLED})
ATTEMPT_TRANSITIONS: Mapping[AttemptState, frozenset[AttemptState]] = {
    AttemptState.PLANNED: frozenset({AttemptState.QUEUED, AttemptState.RUNNING, AttemptState.UNKNOWN}) | _ENDS,
    AttemptState.QUEUED: frozenset({AttemptState.RUNNING, AttemptState.UNKNOWN}) | _ENDS,
    AttemptState.RUNNING: frozenset({AttemptState.QUEUED, AttemptState.UNKNOWN}) | _ENDS,
    AttemptState.UNKNOWN: frozenset({AttemptState.QUEUED, AttemptState.RUNNING}) | _ENDS,
    **dict.fromkeys(_ENDS, frozenset[AttemptState]()),
}

FINAL_RUN_STATES = frozenset(state for state, after in RUN_TRANSITIONS.items() if not after)
FINAL_ATTEMPT_STATES = _ENDS


class Attempt(Contract):
    """Exactly one scheduler job."""

    id: Identifier
    leg_id: Identifier
    number: Positive
    state: AttemptState
    job_id: str | None = None
    reason: str = ""
    planned_at: Timestamp
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    exit_code: int | None = None
    last_step: Count | None = None
    accelerator_seconds: Count = 0
    last_heard_at: Timestamp | None = None
    raw_state: str = ""
    """The scheduler's own word."""
    expected_start_at: Timestamp | None = None
    after: Identifier | None = None
    """The attempt whose end this one, queued ahead, waits for."""
    nodes: tuple[str, ...] = ()
    held: str = ""
    """Why its machine starts nothing of the kind now, and what becomes of the run; '' where it may start."""


class Leg(Contract):
    """A run's part on one machine, charged to one allocation.

    An ordinary run has one at a time; one across machines has one on each of them at once.
    """

    id: Identifier
    run_id: Identifier
    machine: Identifier
    allocation_id: Identifier
    attempts: tuple[Attempt, ...] = ()
    left_because: str = ""
    """Why the run went on elsewhere, or without it; '' where it did not."""


class Run(Contract):
    id: Identifier
    name: Identifier
    project: Identifier
    state: RunState
    reason: str = ""
    spec: TrainSpec
    spec_hash: Sha256
    code_sha256: Sha256 | None = None
    plan: Plan | None = None
    legs: tuple[Leg, ...] = ()
    created_at: Timestamp
    created_by: str
    ended_at: Timestamp | None = None
    step: Count = 0
    steps: Count = 0
    used_accelerator_seconds: Count = 0
    placement: Placement | None = None
    """Where it could have gone when it was launched, or last moved, and why it went where it did."""
    across: OuterTerms | None = None
    """What its legs agree on, where it has one on each of several machines at once."""


class CodeBundle(Contract):
    """A gzipped tar of the folder of train.yaml, for `entry:` and `command:`; named by its SHA-256."""

    sha256: Sha256
    size_bytes: Count
    format: Literal["tar.gz"] = "tar.gz"
