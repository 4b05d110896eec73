"""AdamW and its learning rate. The rate is a function of the step alone, so a resumed run needs no scheduler state."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.distributed.tensor import DTensor

from hanse.contracts.errors import TrainingError
from hanse.contracts.spec import OptimizerSpec, ScheduleSpec
from hanse.training.parallelize import Parallel


def make_optimizer(parallel: Parallel, spec: OptimizerSpec) -> torch.optim.Optimizer:
    """Weight decay on matrices only: norms and biases are left alone."""
    groups: dict[tuple[bool, object], list[torch.nn.Parameter]] = {}
    for each in parallel.parameters:
        # One fused step takes parameters of one mesh at a time.
        mesh = each.device_mesh if isinstance(each, DTensor) else None
        groups.setdefault((each.ndim >= 2, mesh), []).append(each)
    settings = [
        {"params": group, "weight_decay": spec.weight_decay if matrices else 0.0}
        for (matrices, _), group in groups.items()
    ]
    return torch.optim.AdamW(settings, lr=spec.lr, betas=spec.betas, fused=True)


def learning_rate(step: int, steps: int, optimizer: OptimizerSpec, schedule: ScheduleSpec) -> float:
    """At step 1 … steps: a straight rise over the warm-up, then level, or half a cosine down to `final`."""
    warmup = max(1, round(schedule.warmup * steps))
    if step <= warmup:
        return optimizer.lr * step / warmup
    if schedule.kind == "constant":
        return optimizer.lr
    progress = (step - warmup) / max(1, steps - warmup)
    return optimizer.lr * (schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * progress)) / 2)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


@contextmanager
def movement(parallel: Parallel, *, required: bool) -> Iterator[None]:
    """Around an optimiser's step: with `required`, proof that it moved the model's own parameters.

    An optimiser bound to a model that was replaced (a known fault of resumed runs) trains nothing, silently.
    """
    before = _fingerprint(parallel) if required else None
    yield
    if before is not None and len(before) and torch.equal(before, _fingerprint(parallel)):
        raise TrainingError(
            "the optimiser's first step moved no parameter of the model; training would be for nothing",
            fix="If the module is yours: does it return logits that depend on its parameters?",
        )


def _fingerprint(parallel: Parallel) -> torch.Tensor:
    """One number a parameter, of what this rank holds of it."""
    held = (each.to_local() if isinstance(each, DTensor) else each for each in parallel.parameters)
    return torch.stack([each.detach().double().square().sum() for each in held])
