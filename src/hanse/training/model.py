"""The decoder of `ModelShape(family="llama")`: RMSNorm before, rotary positions, grouped-query attention, SwiGLU.

Rotary pairs are (i, i + head_dim/2), the convention of Hugging Face's Llama files, so that `export` only renames.
Initial values depend on (seed, parameter's name) alone: every layout starts from the same weights.
"""

from __future__ import annotations

import math
import zlib
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody reads
from torch import Tensor, nn

from hanse.contracts.errors import TrainingError
from hanse.contracts.workload import ModelShape
from hanse.workloads.supported import shape_refusal

NORM_EPSILON: Final = 1e-5
ROTARY_BASE: Final = 10_000.0


class Attention(nn.Module):
    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = shape.heads, shape.kv_heads, shape.head_dim
        kv = shape.kv_heads * shape.head_dim
        self.q = nn.Linear(shape.hidden, shape.hidden, bias=False)
        self.k = nn.Linear(shape.hidden, kv, bias=False)
        self.v = nn.Linear(shape.hidden, kv, bias=False)
        self.o = nn.Linear(shape.hidden, shape.hidden, bias=False)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        batch, length, hidden = x.shape
        q = rotate(self.q(x).view(batch, length, self.heads, self.head_dim).transpose(1, 2), rotary)
        k = rotate(self.k(x).view(batch, length, self.kv_heads, self.head_dim).transpose(1, 2), rotary)
        v = self.v(x).view(batch, length, self.kv_heads, self.head_dim).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.kv_heads != self.heads)
        out: Tensor = self.o(mixed.transpose(1, 2).reshape(batch, length, hidden))
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
        self.mlp = FeedForward(shape)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rotary)
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class Decoder(nn.Module):
    """Token ids (batch, length) to logits (batch, length, vocab)."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        if (because := shape_refusal(shape)) is not None:
            raise TrainingError(because, where="model", fix="Launch a model of the llama family, or give a module.")
        self.shape = shape
        self.rotary_base = ROTARY_BASE
        self.embed = nn.Embedding(shape.vocab, shape.hidden)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.hidden, eps=NORM_EPSILON)
        self.head = None if shape.tied_head else nn.Linear(shape.hidden, shape.vocab, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        rotary = rotary_table(
            tokens.shape[1], self.shape.head_dim, device=x.device, dtype=x.dtype, base=self.rotary_base
        )
        for block in self.blocks:
            x = block(x, rotary)
        x = self.norm(x)
        # A tied head reads the embedding's weight here rather than owning a second name for it: sharding
        # and to_empty() would otherwise untie the two.
        logits: Tensor = F.linear(x, self.embed.weight) if self.head is None else self.head(x)
        return logits


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
    deviation = 0.02 / math.sqrt(2 * layers) if name.endswith(("attention.o.weight", "mlp.down.weight")) else 0.02
    # The CPU's generator takes 32 bits of a seed and ignores the rest.
    source = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
    return torch.empty(size).normal_(0.0, deviation, generator=source)
