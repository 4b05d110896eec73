"""What an agent is given: the service it speaks to, and how its site has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from hanse.agent import tails
from hanse.agent.courier_thread import Courier
from hanse.agent.halt import Halt
from hanse.agent.identity import Schedulers
from hanse.agent.looks import Meter
from hanse.agent.policy_file import PolicyFile
from hanse.contracts.agentapi import Exchange, Hello, SyncRequest, SyncResponse, Welcome
from hanse.schedulers.host import Host


class Service(Protocol):
    def hello(self, hello: Hello) -> Welcome: ...

    def sync(self, request: SyncRequest) -> SyncResponse: ...

    def code(self, sha256: str) -> bytes: ...

    def exchange_of(self, attempt_id: str) -> Exchange: ...


@dataclass(slots=True, kw_only=True)
class Setting:
    """How the site has its agent: all of it may be left out."""

    observe: bool = False
    """It reports and submits nothing, and ends nothing."""
    policy: PolicyFile = field(default_factory=lambda: PolicyFile(None))
    halt: Halt | None = None
    schedulers: Schedulers | None = None
    courier: Courier | None = None
    meter: Meter | None = None
    state_every: timedelta = timedelta(seconds=60)
    host: Host = tails.HERE
    """Where the runs' folders lie, and the scheduler's commands are."""
    work: Path | None = None
    """The folder of runs/ and data/ on that host; None: the one below the agent's home."""
