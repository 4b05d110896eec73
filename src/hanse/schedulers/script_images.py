"""An image by the machine's own runtime: a command before the step's, or options of srun. The image brings its hanse.

What a machine cannot do with images it says itself (`SchedulerFacts.cannot`), and the job is refused in those words.
"""

from __future__ import annotations

import re
from typing import Final

from hanse.contracts.errors import SiteError
from hanse.contracts.job import JobSpec
from hanse.contracts.machine import Machine
from hanse.contracts.rundir import RunDir

_GPU_FLAGS: Final = {"cuda": "--nv", "rocm": "--rocm"}
_REMOTE: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
"""'docker://…', 'oras://…': an image that is not a file yet."""


def refuse_what_cannot_run(job: JobSpec, machine: Machine) -> None:
    """Raises SiteError where the machine runs no images, or none that has to be fetched from the compute nodes."""
    if job.image is None:
        return
    if (inability := machine.scheduler.inability("images")) is not None:
        raise SiteError(
            f"{machine.name} runs no images: {inability.reason}", where=job.image,
            fix=inability.instead or "Leave out `image`.",
        )  # fmt: skip
    if machine.scheduler.container_runtime == "none":
        raise SiteError(f"{machine.name} has nothing that runs an image", where=job.image, fix="Leave out `image`.")
    if machine.internet_on_compute is False and _REMOTE.match(job.image):
        raise SiteError(
            f"the compute nodes of {machine.name} reach no registry", where=job.image,
            fix="Make a file of the image elsewhere (apptainer pull), copy it there, and name its path.",
        )  # fmt: skip


def in_image(job: JobSpec, machine: Machine, run_dir: RunDir, data_dir: str) -> list[str]:
    """The command that runs the step's command in the image; empty where srun does it or there is no image."""
    runtime = machine.scheduler.container_runtime
    if job.image is None or runtime in ("pyxis", "container-engine"):
        return []
    flag = machine.scheduler.container_gpu_flag
    flag = _GPU_FLAGS.get(machine.accelerator.kind, "") if flag is None else flag
    binds = ",".join(_folders(machine, run_dir, data_dir))
    # `singularity` is there under Singularity and Apptainer alike, for machines that do not say which.
    return [runtime or "singularity", "exec", *filter(None, [flag]), "--bind", binds, job.image]


def srun_image_flags(job: JobSpec, machine: Machine, run_dir: RunDir, data_dir: str) -> list[str]:
    """The options by which Slurm's own plugins (Pyxis, the Container Engine) put a step into an image."""
    if job.image is None:
        return []
    if machine.scheduler.container_runtime == "container-engine":
        return [f"--environment={job.image}"]
    if machine.scheduler.container_runtime == "pyxis":
        mounts = ",".join(one if ":" in one else f"{one}:{one}" for one in _folders(machine, run_dir, data_dir))
        return [f"--container-image={job.image}", f"--container-mounts={mounts}"]
    return []


def _folders(machine: Machine, run_dir: RunDir, data_dir: str) -> list[str]:
    folders = [str(run_dir.root), data_dir, *machine.scheduler.container_binds]
    if odd := next((one for one in folders[:2] if "," in one or ":" in one), None):
        raise SiteError("a folder with a comma or a colon in its path cannot be bound into an image", where=odd)
    return list(dict.fromkeys(filter(None, folders)))
