"""A whole Hanse on this machine, each part a real process that may be killed: service, agent, scheduler, trainer.

The parts are started as a user's would be, except that the agent looks five times a second.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from hanse.client.answers import DecisionRequest
from hanse.client.api import Client
from hanse.contracts.base import now
from hanse.contracts.layout import Layout
from hanse.contracts.machine import Accelerator, Machine, Partition, SchedulerFacts
from hanse.contracts.plan import Interval, Memory, Plan, StepTime
from hanse.contracts.programme import Allocation, ApplicationForm
from hanse.contracts.run import FINAL_RUN_STATES, Run
from hanse.contracts.rundir import RunDir
from hanse.contracts.spec import TrainSpec
from hanse.rules.gate import questions
from hanse.workloads.shapes import workload_of
from tests.waiting import until

ROOT = Path(__file__).parents[1]

MACHINE = Machine(
    id="local",
    name="This machine",
    site="here",
    nodes=2,
    accelerators_per_node=1,
    accelerator=Accelerator(
        name="a core", kind="cpu", memory_bytes=4_000_000_000, memory_bytes_per_s=5e9, peak_flops={"fp32": 2e10}
    ),
    partitions=(Partition(name="all", nodes=2, max_nodes=2, max_wall_time_s=3600),),
    scheduler=SchedulerFacts(kind="local", rendezvous_host_rule="loopback"),
)

SERVICE = """
import sys
from pathlib import Path
from hanse.service.server import serve
serve(Path(sys.argv[1]), port=int(sys.argv[2]), embedded=True)
"""

AGENT = """
import json, os, signal, sys
from pathlib import Path
from hanse.agent.main import run
from hanse.agent.setting import Setting
from hanse.contracts.machine import Machine
from hanse.schedulers.make import make
from hanse.schedulers.ssh import SshHost

home, url, token, die = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[6]
machine = Machine.from_json(sys.argv[4])
environment, over, setting = json.loads(sys.argv[5]), json.loads(sys.argv[7]), Setting()
if over:
    files = {name: Path(over.pop(name)) for name in ("key", "known_hosts", "config")}
    setting.host, setting.work, environment = SshHost(**over, **files), home / "work", {}
host = setting.host if over else None
scheduler = make(machine, home / "work" / machine.id, environment, host)
submit = scheduler.submit

def submit_and_die(*args, **kwargs):
    if die == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    submit(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)

if die != "never":
    scheduler.submit = submit_and_die
run(url, token, machine, scheduler, home, every_s=0.2, setting=setting)
"""


@dataclass
class Stack:
    """`home` is HANSE_HOME. Service and agent can be started, killed and started again.

    `environment` is for the scheduler's commands (SLURM_CONF).
    """

    home: Path
    machine: Machine = MACHINE
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    over: Mapping[str, Any] = field(default_factory=dict)
    """What an SshHost is made of: the agent reaches the machine and its files by that alone."""
    database: str = ""
    """DATABASE_URL of the service; empty: SQLite in its home."""
    service: subprocess.Popen[bytes] | None = None
    agent: subprocess.Popen[bytes] | None = None

    def start_service(self) -> None:
        if not self.port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
        endpoint = self.home / "service" / "endpoint.json"
        endpoint.unlink(missing_ok=True)

        def up() -> bool:
            if self.service is None or self.service.poll() is not None:  # the old worker may hold the lock a moment
                self.service = self._start("service", SERVICE, str(self.home), str(self.port))
            return endpoint.exists()

        until(up, within_s=60, what="the service", every_s=0.2)

    def start_agent(self, *, die: str = "never") -> None:
        """`die` 'before' or 'after': it kills itself around handing a job to the scheduler."""
        token = self.home / "service" / "agent.token"
        if self.machine.id != "local":
            token = self.home / f"{self.machine.id}.token"
            if not token.exists():
                with self.client() as client:
                    token.write_text(client.enrol_agent(self.machine.id, "this-machine").token)
        self.agent = self._start(
            "agent", AGENT, str(self.home), self.url, token.read_text().strip(), self.machine.model_dump_json(),
            json.dumps(dict(self.environment)), die, json.dumps(dict(self.over)),
        )  # fmt: skip

    def kill_service(self) -> None:
        assert self.service is not None
        for process in [*psutil.Process(self.service.pid).children(recursive=True), psutil.Process(self.service.pid)]:
            process.kill()
        self.service.wait()
        self.service = None

    def kill_agent(self) -> None:
        assert self.agent is not None
        self.agent.kill()
        self.agent.wait()

    def stop(self) -> None:
        for process in (self.agent, self.service):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(20)
        for process in self.processes(str(self.home)):
            process.kill()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Client:
        return Client(self.url, (self.home / "service" / "user.token").read_text().strip())

    def grant(self, gpu_hours: int, *, account: str | None = None) -> Allocation:
        """Apply, be screened, be granted: over the API, as an applicant and an officer."""
        answers = {q.id: q.id in ("civilian-purpose", "data-rights") for q in questions(now().date())}
        form = ApplicationForm(
            call="playground", organisation="Norrlyd", organisation_kind="start-up", country="SE", title="Crash tests",
            purpose="See that nothing is lost.", machine=self.machine.id, gpu_hours=gpu_hours, duration_months=1,
            contact_email="ada@norrlyd.example", answers=answers,
        )  # fmt: skip
        with self.client() as client:
            application = client.apply(form)
            decision = DecisionRequest(
                decision="grant", reason="A test.", override_reason="A test.", account=account
            )  # fmt: skip
            granted = client.decide(application.id, decision)
            assert granted.allocation_id is not None
            return client.allocation(granted.allocation_id)

    def launch(self, spec: TrainSpec, allocation: Allocation) -> Run:
        with self.client() as client:
            plan = None if spec.command else plan_of(spec, self.machine)
            return client.launch(spec, plan, allocation=allocation.id, machine=self.machine.id)

    def run(self, run_id: str) -> Run:
        with self.client() as client:
            return client.run(run_id)

    def finish(self, run_id: str, *, within_s: float = 120) -> Run:
        """Wait for the run's end."""

        def ended() -> Run | None:
            run = self.run(run_id)
            return run if run.state in FINAL_RUN_STATES else None

        return until(ended, within_s=within_s, what=f"the end of {run_id}", every_s=0.2)

    def run_dir(self, run_id: str) -> RunDir:
        return RunDir(self.home / "work" / "runs" / run_id)

    def processes(self, *words: str) -> list[psutil.Process]:
        """Processes whose command line or environment holds all the words."""
        found = []
        for process in psutil.process_iter():
            try:
                text = "\0".join([*process.cmdline(), *(f"{k}={v}" for k, v in process.environ().items())])
            except psutil.Error:
                continue
            if process.pid != os.getpid() and all(word in text for word in words):
                found.append(process)
        return found

    def _start(self, name: str, code: str, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "HANSE_HOME": str(self.home),
            "HANSE_AWARDS_BY": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]),
        }
        environment.pop("DATABASE_URL", None)
        if self.database:
            environment["DATABASE_URL"] = self.database
        log = self.home / f"{name}.log"
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-c", code, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=environment, cwd=self.home,
            )  # fmt: skip


def plan_of(spec: TrainSpec, machine: Machine) -> Plan:
    """A plan that fixes two full nodes; what it predicts does not matter here."""
    workload = workload_of(spec)
    assert spec.batch is not None
    ranks = 2 * machine.accelerators_per_node
    step = Interval(low=0.01, expected=0.1, high=1.0)
    return Plan(
        workload=workload, machine=machine.id, partition=machine.partitions[0].name,
        layout=Layout(nodes=2, dp=ranks, micro_batch=spec.batch // ranks),
        step_time=StepTime(parts={"matmul": 0.1}, total_s=step),
        memory=Memory(parameters=1, gradients=1, optimiser=1, activations=1, other=1, limit=1_000_000_000),
        tokens_per_s=Interval(low=1, expected=10, high=100), mfu=0.1, steps=workload.steps,
        wall_time_s=Interval(low=1, expected=10, high=100), accelerator_seconds=20, why=("It is a test.",),
        machine_digest=machine.digest(), made_at=now(),
    )  # fmt: skip


def kill(victims: Callable[[], list[psutil.Process]], *, within_s: float = 60, what: str) -> None:
    """SIGKILL the first victim as soon as there is one."""
    found = until(victims, within_s=within_s, what=what, every_s=0.02)
    os.kill(found[0].pid, signal.SIGKILL)


def running(home: Path, machine: Machine = MACHINE, environment: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """A stack that is up, its agent known to the service; everything is ended afterwards."""
    stack = Stack(home, machine, environment or {})
    try:
        stack.start_service()
        stack.start_agent()
        with stack.client() as client:
            until(lambda: client.agent_status(machine.id).epoch, what="the agent's hello", every_s=0.2)
        yield stack
    finally:
        stack.stop()


@dataclass
class Outpost(Stack):
    """A machine with its agent, in a home of its own; the service is the hub's. `address` may be a detour to it."""

    hub: Stack | None = None
    address: str = ""

    @property
    def url(self) -> str:
        assert self.hub is not None
        return self.address or self.hub.url

    def client(self) -> Client:
        assert self.hub is not None
        return self.hub.client()
