"""The embedded service and this machine's agent: started in the background when needed, restarted if they died.

Never on a node of a cluster (SLURM_* set) and never with state on a network file system: both say what to do instead.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from hanse.cli import background
from hanse.cli.home import Home, home, short
from hanse.cli.machine import LOCAL
from hanse.cli.output import ProgramError, note
from hanse.contracts import jobenv
from hanse.contracts.errors import HanseError, UsageError
from hanse.files.places import on_network

SERVICE_WITHIN_S = 90.0
AGENT_WITHIN_S = 30.0
ANSWERS_WITHIN_S, PATIENT_S = 5.0, 25.0
"""A machine that trains is a busy one: a service that is slow to answer is asked once more before it counts as dead."""
SERVICE_LOG, AGENT_LOG = "service.log", "agent-local.log"


def agent_log(machine: str) -> str:
    return f"agent-{machine}.log"


class Service(NamedTuple):
    """The embedded service as it describes itself in endpoint.json."""

    pid: int
    url: str
    token: str
    since: datetime | None

    def describe(self) -> str:
        return f"running at {self.url} (process {self.pid}{_since(self.since)})"


class Agent(NamedTuple):
    pid: int
    url: str
    machine: str
    since: datetime | None

    def describe(self) -> str:
        return f"running for {self.machine} (process {self.pid}{_since(self.since)}), reporting to {self.url}"


def _since(moment: datetime | None) -> str:
    return f", since {moment.astimezone():%-d %b, %H:%M}" if moment else ""


def _moment(facts: Mapping[str, object]) -> datetime | None:
    started = facts.get("started_at")
    if isinstance(started, str):
        return datetime.fromisoformat(started)
    return datetime.fromtimestamp(started, UTC) if isinstance(started, int | float) else None


def slurm_variable(environment: Mapping[str, str] | None = None) -> str | None:
    """A variable that shows this is a node of a cluster, the telling one first; None elsewhere."""
    present = sorted(name for name in (environment or os.environ) if name.startswith("SLURM_"))
    return "SLURM_JOB_ID" if "SLURM_JOB_ID" in present else (present[0] if present else None)


def refuse_here(here: Home) -> None:
    """Nothing where the embedded service may run.

    Raises:
        UsageError: it must not run here; the way out stands in it.
    """
    variable = slurm_variable()
    if variable:
        raise UsageError(
            f"{variable} is set: this is a node of a cluster, and Hanse starts no service there.",
            where="environment",
            fix=f"Run 'hanse serve' on a machine of yours that stays up, and set {jobenv.URL} and {jobenv.TOKEN} here.",
        )
    network = on_network(here.root)
    if network:
        raise UsageError(
            f"It lies on a network file system ({network}), where the service's database is not safe.",
            where=f"{jobenv.HOME} {short(here.root)}",
            fix=f"Set {jobenv.HOME} to a folder on a local disk, "
            f"or set {jobenv.URL} and {jobenv.TOKEN} to use a service elsewhere.",
        )


def _require_place(here: Home) -> None:
    """Raises UsageError where nothing can be kept."""
    try:
        here.service.mkdir(mode=0o700, parents=True, exist_ok=True)
        writable = os.access(here.service, os.W_OK)
        why = "it is read-only for you"
    except OSError as error:
        writable, why = False, (error.strerror or str(error)).lower()
    if not writable:
        raise UsageError(
            f"Hanse cannot keep its state there: {why}.",
            where=f"{jobenv.HOME} {short(here.root)}",
            fix=f"Set {jobenv.HOME} to a folder of yours on a local disk.",
        )


def service_status() -> Service | None:
    """The embedded service, if its process lives."""
    facts = background.read_json(home().endpoint)
    if not background.alive(facts):
        return None
    return Service(int(facts["pid"]), str(facts.get("url", "")), str(facts.get("token", "")), _moment(facts))


def agent_status(machine: str = LOCAL) -> Agent | None:
    """The agent of `machine`, if its process lives."""
    facts = background.read_json(home().agent(machine) / "agent.json")
    if not background.alive(facts):
        return None
    return Agent(int(facts["pid"]), str(facts.get("url", "")), machine, _moment(facts))


def answers(service: Service, *, within_s: float = ANSWERS_WITHIN_S) -> bool:
    """Whether it takes its own token: it is up, and it is ours."""
    from hanse.client.http import Connection

    try:
        with Connection(service.url, service.token, timeout_s=within_s) as connection:
            connection.exchange("GET", "/api/v1/me")
    except HanseError:
        return False
    return True


def ensure() -> Service:
    """The embedded service and the local agent, running; what died is started again."""
    here = home()
    refuse_here(here)
    _require_place(here)
    with background.only_one(here.service / "start.lock"):
        service = service_status()
        if service is None or not (answers(service) or answers(service, within_s=PATIENT_S)):
            if service is not None:
                background.stop(background.read_json(here.endpoint))
            service = _start_service(here)
        agent = agent_status()
        if agent is None or agent.url != service.url:
            if agent is not None:
                background.stop(background.read_json(here.agent(LOCAL) / "agent.json"))
            _start_agent(here)
        for machine in here.connected():
            _look_after(here, machine, service)
    return service


def _look_after(here: Home, machine: str, service: Service) -> None:
    """The agent of a connected machine. One that does not start holds up nothing that is done elsewhere."""
    agent = agent_status(machine)
    if (agent is not None and agent.url == service.url) or not (here.agent(machine) / "credentials").exists():
        return
    background.stop(background.read_json(here.agent(machine) / "agent.json"))
    try:
        _start_agent(here, machine)
    except ProgramError as error:
        note(f"{error.what} {error.where}")


def restart_agent(machine: str = LOCAL) -> None:
    """Let the agent describe its machine anew (after a calibration). Its jobs go on; it finds them again."""
    here = home()
    with background.only_one(here.service / "start.lock"):
        background.stop(background.read_json(here.agent(machine) / "agent.json"))
        _start_agent(here, machine)


def stop_agent(machine: str) -> bool:
    """Whether one ran. Its jobs go on."""
    here = home()
    if not here.service.exists():
        return False
    with background.only_one(here.service / "start.lock"):
        return background.stop(background.read_json(here.agent(machine) / "agent.json"))


def _start_service(here: Home) -> Service:
    log = here.logs / SERVICE_LOG
    background.wait_unlocked(here.service / "serve.lock", within_s=15.0)
    child = background.start(["serve", "--embedded"], log, {jobenv.HOME: str(here.root), "HANSE_EMBEDDED": "1"})

    def ready() -> bool:
        found = service_status()
        return found is not None and answers(found)

    background.wait_for(child, ready, what="The embedded service", within_s=SERVICE_WITHIN_S)
    found = service_status()
    assert found is not None
    return found


def _start_agent(here: Home, machine: str = LOCAL) -> None:
    child = background.start(
        ["agent", "--embedded", "--machine", machine], here.logs / agent_log(machine), {jobenv.HOME: str(here.root)}
    )
    what = "The agent of this machine" if machine == LOCAL else f"The agent of {machine}"
    background.wait_for(child, lambda: agent_status(machine) is not None, what=what, within_s=AGENT_WITHIN_S)


def stop_all() -> list[str]:
    """Stop agent and service; say what was stopped. Jobs go on and are adopted at the next start."""
    here = home()
    stopped: list[str] = []
    if not here.service.exists():
        return stopped
    with background.only_one(here.service / "start.lock"):  # what another command starts meanwhile is not lost sight of
        further = [(f"agent of {one}", here.agent(one) / "agent.json") for one in here.connected()]
        for name, path in (*further, ("agent", here.agent(LOCAL) / "agent.json"), ("service", here.endpoint)):
            if background.stop(background.read_json(path)):
                stopped.append(name)
            path.unlink(missing_ok=True)
    return stopped
