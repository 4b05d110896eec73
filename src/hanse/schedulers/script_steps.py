"""The work: a shell function that runs one step on its nodes under srun, and one call of it for each step."""

from __future__ import annotations

import shlex
import sys

from hanse.contracts import jobenv
from hanse.contracts.job import JobSpec, Step
from hanse.contracts.machine import Machine
from hanse.contracts.rundir import RunDir
from hanse.schedulers.environment import is_own, resolved
from hanse.schedulers.script_images import in_image, srun_image_flags
from hanse.schedulers.script_lines import CANNOT_CREATE, Lines


def runner(job: JobSpec, machine: Machine, run_dir: RunDir, data_dir: str) -> Lines:
    """`hanse_step`, which passes the warning before the end of the wall time on to the ranks."""
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
        *_srun_options(job, machine, run_dir, data_dir),
        (
            f'    bash -c {shlex.quote(_on_each_node(job, machine))} "$usr1" "$@" &',
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


def _srun_options(job: JobSpec, machine: Machine, run_dir: RunDir, data_dir: str) -> Lines:
    facts = machine.scheduler
    bind = shlex.quote(facts.cpu_bind or "none")
    if facts.cpu_bind:
        binding = "the binding this machine asks for"
    elif facts.rank_cpu_masks:
        binding = f"no binding: the {len(facts.rank_cpu_masks)} masks of this machine are for a launcher per rank"
    else:
        binding = "no binding by accident"
    lines: Lines = [
        (
            f"    --cpu-bind={bind} --kill-on-bad-exit=1 --wait=0 \\",
            f"{binding}; one node's failure ends the step; a node that is done waits for the others",
        )
    ]
    if facts.srun_flags:
        lines.append((f"    {shlex.join(facts.srun_flags)} \\", "how this machine wants its steps started"))
    if flags := srun_image_flags(job, machine, run_dir, data_dir):
        lines.append((f"    {shlex.join(flags)} \\", "Slurm itself puts the step into the image"))
    return lines


def _on_each_node(job: JobSpec, machine: Machine) -> str:
    """What the shell on a node does before it becomes the command."""
    facts = machine.scheduler
    parts = [f'export {jobenv.NODE_RANK}="$SLURM_NODEID"']
    if job.image is not None and facts.container_setup_in_step:
        parts += [f"{{ {line}; }} || exit {CANNOT_CREATE}" for line in facts.container_setup]
    return "; ".join((*parts, '[ "$0" = default ] || trap "" USR1', 'exec "$@"'))


def steps(job: JobSpec, machine: Machine, run_dir: RunDir, data_dir: str) -> Lines:
    return [(_call(job, machine, run_dir, data_dir, step), _reason(step)) for step in job.steps]


def _call(job: JobSpec, machine: Machine, run_dir: RunDir, data_dir: str, step: Step) -> str:
    # A shell cannot trap what was ignored when it began, so only Hanse's own steps ignore USR1.
    usr1 = "ignored" if is_own(step.argv) else "default"
    python = "python3" if job.image is not None else machine.scheduler.python or sys.executable
    command = [*in_image(job, machine, run_dir, data_dir), *resolved(step.argv, python)]
    return shlex.join(["hanse_step", step.name, str(step.nodes), usr1, *command])


def _reason(step: Step) -> str:
    return f"the work: step {step.name} on {step.nodes} {'node' if step.nodes == 1 else 'nodes'}"
