"""What happens to gradients between the last backward pass and the optimiser: summed over ranks, measured, clipped.

DDP and FSDP reduce gradients themselves. What is left to this module: axes that neither knows (cp, and dp beside tp or
pp), experts' gradients, and a tied embedding that two pipeline stages hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

BUCKET_ELEMENTS: Final = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Gradients of these parameters are summed over the ranks of the group, then divided."""

    parameters: tuple[nn.Parameter, ...]
    group: dist.ProcessGroup | None
    """None: divided only."""
    divide: float = 1.0


def settle(parameters: Iterable[nn.Parameter]) -> None:
    """Turn gradients that DTensor left as summands (norms under sequence parallelism) into whole ones."""
    for each in parameters:
        if isinstance(each.grad, DTensor) and isinstance(each, DTensor) and each.grad.placements != each.placements:
            each.grad = each.grad.redistribute(placements=each.placements)


@torch.no_grad()
def reduce(sums: Iterable[Sum]) -> None:
    for each in sums:
        for bucket in _buckets([held(p.grad) for p in each.parameters if p.grad is not None]):
            if each.group is None:
                torch._foreach_div_(bucket, each.divide)
                continue
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            dist.all_reduce(flat, group=each.group)
            flat /= each.divide
            parts = flat.split([gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))


@torch.no_grad()
def total_norm(counted: Iterable[tuple[nn.Parameter, float]], device: torch.device) -> Tensor:
    """2-norm of the gradients of the whole model; each parameter with how often ranks hold the same part of it."""
    squares = torch.zeros((), dtype=torch.float64, device=device)
    for parameter, times in counted:
        if parameter.grad is not None:
            squares += held(parameter.grad).float().square().sum(dtype=torch.float64) / times
    dist.all_reduce(squares)
    return squares.sqrt()


@torch.no_grad()
def clip(parameters: Iterable[nn.Parameter], *, norm: Tensor, limit: float) -> None:
    """As torch's clip_grads_with_norm_, for parameters of any mix of meshes."""
    factor = (limit / (norm + 1e-6)).clamp(max=1.0)
    for each in parameters:
        if each.grad is not None:
            held(each.grad).mul_(factor.to(each.grad.dtype))


def held(tensor: Tensor) -> Tensor:
    """This rank's part, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _buckets(gradients: list[Tensor]) -> Iterator[list[Tensor]]:
    """In order, of one dtype each, up to `BUCKET_ELEMENTS` where a gradient is not larger itself."""
    bucket: list[Tensor] = []
    size = 0
    for each in gradients:
        if bucket and (size + each.numel() > BUCKET_ELEMENTS or each.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(each)
        size += each.numel()
    if bucket:
        yield bucket
