"""The mixture of experts of the built-in family: Mixtral's (Jiang et al. 2024), no token dropped.

A linear router gives each token its `active` best experts, weighted by the softmax over these. With expert parallelism
a rank holds `count / ep` experts: tokens travel to their experts and back by two all-to-alls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - the name everybody reads
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Partial

from hanse.contracts.workload import Experts


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertRanks:
    """The ranks that share one set of experts."""

    ranks: int
    group: dist.ProcessGroup


class ExpertWeights(nn.Module):
    """All (or this rank's) experts' weights, stacked: a step of every expert is one parameter."""

    def __init__(self, experts: Experts, hidden: int) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.empty(experts.count, experts.ffn, hidden))
        self.up = nn.Parameter(torch.empty(experts.count, experts.ffn, hidden))
        self.down = nn.Parameter(torch.empty(experts.count, hidden, experts.ffn))

    def forward(self, tokens: Tensor, counts: list[int]) -> Tensor:
        """Tokens (rows, hidden) sorted by expert, of which each of the held experts has so many."""
        gate, up, down = (local(each) for each in (self.gate, self.up, self.down))
        done = [
            F.linear(F.silu(F.linear(rows, gate[expert])) * F.linear(rows, up[expert]), down[expert])
            for expert, rows in enumerate(tokens.split(counts))
        ]
        return torch.cat(done)


class Mixture(nn.Module):
    def __init__(self, experts: Experts, hidden: int) -> None:
        super().__init__()
        self.count, self.active = experts.count, experts.active
        self.router = nn.Linear(hidden, experts.count, bias=False)
        self.experts = ExpertWeights(experts, hidden)
        self.ranks: ExpertRanks | None = None
        """Set where experts are spread over ranks."""

    def forward(self, x: Tensor) -> Tensor:
        # With tp every rank has a part of each expert's width, so its gradients of tokens and router are summands.
        x = local(x, partial=True)
        tokens = x.reshape(-1, x.shape[-1])
        # Routing in fp32: which experts are best must not hang on the precision.
        scores = F.linear(tokens, local(self.router.weight, partial=True))
        best, which = scores.float().topk(self.active, dim=-1)
        weights = best.softmax(dim=-1).to(tokens.dtype)
        order = which.flatten().argsort(stable=True)
        rows = order.div(self.active, rounding_mode="floor")
        counts = which.flatten().bincount(minlength=self.count) if not _valueless(which) else None
        sent = tokens[rows]
        done = self._here(sent, counts) if self.ranks is None else self._there(sent, counts, self.ranks)
        mixed = torch.zeros_like(tokens).index_add(0, rows, (done * weights.flatten()[order, None]).to(tokens.dtype))
        return mixed.view_as(x)

    def _here(self, sent: Tensor, counts: Tensor | None) -> Tensor:
        out: Tensor = self.experts(sent, _numbers(counts, self.count, len(sent)))
        return out

    def _there(self, sent: Tensor, counts: Tensor | None, ranks: ExpertRanks) -> Tensor:
        """Send rows to the ranks that hold their experts, and bring what these make of them back."""
        held = self.count // ranks.ranks
        if counts is None:
            going = coming = _even(len(sent), ranks.ranks)
            here = _even(len(sent), held)
            arrived = _Exchanged.apply(sent, coming, going, ranks.group)
            return _Exchanged.apply(self.experts(arrived, here), going, coming, ranks.group)  # type: ignore[no-any-return]
        theirs = torch.empty_like(counts)
        dist.all_to_all_single(theirs, counts, group=ranks.group)
        theirs = theirs.view(ranks.ranks, held)
        going = counts.view(ranks.ranks, held).sum(1).tolist()
        coming = theirs.sum(1).tolist()
        arrived = _Exchanged.apply(sent, coming, going, ranks.group)
        # They come sorted by sender, then expert; the weights want them by expert.
        expert = torch.arange(held, device=sent.device).repeat(ranks.ranks).repeat_interleave(theirs.flatten())
        order = expert.argsort(stable=True)
        done = self.experts(arrived[order], theirs.sum(0).tolist())
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        returned: Tensor = _Exchanged.apply(done[back], going, coming, ranks.group)
        return returned


class _Exchanged(torch.autograd.Function):
    """Rows sent to every rank of the group, so many each; gradients go the way back."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, coming: list[int], going: list[int], group: dist.ProcessGroup) -> Tensor:
        ctx.splits, ctx.group = (going, coming), group
        received = rows.new_empty((sum(coming), *rows.shape[1:]))
        dist.all_to_all_single(received, rows.contiguous(), coming, going, group=group)
        return received

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        going, coming = ctx.splits
        received = gradient.new_empty((sum(going), *gradient.shape[1:]))
        dist.all_to_all_single(received, gradient.contiguous(), going, coming, group=ctx.group)
        return received, None, None, None


def one_by_one(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Stacked experts as one matrix each: 'experts.gate' of 8 experts as 'experts.0.gate.weight' … 'experts.7.…'."""
    found = {}
    for name, value in weights.items():
        before, stacked, part = name.partition(".experts.")
        if not stacked or value.ndim != 3:
            found[name] = value
            continue
        found |= {f"{before}.experts.{number}.{part}.weight": each for number, each in enumerate(value)}
    return found


def local(tensor: Tensor, *, partial: bool = False) -> Tensor:
    """What this rank holds; `partial`: its gradient here is one summand of the whole."""
    if not isinstance(tensor, DTensor):
        return tensor
    if partial:
        return tensor.to_local(grad_placements=[Partial() for _ in tensor.placements])
    return tensor.to_local()


def _valueless(tensor: Tensor) -> bool:
    """Tensors of a dry run have shapes and no values; tokens are then taken to spread evenly."""
    from torch._subclasses.fake_tensor import FakeTensor

    return tensor.is_meta or isinstance(tensor, FakeTensor)


def _numbers(counts: Tensor | None, parts: int, rows: int) -> list[int]:
    return _even(rows, parts) if counts is None else counts.tolist()


def _even(rows: int, parts: int) -> list[int]:
    each, over = divmod(rows, parts)
    return [each + (part < over) for part in range(parts)]
