"""Losses where some tokens are only read: a token t that is not learned comes as -1 - t, in layouts of dp and fsdp.

The mean is over what the whole step learns, not over each rank's or micro-batch's share of it: so it is the same
whatever the layout.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - the name everybody reads
from torch import Tensor

UNLEARNED: Final = -1
"""In the place of a target that is only read."""


def cut(ids: Tensor) -> tuple[Tensor, Tensor]:
    """What the model reads, and what it is asked for."""
    inputs, targets = ids[:, :-1], ids[:, 1:]
    return torch.where(inputs < 0, -1 - inputs, inputs).contiguous(), targets.clamp(min=UNLEARNED)


def learned_by_all(targets: Tensor) -> Tensor:
    """How many tokens the ranks learn in this step, divided by the ranks; called by all of them."""
    count = (targets != UNLEARNED).sum().double()
    dist.all_reduce(count)
    return count.clamp(min=1) / dist.get_world_size()


def loss_sum(logits: Tensor, targets: Tensor) -> Tensor:
    """Over the tokens learned, in nats."""
    return F.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=UNLEARNED, reduction="sum"
    )  # fmt: skip
