"""What is trained, as the planner sees it: shape, parameters, FLOPs and bytes, free of how and where."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from hanse.contracts.base import Contract, Count, Identifier, Positive

Precision = Literal["fp32", "bf16", "fp8"]


class ModelShape(Contract):
    """A decoder-only transformer. Sizes are counts of elements; `context` is the sequence length in tokens."""

    family: Literal["llama"] = "llama"
    """llama: pre-norm RMSNorm, rotary positions, grouped-query attention, gated (SwiGLU) feed-forward."""
    layers: Positive
    hidden: Positive
    heads: Positive
    kv_heads: Positive
    ffn: Positive
    vocab: Positive
    context: Positive
    tied_head: bool = True
    """The output projection shares the embedding's weights."""

    @model_validator(mode="after")
    def _divisible(self) -> ModelShape:
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} is not a multiple of heads {self.heads}")
        if self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        if (self.hidden // self.heads) % 2:
            raise ValueError(f"head size {self.hidden // self.heads} is odd; rotary positions need an even one")
        return self

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads


class Workload(Contract):
    """One training to be planned. `global_batch` is in sequences of `context` tokens."""

    name: Identifier
    shape: ModelShape | None = None
    """None for a module of the user's, of which only the parameter count is known."""
    context: Positive
    vocab: Positive
    global_batch: Positive
    total_tokens: Positive
    precision: Precision = "bf16"
    parameters: Positive
    """All trainable parameters."""
    embedding_parameters: Count = 0
    flops_per_token: float = Field(gt=0)
    """Model FLOPs for forward and backward of one token, without recompute."""

    @property
    def tokens_per_step(self) -> int:
        return self.global_batch * self.context

    @property
    def steps(self) -> int:
        return -(-self.total_tokens // self.tokens_per_step)
