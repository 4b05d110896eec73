"""What a job's processes find in their environment, the same under every scheduler, and what they must not find.

Jobs inherit the agent's environment (paths, modules, locale) without Hanse's own settings and secrets: a job never
holds a token of the service.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from hanse.contracts import jobenv
from hanse.contracts.job import JobSpec
from hanse.contracts.rundir import RunDir

_SECRET_NAMES = frozenset({"DATABASE_URL", "SECRET_KEY"})
_SECRET_PREFIXES = ("HANSE_", "DJANGO_")


def inherited(without_prefixes: tuple[str, ...] = ()) -> dict[str, str]:
    """This process's environment without Hanse's settings, secrets, and names beginning with one of the prefixes."""
    refused = _SECRET_PREFIXES + without_prefixes
    return {k: v for k, v in os.environ.items() if k not in _SECRET_NAMES and not k.startswith(refused)}


@cache
def source_root() -> Path | None:
    """The folder that makes `import hanse` this very installation, or None where the interpreter finds it unaided."""
    root = Path(__file__).resolve().parents[2]
    installed = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}
    return None if root in installed else root


def python_path(environment: Mapping[str, str]) -> dict[str, str]:
    """PYTHONPATH with this installation first, where it needs to be said at all."""
    root = source_root()
    if root is None:
        return {}
    rest = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys([str(root), *rest]))}


def resolved(argv: tuple[str, ...], python: str | None = None) -> list[str]:
    """`argv` with 'hanse' replaced by an interpreter that runs it."""
    return [python or sys.executable, "-m", "hanse", *argv[1:]] if argv[0] == "hanse" else list(argv)


def is_own(argv: tuple[str, ...]) -> bool:
    return argv[0] == "hanse"


def job_variables(job: JobSpec, run_dir: RunDir, *, ticket_key: str, data_dir: str) -> dict[str, str]:
    """The variables of `jobenv` that are the same for every node and step and known before the job has an id."""
    return {
        jobenv.RUN_DIR: str(run_dir.root),
        jobenv.ATTEMPT: str(job.attempt_number),
        jobenv.ACCELERATORS_PER_NODE: str(job.accelerators_per_node),
        jobenv.TICKET_KEY: ticket_key,
        jobenv.DATA_DIR: data_dir,
    }


def working_folder(job: JobSpec, run_dir: RunDir) -> Path:
    return run_dir.code if job.uses_code_bundle else run_dir.attempt(job.attempt_number).root


def stop_signal_at_s(job: JobSpec) -> int | None:
    """Seconds after the start at which the stop signal is sent; None for never.

    It never comes in the first half of the wall time: a job of 30 s that asks for a minute's warning would be
    signalled before it could listen.
    """
    if job.stop_signal_before_s == 0:
        return None
    return job.wall_time_s - min(job.stop_signal_before_s, job.wall_time_s // 2)
