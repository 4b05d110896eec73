"""The request: what a job script asks Slurm for, one option a line, as the machine's facts want it asked."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Final

from hanse.contracts.errors import SiteError
from hanse.contracts.job import JobSpec
from hanse.contracts.machine import Machine
from hanse.contracts.rundir import RunDir
from hanse.schedulers.environment import stop_signal_at_s
from hanse.schedulers.script_lines import Lines

SWITCH_WAIT: Final = "00:10:00"
"""How much longer a job may wait for nodes that lie close together."""

Options = Iterator[tuple[str, str]]
_JOB_ID = re.compile(r"[0-9]+(_[0-9]+)?")


def request(job: JobSpec, machine: Machine, run_dir: RunDir, *, after: str | None = None) -> Lines:
    """The script's head. Raises SiteError where the machine's rules leave no valid request."""
    if after is not None and not _JOB_ID.fullmatch(after):
        raise SiteError(f"{after!r} is no job id of Slurm", where=machine.id, fix="Give the id that sbatch printed.")
    options = (*_who_pays(job, machine), *_size(job, machine), *_conduct(job, machine, run_dir, after))
    return [
        ("#!/bin/bash", "Slurm runs this text on the first node of the allocation"),
        *[(f"#SBATCH {_option(option)}", reason) for option, reason in options],
        ("", ""),
    ]


def cpus_per_node(machine: Machine) -> int | None:
    """All cores a job may have on a node."""
    facts = machine.scheduler
    if facts.cpus_per_node is None and facts.cpus_per_gpu is not None:
        return facts.cpus_per_gpu * machine.accelerators_per_node
    return facts.cpus_per_node


def time_limit(seconds: int) -> str:
    """Slurm's D-HH:MM:SS."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days}-{hour:02d}:{minute:02d}:{second:02d}"


def _who_pays(job: JobSpec, machine: Machine) -> Options:
    facts = machine.scheduler
    qos = job.qos or next((p.qos for p in machine.partitions if p.name == job.partition), None)
    if facts.account_required and not job.account:
        raise SiteError(
            "this machine takes no job without an account", where=machine.id, fix="Name the project's account."
        )
    if facts.qos_required and not qos:
        raise SiteError(
            "this machine takes no job without a QoS", where=machine.id, fix="Name the QoS of the partition."
        )
    yield f"--job-name={job.name}", "unique to this attempt: how the job is found again in any queue"
    if job.account:
        yield f"--account={job.account}", "the scheduler account of the allocation that pays"
    if job.partition:
        yield f"--partition={job.partition}", "the queue the plan was made for"
    if qos:
        yield f"--qos={qos}", "the quality of service this queue asks for"


def _size(job: JobSpec, machine: Machine) -> Options:
    facts = machine.scheduler
    yield f"--nodes={job.nodes}", "as planned"
    if facts.exclusive:
        yield "--exclusive", "whole nodes: this machine shares them unless asked not to"
    yield "--ntasks-per-node=1", "one launcher a node; it starts the node's ranks itself"
    if cpus := cpus_per_node(machine):
        ratio = f": {facts.cpus_per_gpu} with each GPU, no other ratio starts" if facts.cpus_per_gpu else ""
        yield f"--cpus-per-task={cpus}", f"all cores a job may have on a node{ratio}"
    if facts.memory_per_node:
        yield f"--mem={facts.memory_per_node}", "the node's memory as this machine counts it"
    if facts.gpu_request:
        yield facts.gpu_request, "how this machine is asked for a node's accelerators"
    if facts.constraint:
        yield f"--constraint={facts.constraint}", "the nodes of this machine that the work may go to"
    if facts.nodes_per_switch and job.nodes > 1:
        switches = -(-job.nodes // facts.nodes_per_switch)
        yield (
            f"--switches={switches}@{SWITCH_WAIT}",
            f"{facts.nodes_per_switch} nodes share a leaf switch: close together if that costs ten minutes at most",
        )
    for flag in facts.required_flags:
        yield flag, "this machine takes no job without it"


def _conduct(job: JobSpec, machine: Machine, run_dir: RunDir, after: str | None) -> Options:
    attempt = run_dir.attempt(job.attempt_number)
    stop_at_s = stop_signal_at_s(job)
    yield f"--time={time_limit(job.wall_time_s)}", "a concrete limit: what is unlimited is started last"
    if stop_at_s is not None:
        yield (
            f"--signal=B:{job.stop_signal}@{job.wall_time_s - stop_at_s}",
            "a warning to this script before the time is over: room for a last checkpoint",
        )
    if after is not None:
        yield f"--dependency=afterany:{after}", "a link of a chain: starts when that job has ended, however it ended"
    if machine.scheduler.wait_all_nodes:
        yield "--wait-all-nodes=1", "the script begins when every node has booted, not when the first has"
    yield "--no-requeue", "the next attempt is a job of its own, decided by the service"
    yield f"--output={str(attempt.log).replace('%', '%%')}", "stdout and stderr lie with the attempt"
    yield "--open-mode=append", "should the site requeue by force, the first log survives"
    if job.exclude:
        yield f"--exclude={','.join(job.exclude)}", "nodes that failed this run before"
    yield f"--chdir={attempt.root}", "a folder that exists on the node"


def _option(option: str) -> str:
    """Quoted for sbatch's own parser, which knows the shell's quotes; the name stays readable."""
    name, equals, value = option.partition("=")
    return f"{name}={shlex.quote(value)}" if equals else option
