"""`compile: true` needs a compiler where the ranks run: looked for before data are prepared or torch is loaded."""

from __future__ import annotations

import os
import shutil
from typing import Final

from hanse.contracts.errors import UsageError
from hanse.contracts.machine import Machine
from hanse.training.job import Job

COMPILERS: Final = {"CXX": ("g++", "clang++"), "CC": ("gcc", "clang", "cc")}
"""By the variable that names another one: of C++ for processors, of C for what a GPU's kernels are launched with."""


def require(job: Job) -> None:
    """Raises UsageError where train.yaml asks for compiled blocks and this node has nothing to compile them with."""
    if not job.spec.compile:
        return
    machine = Machine.from_json(job.run.machine.read_bytes()) if job.run.machine.is_file() else None
    gpu = machine is not None and machine.accelerator.kind != "cpu"
    variable = "CC" if gpu else "CXX"
    known = (os.environ[variable],) if os.environ.get(variable) else COMPILERS[variable]
    if not any(shutil.which(each.split()[0]) for each in known):
        raise UsageError(
            f"compile: true needs a {'C' if gpu else 'C++'} compiler on this node, and it has none: no "
            f"{' or '.join(known)}", where="train.yaml, key compile",
            fix="Load the site's compiler module, take an image with one, or drop compile.",
        )  # fmt: skip
