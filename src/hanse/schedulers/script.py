"""A JobSpec as a Slurm batch script, each line with its reason. Job scripts are made here and nowhere else.

The shape follows what published scripts of EuroHPC machines have in common (one launcher a node, c10d rendezvous on
the first node, SRUN_CPUS_PER_TASK, no CPU binding by accident); machine facts come from the catalogue.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hanse.contracts import jobenv
from hanse.contracts.errors import SiteError
from hanse.contracts.job import JobSpec, Step
from hanse.contracts.machine import Machine
from hanse.contracts.rundir import RunDir
from hanse.schedulers.claim import is_command
from hanse.schedulers.environment import (
    is_own,
    job_variables,
    python_path,
    resolved,
    stop_signal_at_s,
    working_folder,
)

FIRST_PORT: Final = 20000
PORTS: Final = 10000
"""The rendezvous listens on FIRST_PORT + job id mod PORTS: below Linux's ephemeral ports (from 32768)."""

CANNOT_CREATE: Final = 73
"""The exit code of a job that could not make its claim or enter its folder (sysexits' EX_CANTCREAT)."""

NO_HOST: Final = 68
"""The exit code of a job whose first node has no address by the machine's rule (EX_NOHOST)."""

OFFLINE: Final = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "WANDB_MODE": "offline",
}

Lines = list[tuple[str, str]]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def render(job: JobSpec, machine: Machine, run_dir: RunDir, *, ticket_key: str, data_dir: str) -> str:
    """The batch script. Raises SiteError where the machine's rules or the values leave no valid script."""
    lines = explain(job, machine, run_dir, ticket_key=ticket_key, data_dir=data_dir)
    return "".join(f"{line}\n" for line, _ in lines)


def explain(
    job: JobSpec, machine: Machine, run_dir: RunDir | None = None, *, ticket_key: str = "", data_dir: str = ""
) -> tuple[tuple[str, str], ...]:
    """Every line of the script with its reason. Without `run_dir` the paths are relative to the agent's work folder."""
    run_dir = run_dir or RunDir(Path("runs") / job.run_id)
    lines: Lines = [
        *_request(job, machine, run_dir),
        *_fence(job, run_dir),
        *_surroundings(job, machine, run_dir, ticket_key=ticket_key, data_dir=data_dir),
        *_rendezvous(machine),
        *_runner(machine),
        *[(_step(job, machine, run_dir, data_dir, step), _step_reason(step)) for step in job.steps],
        *_end(job),
    ]
    for line, _ in lines:
        # Quoted text of the shell may go over several lines; an option of Slurm would end and the rest be a command.
        if "\0" in line or ("\n" in line and line.startswith("#SBATCH")):
            raise SiteError("a value with a line break cannot be an option of Slurm", where=repr(line))
    return tuple(lines)


def time_limit(seconds: int) -> str:
    """Slurm's D-HH:MM:SS."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days}-{hour:02d}:{minute:02d}:{second:02d}"


def _request(job: JobSpec, machine: Machine, run_dir: RunDir) -> Lines:
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
    log = str(run_dir.attempt(job.attempt_number).log).replace("%", "%%")
    stop_at_s = stop_signal_at_s(job)
    options: list[tuple[str | None, str]] = [
        (f"--job-name={job.name}", "unique to this attempt: how the job is found again in any queue"),
        (job.account and f"--account={job.account}", "the scheduler account of the allocation that pays"),
        (job.partition and f"--partition={job.partition}", "the queue the plan was made for"),
        (qos and f"--qos={qos}", "the quality of service this queue asks for"),
        (f"--nodes={job.nodes}", "as planned"),
        ("--ntasks-per-node=1", "one launcher a node; it starts the node's ranks itself"),
        (
            f"--cpus-per-task={facts.cpus_per_node}" if facts.cpus_per_node else None,
            "all cores a job may have on a node",
        ),
        (facts.memory_per_node and f"--mem={facts.memory_per_node}", "the node's memory as this machine counts it"),
        (facts.gpu_request, "how this machine is asked for a node's accelerators"),
        (f"--time={time_limit(job.wall_time_s)}", "a concrete limit: what is unlimited is started last"),
        (
            None if stop_at_s is None else f"--signal=B:{job.stop_signal}@{job.wall_time_s - stop_at_s}",
            "a warning to this script before the time is over: room for a last checkpoint",
        ),
        ("--no-requeue", "the next attempt is a job of its own, decided by the service"),
        (f"--output={log}", "stdout and stderr lie with the attempt"),
        ("--open-mode=append", "should the site requeue by force, the first log survives"),
        (f"--exclude={','.join(job.exclude)}" if job.exclude else None, "nodes that failed this run before"),
        (f"--chdir={run_dir.attempt(job.attempt_number).root}", "a folder that exists on the node"),
    ]
    return [
        ("#!/bin/bash", "Slurm runs this text on the first node of the allocation"),
        *[(f"#SBATCH {_option(option)}", reason) for option, reason in options if option],
        ("", ""),
    ]


def _option(option: str) -> str:
    """Quoted for sbatch's own parser, which knows the shell's quotes; the name stays readable."""
    name, equals, value = option.partition("=")
    return f"{name}={shlex.quote(value)}" if equals else option


def _fence(job: JobSpec, run_dir: RunDir) -> Lines:
    fence = "the fence: of all jobs submitted for this attempt one works"
    return [
        (f"hanse_run={shlex.quote(str(run_dir.root))}", "everything of the run lies here"),
        (f"hanse_attempt={shlex.quote(str(run_dir.attempt(job.attempt_number).root))}", "and of this attempt, here"),
        (
            'if (set -o noclobber; echo "$SLURM_JOB_ID" > "$hanse_attempt/claim") 2>/dev/null; then',
            f"{fence}; the shell creates the claim exclusively (O_EXCL)",
        ),
        ('  sync "$hanse_attempt/claim"', "the claim must survive this node"),
        ('elif [ ! -r "$hanse_attempt/claim" ]; then', "neither made nor there: the folder is gone or full"),
        ('  echo "hanse: cannot create $hanse_attempt/claim" >&2', "said in the log"),
        (f"  exit {CANNOT_CREATE}", "a failure, not a doubled job"),
        (
            'elif [ "$(cat "$hanse_attempt/claim")" != "$SLURM_JOB_ID" ]; then',
            "a claim with this very id means: requeued by the site; the job may go on",
        ),
        ('  cat "$hanse_attempt/claim" > "$hanse_attempt/doubled.$SLURM_JOB_ID"', "a doubled submission is recorded"),
        ('  echo "hanse: job $SLURM_JOB_ID: another job holds this attempt\'s claim"', "said in the log"),
        ("  exit 0", "and ends at once, costing a second"),
        ("fi", fence),
        ('if [ -e "$hanse_run/FINISHED" ]; then', "a job that waited in the queue may find the run finished"),
        ('  echo "hanse: job $SLURM_JOB_ID: the run was finished already"', "said in the log"),
        ("  exit 0", "nothing is left to do"),
        ("fi", "the run is not finished"),
        ("", ""),
    ]


def _surroundings(job: JobSpec, machine: Machine, run_dir: RunDir, *, ticket_key: str, data_dir: str) -> Lines:
    facts = machine.scheduler
    lines: Lines = [
        (
            f"cd {shlex.quote(str(working_folder(job, run_dir)))} || exit {CANNOT_CREATE}",
            "the code bundle's folder" if job.uses_code_bundle else "the attempt's folder",
        ),
        *[(line, "the machine's own preparation (modules)") for line in facts.setup],
    ]
    if machine.internet_on_compute is False:
        lines += _exports(OFFLINE, "no route out of the compute nodes: libraries must not wait for one")
    lines += _exports(facts.environment, "a fact of this machine")
    lines += _exports(job.environment, "asked for by the run")
    if facts.python is None and job.image is None and (path := python_path({})):
        line = f'export PYTHONPATH={shlex.quote(path["PYTHONPATH"])}"${{PYTHONPATH:+:$PYTHONPATH}}"'
        lines.append((line, "this very installation of hanse"))
    if facts.rendezvous_host_rule == "loopback":
        lines += _exports({"GLOO_SOCKET_IFNAME": "lo"}, "all nodes of this machine are one host")
    own = job_variables(job, run_dir, ticket_key=ticket_key, data_dir=data_dir)
    lines += _exports(own, "what Hanse's trainer reads (contracts/jobenv.py)")
    lines.append((f'export {jobenv.JOB_ID}="$SLURM_JOB_ID"', "the job by the scheduler's name"))
    if facts.cpus_per_node:
        lines.append(
            (f"export SRUN_CPUS_PER_TASK={facts.cpus_per_node}", "since Slurm 22.05 srun forgets --cpus-per-task")
        )
    lines.append(
        (
            "unset SLURM_CPU_BIND SLURM_CPU_BIND_LIST SLURM_CPU_BIND_TYPE SLURM_CPU_BIND_VERBOSE",
            "a binding inherited from the submitting shell would pin every rank to one core",
        )
    )
    return lines


def _exports(variables: Mapping[str, str], reason: str) -> Lines:
    for name in variables:
        if not _NAME.fullmatch(name):
            raise SiteError(f"{name!r} is no name for an environment variable", where="environment")
    return [(f"export {name}={shlex.quote(value)}", reason) for name, value in variables.items()]


def _rendezvous(machine: Machine) -> Lines:
    rule = machine.scheduler.rendezvous_host_rule
    lines: Lines
    if rule == "loopback":
        lines = [("hanse_host=127.0.0.1", "all nodes of this machine are one host")]
    else:
        first = 'hanse_host=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)'
        lines = [(first, "node 0 holds the rendezvous")]
    if rule == "suffix_i":
        lines.append(('hanse_host="${hanse_host}i"', "the name of the node on the fast network"))
    if rule in ("suffix_i", "resolve_ipv4"):
        resolve = """hanse_host=$(getent ahostsv4 "$hanse_host" | awk 'NR == 1 { print $1 }')"""
        lines.append((resolve, "the short name does not lead every process to the same address"))
    lines += [
        (
            f'[ -n "$hanse_host" ] || {{ echo "hanse: the first node has no address" >&2; exit {NO_HOST}; }}',
            "without a rendezvous nothing can meet",
        ),
        (f'export {jobenv.RDZV_HOST}="$hanse_host"', "where the launchers meet"),
        (
            f"export {jobenv.RDZV_PORT}=$(({FIRST_PORT} + ${{SLURM_JOB_ID}} % {PORTS}))",
            f"from the job id, so that jobs on one node do not clash ({FIRST_PORT} to {FIRST_PORT + PORTS - 1})",
        ),
        ("", ""),
    ]
    return lines


def _runner(machine: Machine) -> Lines:
    bind = shlex.quote(machine.scheduler.cpu_bind or "none")
    binding = "the binding this machine asks for" if machine.scheduler.cpu_bind else "no binding by accident"
    return [
        ("hanse_stop=0 hanse_woken=0 hanse_srun=", "whether the time is nearly over; who is to be told"),
        (
            'trap \'hanse_stop=1 hanse_woken=1; [ -z "$hanse_srun" ] || kill -USR1 "$hanse_srun"\' USR1',
            "the warning is passed to srun, which passes it to the ranks",
        ),
        ("hanse_step() {", "one step: name, nodes, what its processes do with USR1, command"),
        ("  local name=$1 nodes=$2 usr1=$3 code again", "its arguments"),
        ("  shift 3", "the rest is the command"),
        (
            '  if [ "$hanse_stop" = 1 ]; then echo "hanse: the wall time is nearly over: no step $name"; exit 0; fi',
            "nothing is begun that cannot end",
        ),
        (
            f'  export {jobenv.NODES}="$nodes" {jobenv.RDZV_ID}="$SLURM_JOB_ID-$name"',
            "each step has a rendezvous of its own",
        ),
        (
            '  srun --job-name="$name" --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 \\',
            "one launcher on each of the step's nodes",
        ),
        (
            f"    --cpu-bind={bind} --kill-on-bad-exit=1 --wait=0 \\",
            f"{binding}; one node's failure ends the step; a node that is done waits for the others",
        ),
        (
            f'    bash -c \'export {jobenv.NODE_RANK}="$SLURM_NODEID"; '
            '[ "$0" = default ] || trap "" USR1; exec "$@"\' "$usr1" "$@" &',
            "the node's number is known only inside the step; what of ours does not listen for USR1 outlives it",
        ),
        ("  hanse_srun=$!", "in the background, so that the trap can run"),
        ("  while", "wait returns early when the warning comes"),
        ('    hanse_woken=0; wait "$hanse_srun"; again=$?', "the step's exit code"),
        ('    [ "$again" = 127 ] || code=$again', "127: the shell gave the code already"),
        ('    [ "$hanse_woken" = 1 ]', "woken by the warning: wait again"),
        ("  do :; done", "until the step has ended"),
        ("  hanse_srun=", "nobody is to be told any more"),
        ('  [ "$code" = 0 ] || exit "$code"', "a failed step ends the job with its code"),
        ("}", "end of hanse_step"),
        ("", ""),
    ]


def _step(job: JobSpec, machine: Machine, run_dir: RunDir, data_dir: str, step: Step) -> str:
    # A shell cannot trap what was ignored when it began, so only Hanse's own steps ignore USR1.
    usr1 = "ignored" if is_own(step.argv) else "default"
    command = [*_container(job, machine, run_dir, data_dir), *resolved(step.argv, _python(job, machine))]
    return shlex.join(["hanse_step", step.name, str(step.nodes), usr1, *command])


def _step_reason(step: Step) -> str:
    return f"the work: step {step.name} on {step.nodes} {'node' if step.nodes == 1 else 'nodes'}"


def _python(job: JobSpec, machine: Machine) -> str:
    return "python3" if job.image is not None else machine.scheduler.python or sys.executable


def _container(job: JobSpec, machine: Machine, run_dir: RunDir, data_dir: str) -> list[str]:
    """`singularity exec` is there under Singularity and Apptainer alike. The image brings its own hanse."""
    if job.image is None:
        return []
    devices = {"cuda": ["--nv"], "rocm": ["--rocm"]}.get(machine.accelerator.kind, [])
    binds = ",".join(filter(None, (str(run_dir.root), data_dir)))
    return ["singularity", "exec", *devices, "--bind", binds, job.image]


def _end(job: JobSpec) -> Lines:
    if not is_command(job):
        return [("exit 0", "the trainer itself says whether the run is finished")]
    return [
        (
            'echo "$SLURM_JOB_ID" > "$hanse_run/.FINISHED.$SLURM_JOB_ID"',
            "a command knows nothing of Hanse: that it ended well finishes the run",
        ),
        ('mv "$hanse_run/.FINISHED.$SLURM_JOB_ID" "$hanse_run/FINISHED"', "whole or not at all"),
        ("exit 0", "all steps ended well"),
    ]
