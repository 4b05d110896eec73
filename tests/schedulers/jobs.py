"""Jobs small enough to read in one line, and folders for them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hanse.contracts.job import FINAL_JOB_STATES, JobReport, JobSpec, Step
from hanse.contracts.rundir import RunDir
from hanse.schedulers.base import Scheduler
from tests.waiting import until


def shell(text: str, *, nodes: int = 1, name: str = "train") -> Step:
    return Step(name=name, argv=("bash", "-c", text), nodes=nodes)


def python(text: str, *, nodes: int = 1, name: str = "train") -> Step:
    return Step(name=name, argv=(sys.executable, "-c", text), nodes=nodes)


def job_of(*steps: Step, name: str = "hanse-a1", **changes: Any) -> JobSpec:
    values: dict[str, Any] = {
        "name": name, "run_id": "r1", "attempt_id": name.removeprefix("hanse-"), "attempt_number": 1,
        "machine": "local", "nodes": max(step.nodes for step in steps), "accelerators_per_node": 1,
        "wall_time_s": 600, "steps": steps,
    }  # fmt: skip
    return JobSpec(**(values | changes))


def run_dir_in(folder: Path, attempt: int = 1) -> RunDir:
    run_dir = RunDir(folder)
    run_dir.attempt(attempt).root.mkdir(parents=True, exist_ok=True)
    return run_dir


def submit(scheduler: Scheduler, job: JobSpec, run_dir: RunDir) -> str:
    return scheduler.submit(job, run_dir, ticket_key="a2V5", data_dir="/data")


def report(scheduler: Scheduler, name: str, job_id: str) -> JobReport:
    return next(found for found in scheduler.observe({name: job_id})[name] if found.job_id == job_id)


def ended(scheduler: Scheduler, name: str, job_id: str, *, within_s: float = 30.0) -> JobReport:
    return until(
        lambda: (found := report(scheduler, name, job_id)).state in FINAL_JOB_STATES and found,
        within_s=within_s,
        what=f"the end of {name}",
        every_s=0.1,
    )


def running(scheduler: Scheduler, name: str, job_id: str) -> JobReport:
    return until(
        lambda: (found := report(scheduler, name, job_id)).state == "running" and found, what=f"the start of {name}"
    )


def text_of(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
