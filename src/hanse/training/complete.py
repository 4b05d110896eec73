"""COMPLETE, the file that makes a folder a checkpoint, and what can be said of a run's checkpoints without torch.

The launcher reads it before a rank is started: a checkpoint of another model costs no minute of a node.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from hanse.contracts.base import Contract, Positive, Sha256
from hanse.contracts.errors import NotAsWritten
from hanse.training.job import Job
from hanse.training.position import Position

COMPLETE: Final = "COMPLETE"
NAMES: Final = "step-" + "[0-9]" * 8


class Complete(Contract):
    """What a whole checkpoint says of itself."""

    position: Position
    attempt: Positive
    layout: str
    files: dict[str, Sha256]
    model: Sha256 | None = None
    """Of what was trained (`model_identity`); None in those written before it was told."""


def whole(root: Path) -> list[Path]:
    """Folders under a checkpoint's final name, newest first."""
    return sorted(root.glob(NAMES), reverse=True)


def read(folder: Path) -> Complete | None:
    try:
        return Complete.from_json((folder / COMPLETE).read_bytes())
    except (OSError, ValidationError):
        return None


def model_identity(job: Job) -> str:
    """SHA-256 of what decides which weights there are; sequence length and data are none of it."""
    if job.spec.model is None:  # a loop of the user's own: its module is held against the checkpoint name by name
        return hashlib.sha256(f"own loop {job.spec.name}".encode()).hexdigest()
    shape = job.shape
    model = shape.model_dump(mode="json", exclude={"context"}) if shape else {"entry": job.model.entry}
    lora = job.spec.lora.model_dump(mode="json") if job.spec.lora else {}
    trained = {"model": model, "adapters": lora if job.spec.training == "lora" else None}
    return hashlib.sha256(json.dumps(trained, sort_keys=True).encode()).hexdigest()


def refuse_another_model(job: Job) -> None:
    """Raises NotAsWritten if the run's newest checkpoint was written of another model."""
    for folder in whole(job.run.checkpoints):
        complete = read(folder)
        if complete is None:
            continue  # damaged: the ranks set it aside and look at the one before
        if complete.model is not None and complete.model != model_identity(job):
            raise of_another_model(folder, "train.yaml describes another one")
        return


def of_another_model(folder: Path, how: str) -> NotAsWritten:
    return NotAsWritten(
        f"it is whole and of another model: {how}", where=str(folder),
        fix="Bring train.yaml and your module back as they were, or launch a new run; nothing was changed.",
    )  # fmt: skip
