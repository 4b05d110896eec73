"""`python -m hanse.training.count DIR/train.yaml`: the parameter count of an `entry:` module, for the planner."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from hanse.contracts.errors import HanseError, UsageError
from hanse.training import entry


def count(path: Path) -> int:
    """Trainable parameters of the module that train.yaml names; weights are not made where the module allows it."""
    from hanse.workloads.load import load_spec

    spec = load_spec(path)
    if spec.model is None or spec.model.entry is None:
        raise UsageError("it names no module of yours", where=f"{path}: model.entry")
    try:
        with torch.device("meta"):
            module = entry.build(spec.model, path.absolute().parent)
    except (NotImplementedError, RuntimeError):
        module = entry.build(spec.model, path.absolute().parent)
    return sum(each.numel() for each in module.parameters() if each.requires_grad)


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{count(Path(sys.argv[1]))}\n")
    except HanseError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
