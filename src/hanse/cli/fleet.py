"""`hanse status --watch`: everything under way on every machine, live; below it the machines and how full they are.

What one cannot see or hear of is left blank: a service or an agent that is away is normal, and said so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from hanse.cli import views, views_run
from hanse.cli.output import ProgramError, print_lines
from hanse.client.summary import run_summaries
from hanse.contracts.base import now
from hanse.contracts.errors import ServiceError, UsageError
from hanse.contracts.run import FINAL_RUN_STATES
from hanse.contracts.units import NBSP, format_gpu_hours, format_seconds

if TYPE_CHECKING:
    from hanse.client.answers import AgentStatus
    from hanse.client.api import Client
    from hanse.client.summary import RunSummary
    from hanse.contracts.machine import Machine
    from hanse.contracts.run import Run
    from hanse.contracts.site import MachineState

POLL_S = 2.0
ENDED_SHOWN = 5
MACHINES_EVERY_S = 10.0


class Fleet:
    """What is known at one moment of all runs and machines, and how it looks."""

    def __init__(
        self, client: Client, reconnect: Callable[[], Client] | None = None, clock: Callable[[], datetime] = now
    ) -> None:
        self.outage = ""
        self._client, self._reconnect, self._clock = client, reconnect, clock
        self._runs: list[tuple[RunSummary, Run | None]] = []
        self._machines: list[tuple[Machine, AgentStatus, MachineState | None]] = []
        self._machines_at: float | None = None

    @property
    def under_way(self) -> int:
        return sum(run.state not in FINAL_RUN_STATES for run, _ in self._runs)

    def news(self) -> tuple[object, ...]:
        """What makes a new picture worth a print: states and outages, not every step."""
        runs = tuple((run.id, run.state, run.machines) for run, _ in self._runs)
        return (self.outage, runs, tuple((one.id, status.away, status.draining) for one, status, _ in self._machines))

    def look(self) -> Fleet:
        """Ask again. An outage is shown and waited out: what was last known stays."""
        try:
            if self.outage and self._reconnect:
                self._client = self._reconnect()
            self._ask()
            self.outage = ""
        except (ServiceError, ProgramError) as error:
            self.outage = f"{error.what.rstrip('.')}; trying again"
        return self

    def _ask(self) -> None:
        client = self._client
        listed = sorted(run_summaries(client), key=lambda run: run.created_at, reverse=True)
        going = [run for run in listed if run.state not in FINAL_RUN_STATES]
        ended = [run for run in listed if run.state in FINAL_RUN_STATES][:ENDED_SHOWN]
        # Only a run under way is asked for whole; what is over stays as the list has it.
        self._runs = [(run, client.run(run.id)) for run in going] + [(run, None) for run in ended]
        if self._machines_at is None or time.monotonic() - self._machines_at > MACHINES_EVERY_S:
            self._machines = [(one, client.agent_status(one.id), self._state(one.id)) for one in client.machines()]
            self._machines_at = time.monotonic()

    def _state(self, machine: str) -> MachineState | None:
        with suppress(UsageError):  # its agent has not told of any, or the service is of before this was asked
            return self._client.machine_state(machine)
        return None

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self.outage:
            parts += [Text(self.outage, style="magenta"), ""]
        parts.append(self._runs_table() if self._runs else Text("No runs yet. 'hanse launch train.yaml' starts one."))
        if self._machines:
            parts += ["", self._machines_table()]
        return Group(*parts)

    def _runs_table(self) -> RenderableType:
        made = views.table(
            "Run", "Name", "State", "Machine", "Step", "Used", "Why it waits", right=("Step", "Used"),
            whole=("Run", "State"),
        )  # fmt: skip
        for run, whole in self._runs:
            step = f"{run.step:,}/{run.steps:,}" if run.steps else "–"
            machine = run.machines[-1] if run.machines else "–"
            used = format_gpu_hours(run.used_accelerator_seconds)
            why = views_run.in_words(whole, self._clock()) if whole else ""
            made.add_row(run.id, run.name, views.state(run.state), machine, step, used, why)
        return made

    def _machines_table(self) -> RenderableType:
        made = views.table(
            "Machine", "State", "Agent heard", "Idle nodes", "Jobs wait", right=("Idle nodes", "Jobs wait"),
            whole=("State",),
        )  # fmt: skip
        for machine, status, state in self._machines:
            word = "away" if status.away else "draining" if status.draining else "open"
            partitions = state.partitions if state else ()
            idle, total = sum(one.nodes_idle for one in partitions), sum(one.nodes for one in partitions)
            load = (f"{idle:,} of {total:,}", f"{sum(one.pending_jobs for one in partitions):,}")
            made.add_row(machine.id, views.state(word), self._heard(status), *(load if partitions else ("–", "–")))
        return made

    def _heard(self, status: AgentStatus) -> str:
        if status.last_heard_at is None:
            return "never yet"
        past = (self._clock() - status.last_heard_at).total_seconds()
        return f"{format_seconds(max(1.0, round(past)))}{NBSP}ago" if past < 3600 else views.when(status.last_heard_at)


def watch(client: Client, console: Console, reconnect: Callable[[], Client] | None = None) -> None:
    """On a terminal until Ctrl-C; into a pipe at each change, until nothing is under way."""
    fleet = Fleet(client, reconnect)
    if console.is_terminal:
        with Live(fleet.look(), console=console, refresh_per_second=4) as live:
            while True:
                time.sleep(POLL_S)
                live.update(fleet.look())
    said: object = None
    while True:
        fleet.look()
        if (news := fleet.news()) != said:
            print_lines(console, fleet, "")
        said = news
        if not fleet.under_way and not fleet.outage:
            return
        time.sleep(POLL_S)
