"""From `python train.py` to ranks: torchrun of the same script, for the job's nodes or for this machine alone.

Asked to stop (USR1, TERM, and Ctrl-C at a terminal) it touches the attempt's `stop`, as `launch` does for Hanse's own
trainer; the ranks save after their step and the process ends with `STOPPED`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from hanse.contracts import jobenv
from hanse.contracts.errors import HanseError, UsageError
from hanse.contracts.rundir import RunDir
from hanse.contracts.spec import CommandSpec, TrainSpec, WhereSpec
from hanse.training import launch
from hanse.training.job import Job
from hanse.training.say import say

STOPPED: Final = 75
"""Exit code of a run that was asked to stop and has saved: EX_TEMPFAIL, "try again", of sysexits.h. To a job of
`command:` an exit with 0 means finished."""


def start_ranks(ranks: int) -> int | None:
    """Run this script in every rank of this node and wait for them; the exit code is the node's.

    None where there is but one rank in all: that is this process.
    """
    try:
        if jobenv.RUN_DIR not in os.environ:
            os.environ.update(alone(Path(sys.argv[0]).absolute(), ranks))
        job = Job.from_environment()
        if job.run.finished.exists():
            say(f"this run is finished; nothing is left to do (delete {job.run.root} to train anew)")
            return 0
        job.attempt.root.mkdir(parents=True, exist_ok=True)
        if job.world_size == 1:
            os.environ.update(_only_rank(job))
            return None
        script = [str(Path(sys.argv[0]).absolute()), *sys.argv[1:]]
        code = launch.run_ranks(job, launch.torchrun_command(job, os.environ, program=script), also=(signal.SIGINT,))
    except HanseError as error:
        say(f"FAILED: {' — '.join(str(error).splitlines())}")
        return error.exit_code
    stopped = code == 0 and job.attempt.stop.exists() and not job.run.finished.exists()
    return STOPPED if stopped else code


def alone(script: Path, ranks: int) -> dict[str, str]:
    """The variables of a job on this machine: its run in `run/` beside the script, its attempt the next one."""
    if not script.is_file():
        raise UsageError(f"{script} is no file", fix="Call run(main) in a script that python can start again.")
    run = RunDir(script.parent / "run")
    run.root.mkdir(exist_ok=True)
    if not run.spec.exists():
        command = CommandSpec(run=f"python {script.name}", accelerators_per_node=ranks, resumes=True)
        name = "".join(c if c.isalnum() else "-" for c in script.stem.lower())
        spec = TrainSpec(name=name, command=command, where=WhereSpec(max_gpu_hours=1.0))
        run.spec.write_text(spec.model_dump_json(exclude_none=True), encoding="utf-8")
    number = 1 + max((int(each.name) for each in run.root.glob("attempts/*") if each.name.isdecimal()), default=0)
    return {
        jobenv.RUN_DIR: str(run.root), jobenv.ATTEMPT: str(number), jobenv.JOB_ID: "by-hand", jobenv.NODES: "1",
        jobenv.NODE_RANK: "0", jobenv.ACCELERATORS_PER_NODE: str(ranks), jobenv.RDZV_HOST: "127.0.0.1",
        jobenv.RDZV_PORT: str(_free_port()), jobenv.RDZV_ID: f"{script.stem}-{number}",
        jobenv.DATA_DIR: str(run.root / "data"),
    }  # fmt: skip


def _only_rank(job: Job) -> dict[str, str]:
    """What torchrun would set."""
    names = dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), "1") | dict.fromkeys(("RANK", "LOCAL_RANK"), "0")
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    return names | address | launch.rank_environment(job, os.environ)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
