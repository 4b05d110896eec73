"""One scheduler job, free of the scheduler: `schedulers/` renders it for Slurm or runs it with node launchers.

A job's steps run in order, each once on every node it asks for. The executor, whichever it is, first makes the
fence (`RunDir.attempt(n).claim`, created exclusively), then sets the variables of `jobenv` and starts the steps.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hanse.contracts.base import Contract, Count, Identifier, Positive, Seconds, Timestamp


class Step(Contract):
    """`argv` is run as it is (no shell) on `nodes` nodes at once; argv[0] 'hanse' is this installation's own."""

    name: Identifier
    argv: tuple[str, ...] = Field(min_length=1)
    nodes: Positive


class JobSpec(Contract):
    schema_version: Literal[1] = 1
    name: Identifier
    """Unique to the attempt ('hanse-<attempt id>'): how a job is found again in any queue."""
    run_id: Identifier
    attempt_id: Identifier
    attempt_number: Positive
    machine: Identifier
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    nodes: Positive
    accelerators_per_node: Positive
    wall_time_s: Positive
    steps: tuple[Step, ...] = Field(min_length=1)
    environment: dict[str, str] = Field(default_factory=dict)
    image: str | None = None
    stop_signal: Literal["USR1"] = "USR1"
    stop_signal_before_s: Count = 60
    """The signal comes that long before the wall time ends: time for a last checkpoint."""
    exclude: tuple[str, ...] = ()
    uses_code_bundle: bool = False
    """Steps run in the unpacked bundle (`RunDir.code`) rather than in the attempt's folder."""


JobState = Literal["queued", "running", "completed", "failed", "cancelled", "timeout", "node-failed", "out-of-memory"]
FINAL_JOB_STATES: frozenset[JobState] = frozenset(
    {"completed", "failed", "cancelled", "timeout", "node-failed", "out-of-memory"}
)


class JobReport(Contract):
    """What a scheduler says of one job, in its own measure."""

    job_id: str
    name: str
    state: JobState
    raw_state: str
    """The scheduler's own word."""
    reason: str = ""
    submitted_at: Timestamp | None = None
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    elapsed_s: Seconds = 0.0
    exit_code: int | None = None
    nodes: tuple[str, ...] = ()
    accelerators: Count = 0
    energy_joules: Count | None = None
    expected_start_at: Timestamp | None = None
    """When a job that waits would start, by the scheduler's own estimate."""

    @property
    def accelerator_seconds(self) -> int:
        """The charge: whole seconds the job held its accelerators, rounded up."""
        return -int(-self.elapsed_s // 1) * self.accelerators
