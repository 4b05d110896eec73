"""The built-in decoder: RMSNorm before, rotary positions, grouped-query attention, SwiGLU or a mixture of such experts.

Rotary pairs are (i, i + head_dim/2), the convention of Hugging Face's Llama files, so that `export` only renames.
Initial values depend on (seed, parameter's name) alone: every layout starts from the same weights. A part of it is a
pipeline's stage: parameters keep the names they have in the whole.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody reads
from torch import Tensor, nn

from hanse.contracts.errors import TrainingError
from hanse.contracts.workload import ModelShape
from hanse.training.context import ContextPart
from hanse.training.experts import Mixture
from hanse.workloads.supported import shape_refusal

NORM_EPSILON: Final = 1e-5
ROTARY_BASE: Final = 10_000.0


class Attention(nn.Module):
    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.head_dim = shape.head_dim
        self.context: ContextPart | None = None
        """Set where a sequence is spread over ranks."""
        kv = shape.kv_heads * shape.head_dim
        self.q = nn.Linear(shape.hidden, shape.hidden, bias=False)
        self.k = nn.Linear(shape.hidden, kv, bias=False)
        self.v = nn.Linear(shape.hidden, kv, bias=False)
        self.o = nn.Linear(shape.hidden, shape.hidden, bias=False)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        batch, length, _ = x.shape
        # With tensor parallelism a rank has some of the heads only.
        q = rotate(self.q(x).view(batch, length, -1, self.head_dim).transpose(1, 2), rotary)
        k = rotate(self.k(x).view(batch, length, -1, self.head_dim).transpose(1, 2), rotary)
        v = self.v(x).view(batch, length, -1, self.head_dim).transpose(1, 2)
        if self.context is not None:
            mixed = self.context.attend(q, k, v)
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=k.shape[1] != q.shape[1])
        out: Tensor = self.o(mixed.transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.gate = nn.Linear(shape.hidden, shape.ffn, bias=False)
        self.up = nn.Linear(shape.hidden, shape.ffn, bias=False)
        self.down = nn.Linear(shape.ffn, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return out


class Block(nn.Module):
    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.hidden, eps=NORM_EPSILON)
        self.attention = Attention(shape)
        self.mlp_norm = nn.RMSNorm(shape.hidden, eps=NORM_EPSILON)
        self.mlp = FeedForward(shape) if shape.experts is None else Mixture(shape.experts, shape.hidden)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rotary)
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class Decoder(nn.Module):
    """Token ids (batch, length) to logits (batch, length, vocab).

    A part of it holds the blocks numbered in `blocks`: the first takes token ids, the last gives logits, the others
    take and give the residual stream (batch, length, hidden).
    """

    def __init__(self, shape: ModelShape, blocks: range | None = None) -> None:
        super().__init__()
        if (because := shape_refusal(shape)) is not None:
            raise TrainingError(because, where="model", fix="Launch a model of the llama family, or give a module.")
        self.shape = shape
        self.rotary_base = ROTARY_BASE
        numbers = range(shape.layers) if blocks is None else blocks
        self.first, self.last = numbers.start == 0, numbers.stop == shape.layers
        holds_embedding = self.first or (self.last and shape.tied_head)
        self.embed = nn.Embedding(shape.vocab, shape.hidden) if holds_embedding else None
        self.blocks = nn.ModuleList()
        for number in numbers:
            self.blocks.add_module(str(number), Block(shape))
        self.norm = nn.RMSNorm(shape.hidden, eps=NORM_EPSILON) if self.last else None
        own_head = self.last and not shape.tied_head
        self.head = nn.Linear(shape.hidden, shape.vocab, bias=False) if own_head else None
        self.context: ContextPart | None = None
        """Set where a sequence is spread over ranks."""
        self.stream_parts = 1
        """Ranks over which the residual stream's sequence is split (sequence parallelism)."""
        self.tied: Callable[[Tensor, Tensor], Tensor] = F.linear
        """The tied head's product, replaced where the embedding is split over ranks."""

    def forward(self, inputs: Tensor) -> Tensor:
        x = inputs
        length = inputs.shape[1] * (1 if self.first else self.stream_parts)
        if self.first:
            assert self.embed is not None
            x = self.embed(inputs)
        rotary = self._rotary(length, x)
        for block in self.blocks:
            x = block(x, rotary)
        if self.norm is None:
            return x
        x = self.norm(x)
        # A tied head reads the embedding's weight here rather than owning a second name for it: sharding
        # and to_empty() would otherwise untie the two.
        logits: Tensor = self.head(x) if self.head is not None else self.tied(x, self.embed.weight)  # type: ignore[union-attr]
        return logits

    def _rotary(self, length: int, x: Tensor) -> tuple[Tensor, Tensor]:
        size = self.shape.head_dim
        if self.context is None:
            return rotary_table(length, size, device=x.device, dtype=x.dtype, base=self.rotary_base)
        whole = length * self.context.ranks
        cos, sin = rotary_table(whole, size, device=x.device, dtype=x.dtype, base=self.rotary_base)
        own = self.context.positions(whole, x.device)
        return cos[own], sin[own]


def rotary_table(
    length: int, head_dim: int, *, device: torch.device, dtype: torch.dtype, base: float = ROTARY_BASE
) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (length, head_dim)."""
    rates = base ** (-torch.arange(0, head_dim, 2, device=device, dtype=torch.float32) / head_dim)
    angles = torch.outer(torch.arange(length, device=device, dtype=torch.float32), rates).repeat(1, 2)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = (part.to(x.dtype) for part in rotary)
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def initial_value(name: str, size: torch.Size, *, layers: int, seed: int) -> Tensor:
    """The first value of one parameter of `Decoder`, on the CPU in fp32: a function of its name and the seed."""
    if "norm" in name:
        return torch.ones(size)
    # Projections that add to the residual stream are scaled down by its depth (GPT-2).
    to_stream = name.endswith(("attention.o.weight", "mlp.down.weight", "mlp.experts.down"))
    deviation = 0.02 / math.sqrt(2 * layers) if to_stream else 0.02
    # The CPU's generator takes 32 bits of a seed and ignores the rest.
    source = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
    return torch.empty(size).normal_(0.0, deviation, generator=source)
