"""Context parallelism: every rank holds an early and a late piece of each sequence and sees all keys and values.

The sequence is cut in 2·cp pieces and rank r holds pieces r and 2·cp − 1 − r, so that causal attention costs all ranks
the same (Dubey et al. 2024, "The Llama 3 Herd of Models", 3.3.2). Keys and values are gathered before attention and
their gradients scattered after it: torch's own `context_parallel` does not run on CPUs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - the name everybody reads
from torch import Tensor

from hanse.training import compat


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPart:
    """What one of `ranks` ranks holds of a sequence."""

    rank: int
    ranks: int
    group: dist.ProcessGroup

    def positions(self, length: int, device: torch.device, rank: int | None = None) -> Tensor:
        """Of the tokens that this (or another) rank holds, of a sequence of `length`."""
        rank = self.rank if rank is None else rank
        piece = length // (2 * self.ranks)
        late = 2 * self.ranks - 1 - rank
        each = torch.arange(piece, device=device)
        return torch.cat((rank * piece + each, late * piece + each))

    def cut(self, tokens: Tensor) -> Tensor:
        """This rank's part of (batch, length)."""
        return tokens[:, self.positions(tokens.shape[1], tokens.device)]

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Causal attention of this rank's queries over everybody's keys; all (batch, heads, own length, head)."""
        length = q.shape[2] * self.ranks
        keys, values = _Gathered.apply(torch.stack((k, v)), self.group, self.ranks)
        own = self.positions(length, q.device)
        everyones = torch.cat([self.positions(length, q.device, rank) for rank in range(self.ranks)])
        mask = own[:, None] >= everyones[None, :]
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, enable_gqa=k.shape[1] != q.shape[1])


class _Gathered(torch.autograd.Function):
    """(2, batch, heads, own length, head) to the same of all ranks, one after another along the length."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, group: dist.ProcessGroup, ranks: int) -> Tensor:
        ctx.group, ctx.ranks = group, ranks
        received = own.new_empty((ranks * own.shape[0], *own.shape[1:]))
        compat.all_gather(received, own.contiguous(), group)
        return torch.cat(received.chunk(ranks), dim=3)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        parts = torch.cat(gradient.chunk(ctx.ranks, dim=3)).float()
        received = parts.new_empty((parts.shape[0] // ctx.ranks, *parts.shape[1:]))
        compat.reduce_scatter(received, parts, ctx.group)
        return received.to(gradient.dtype), None, None
