"""What a site allows on its machine, in a file of its own beside the agent: it binds whatever the service asks.

A key that is left out binds nothing. Durations and dates are written as in docs/reference/site-policy.md.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from hanse.contracts.base import Contract, Identifier, Positive, Sha256, Timestamp

UnixName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]


class MaintenanceWindow(Contract):
    """No job is submitted whose wall time would reach into it."""

    starts: Timestamp
    ends: Timestamp
    partitions: tuple[str, ...] = ()
    """Empty: all."""
    reason: str = ""

    @model_validator(mode="after")
    def _order(self) -> MaintenanceWindow:
        if self.ends <= self.starts:
            raise ValueError("ends must be after starts")
        return self


class IdentityMap(Contract):
    """Under which Unix user a job runs: the agent's own, or one that the site names for a Hanse user or project."""

    mode: Literal["own", "sudo"] = "own"
    """`sudo`: a narrow sudo rule. Tokens of Slurm's (auth/jwt) are no way: sbatch sends its own process's user with the
    job, and the controller refuses one for whom the token is not (Slurm 22.05: Invalid user id)."""
    users: dict[str, UnixName] = Field(default_factory=dict)
    """By the Hanse user who launched; looked up before projects."""
    projects: dict[str, UnixName] = Field(default_factory=dict)
    group: UnixName | None = None
    """Owns the run folders beside the user, so that the agent can read what jobs write."""

    @model_validator(mode="after")
    def _complete(self) -> IdentityMap:
        named = {*self.users.values(), *self.projects.values()}
        if self.mode == "own" and named:
            raise ValueError("users and projects are for mode sudo; with mode own all runs as the agent")
        if self.mode != "own" and not named:
            raise ValueError(f"mode {self.mode} needs users or projects with the Unix user of each")
        if self.mode != "own" and self.group is None:
            raise ValueError(f"mode {self.mode} needs group: the Unix group shared by the agent and those users")
        if "root" in named:
            raise ValueError("users and projects may not run as root")
        return self


class SitePolicy(Contract):
    schema_version: Literal[1] = 1
    projects: tuple[Identifier, ...] | None = None
    accounts: tuple[str, ...] | None = None
    """The scheduler's accounts that may be charged."""
    users: tuple[str, ...] | None = None
    """Those who may run here, as the service knows them."""
    partitions: tuple[str, ...] | None = None
    max_nodes: Positive | None = None
    max_wall_time_s: Positive | None = None
    max_open_jobs: Positive | None = None
    max_open_jobs_per_project: Positive | None = None
    code: Literal["any", "none"] | tuple[Sha256, ...] = "any"
    """Code bundles of users: the approved ones by their SHA-256."""
    commands: Literal["any", "none"] | tuple[str, ...] = "any"
    """The shell lines that `command:` may run, each as a whole."""
    images: tuple[str, ...] | None = None
    """Container images may be those that begin with one of these."""
    personal_data: bool = True
    """False: no dataset that its owner declared to hold personal data."""
    maintenance: tuple[MaintenanceWindow, ...] = ()
    drain: bool = False
    """Submit nothing new; what runs goes on."""
    drain_reason: str = ""
    exclude_nodes: tuple[str, ...] = ()
    scheduler_calls_per_minute: Positive | None = None
    """Towards the scheduler's controller, all together; None: as many as the work needs."""
    identity: IdentityMap = Field(default_factory=IdentityMap)
    keep_days: Positive = 90
    """The agent's own records of closed attempts are kept that long."""
