"""The fence around the work: of all jobs submitted for an attempt one works, and none once the run is finished."""

from __future__ import annotations

import shlex

from hanse.contracts.job import JobSpec
from hanse.contracts.rundir import RunDir
from hanse.schedulers.claim import is_command
from hanse.schedulers.script_lines import CANNOT_CREATE, Lines


def fence(job: JobSpec, run_dir: RunDir) -> Lines:
    one_works = "the fence: of all jobs submitted for this attempt one works"
    return [
        (f"hanse_run={shlex.quote(str(run_dir.root))}", "everything of the run lies here"),
        (f"hanse_attempt={shlex.quote(str(run_dir.attempt(job.attempt_number).root))}", "and of this attempt, here"),
        (
            'if (set -o noclobber; echo "$SLURM_JOB_ID" > "$hanse_attempt/claim") 2>/dev/null; then',
            f"{one_works}; the shell creates the claim exclusively (O_EXCL)",
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
        ("fi", one_works),
        ('if [ -e "$hanse_run/FINISHED" ]; then', "a job that waited in the queue may find the run finished"),
        ('  echo "hanse: job $SLURM_JOB_ID: the run was finished already"', "said in the log"),
        ("  exit 0", "nothing is left to do"),
        ("fi", "the run is not finished"),
        ("", ""),
    ]


def end(job: JobSpec) -> Lines:
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
