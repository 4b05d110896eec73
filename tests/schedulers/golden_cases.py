"""The scripts on record: a fixed job of two nodes on every machine of the catalogue that has a Slurm, and a few more.

`tools/golden_scripts.py` writes them to tests/schedulers/golden; the test compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hanse.contracts.job import JobSpec, Step
from hanse.contracts.machine import Machine
from hanse.contracts.rundir import RunDir
from hanse.machines import catalogue
from hanse.schedulers.script import render
from tests.schedulers.jobs import job_of, shell

FOLDER = Path(__file__).parent / "golden"
TRAINING = (
    Step(name="prepare", argv=("hanse", "train", "--prepare"), nodes=1),
    Step(name="train", argv=("hanse", "train"), nodes=2),
)
IMAGES = {
    "lumi-g": "/scratch/project/images/lab.sif",
    "marenostrum5-acc": "/gpfs/projects/images/lab.sif",
    "jupiter-booster": "/e/project/images/lab.sif",
    "vega-gpu": "/images/lab.sif",
    "discoverer-plus": "/valhalla/projects/images/lab.sif",
}
"""A machine of each way to run an image: its own flag, a module in the step, Apptainer, a preparation, not known."""
CHAINS = ("leonardo-booster", "discoverer-plus")


def machines() -> tuple[Machine, ...]:
    """The catalogue's, with Python where an installation would have it rather than where this test runs."""
    found = (catalogue.load(one) for one in catalogue.ids())
    return tuple(_with_python(one) for one in found if one.scheduler.kind == "slurm")


def scripts() -> dict[str, str]:
    """Name of the file in `FOLDER` → text of the script."""
    return {f"{name}.sh": text for name, text in _all()}


def _all() -> Iterator[tuple[str, str]]:
    for machine in machines():
        training = job_for(machine, *TRAINING)
        yield machine.id, _text(training, machine)
        if machine.id in IMAGES:
            command = job_for(machine, shell("python fold.py 'chain A'", nodes=2, name="command"))
            command = command.model_copy(update={"image": IMAGES[machine.id], "uses_code_bundle": True})
            yield f"{machine.id}.image", _text(command, machine)
        if machine.id in CHAINS:
            yield f"{machine.id}.chain", _text(training, machine, after="4711")


def job_for(machine: Machine, *steps: Step) -> JobSpec:
    queue = machine.partitions[0] if machine.partitions else None
    return job_of(
        *steps, machine=machine.id, nodes=2, accelerators_per_node=machine.accelerators_per_node, wall_time_s=3600,
        stop_signal_before_s=300, account="project-1" if machine.scheduler.account_required else None,
        partition=queue and queue.name, qos=(queue and queue.qos) or ("project-1" if _wants_qos(machine) else None),
    )  # fmt: skip


def _wants_qos(machine: Machine) -> bool:
    return machine.scheduler.qos_required


def _with_python(machine: Machine) -> Machine:
    return machine.model_copy(
        update={"scheduler": machine.scheduler.model_copy(update={"python": "/opt/hanse/bin/python3"})}
    )


def _text(job: JobSpec, machine: Machine, *, after: str | None = None) -> str:
    run = RunDir(Path("/scratch/hanse/runs/r1"))
    return render(job, machine, run, ticket_key="a2V5", data_dir="/scratch/hanse/data", after=after)
