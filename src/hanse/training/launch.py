"""One node's launcher: `hanse train` and `hanse train --prepare`. Needs no torch; torchrun starts the ranks.

Asked to stop (USR1 or TERM) it touches `stop` in the attempt's folder. Rank 0 looks for it at every step and tells
the others with the step's telemetry, so all ranks stop after the same step, with a checkpoint. That works on every
node of a job with a shared file system, whichever launcher hears the signal, and also while ranks are still starting;
forwarding the signal would not, since torchrun does not pass USR1 on and ranks hear it at different steps.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Final

from hanse.contracts import jobenv
from hanse.contracts.errors import HanseError, UsageError
from hanse.training import allocator
from hanse.training.job import Job
from hanse.training.parent import die_with_parent
from hanse.training.say import say

JOIN_TIMEOUT_S: Final = 300
"""How long nodes wait for one another: starting Python from a busy parallel file system can take minutes."""

LEAVE_TIMEOUT_S: Final = 20.0

STOP_SIGNALS: Final = (signal.SIGUSR1, signal.SIGTERM)
USAGE: Final = "usage: hanse train [--prepare] [--no-ticket]"


def main(argv: Sequence[str]) -> int:
    """Run this node's part of the job's step; the exit code is the step's."""
    known = {"--prepare", "--no-ticket"}
    try:
        if unknown := [each for each in argv if each not in known]:
            raise UsageError(f"unknown argument {unknown[0]}", fix=USAGE)
        job = Job.from_environment()
        if job.run.finished.exists():
            say("this run is finished; nothing is left to do")
            return 0
        _refuse(job)
        if "--prepare" in argv:
            return _prepare(job, no_ticket="--no-ticket" in argv)
        return _train(job, [each for each in argv if each != "--prepare"])
    except HanseError as error:
        say(f"FAILED on {socket.gethostname()}: {' — '.join(str(error).splitlines())}")
        return error.exit_code


def _refuse(job: Job) -> None:
    """Before data are prepared or torch is loaded: is this a training of ours at all, and what it needs here?"""
    from hanse.training import compiler
    from hanse.workloads.supported import refusal

    if (because := refusal(job.spec)) is not None:
        raise UsageError(because, where=str(job.run.spec))
    compiler.require(job)


def _prepare(job: Job, *, no_ticket: bool) -> int:
    from hanse.training import permit
    from hanse.training.data.prepare import prepare

    permit.require(job, no_ticket=no_ticket)
    prepare(job)
    return 0


def _check(job: Job, *, no_ticket: bool) -> None:
    """Raise here, at once and once a node, what every rank would raise after loading torch."""
    from hanse.training import complete, permit
    from hanse.training.data.manifest import verify
    from hanse.training.data.samples import open_samples

    permit.require(job, no_ticket=no_ticket)
    samples, prepared = open_samples(job)
    if job.node_rank == 0:
        verify(prepared, samples.manifest)
    complete.refuse_another_model(job)
    _ = job.layout


def _train(job: Job, passed_on: list[str]) -> int:
    _check(job, no_ticket="--no-ticket" in passed_on)
    return run_ranks(job, torchrun_command(job, os.environ) + passed_on)


def run_ranks(job: Job, command: Sequence[str], *, also: Sequence[signal.Signals] = ()) -> int:
    """Start this node's torchrun and wait for it; asked to stop (`also` by these signals), leave word for the ranks.

    The exit code is that of the node's part of the job.
    """
    os.environ.update(rank_environment(job, os.environ))

    def stop(number: int, _frame: FrameType | None) -> None:
        job.attempt.stop.touch()
        say(f"node {job.node_rank}: {signal.Signals(number).name} received; stopping after this step")

    for number in (*STOP_SIGNALS, *also):
        signal.signal(number, stop)
    parent = os.getpid()

    def in_child() -> None:
        # torchrun must outlive the signals a scheduler sends to every process of a step, until its ranks are done.
        for number in (*STOP_SIGNALS, *also):
            signal.signal(number, signal.SIG_IGN)
        if also:  # Ctrl-C at a terminal is for the launcher alone
            os.setsid()
        die_with_parent(parent)
        os.environ["HANSE_TORCHRUN_PID"] = str(os.getpid())

    code = _wait(subprocess.Popen(command, preexec_fn=in_child), job)
    if code:
        say(f"node {job.node_rank} on {socket.gethostname()}: its ranks ended with {code}")
    return code if code >= 0 else 128 - code


def _wait(torchrun: subprocess.Popen[bytes], job: Job) -> int:
    """torchrun's exit code, or 0 once the run is FINISHED: then nothing that happens on the way out matters.

    torchrun waits up to five minutes for the other nodes' to end, also for one that is gone.
    """
    while True:
        try:
            code = torchrun.wait(LEAVE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            if _finished_for(job, LEAVE_TIMEOUT_S):
                torchrun.kill()
                torchrun.wait()
                return 0
            continue
        return 0 if job.run.finished.exists() else code


def _finished_for(job: Job, seconds: float) -> bool:
    try:
        return time.time() - job.run.finished.stat().st_mtime > seconds
    except FileNotFoundError:
        return False


def torchrun_command(
    job: Job, environment: Mapping[str, str], *, program: Sequence[str] = ("-m", "hanse.training.main")
) -> list[str]:
    """The command line that starts this node's ranks."""
    host, port, rendezvous = (_text(environment, name) for name in (jobenv.RDZV_HOST, jobenv.RDZV_PORT, jobenv.RDZV_ID))
    if not port.isdecimal():
        raise UsageError(f"{jobenv.RDZV_PORT} is {port!r}; a port number is needed")
    is_host = "true" if job.node_rank == 0 else "false"
    return [
        sys.executable, "-m", "torch.distributed.run",
        "--nnodes", str(job.nodes), "--nproc-per-node", str(job.ranks_per_node),
        "--rdzv-backend", "c10d", "--rdzv-endpoint", f"{host}:{port}", "--rdzv-id", rendezvous,
        "--rdzv-conf", f"is_host={is_host},join_timeout={JOIN_TIMEOUT_S}",
        "--local-addr", _address_towards(host, int(port)), "--max-restarts", "0",
        *program,
    ]  # fmt: skip


def rank_environment(job: Job, environment: Mapping[str, str]) -> dict[str, str]:
    """What ranks need beside the executor's variables; what the user or the site has set is left alone."""
    loopback = _is_loopback(environment.get(jobenv.RDZV_HOST, ""))
    # Behind a loopback rendezvous all "nodes" are this host: they share its cores.
    sharing = job.ranks_per_node * (job.nodes if loopback else 1)
    wanted = {
        "OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // sharing)), "PYTHONUNBUFFERED": "1",
        # torchrun's --signals-to-handle, which releases before it ignore in this form: leave TERM to the ranks.
        "PET_SIGNALS_TO_HANDLE": "SIGINT",
        **allocator.settings(),
    }  # fmt: skip
    if loopback:
        wanted["GLOO_SOCKET_IFNAME"] = "lo"
    return {name: value for name, value in wanted.items() if name not in environment}


def _text(environment: Mapping[str, str], name: str) -> str:
    if value := environment.get(name, ""):
        return value
    raise UsageError(f"{name} is not set", fix="The scheduler's executor sets it; to train by hand, set it yourself.")


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _address_towards(host: str, port: int) -> str:
    """This node's own address on the network the rendezvous is reached by: torchrun's guess is the host's full
    name, which compute nodes often cannot resolve."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(address)  # a datagram socket: nothing is sent
            return str(probe.getsockname()[0])
    except OSError as error:
        raise UsageError(
            f"the rendezvous host {host} cannot be reached from this node: {error}", where=jobenv.RDZV_HOST,
            fix="The machine's entry in the catalogue has a rule for its name (rendezvous_host_rule).",
        ) from error  # fmt: skip
