"""What is trained, as the planner sees it: shape, parameters, FLOPs and bytes, free of how and where."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from hanse.contracts.base import Bytes, Contract, Count, Identifier, Positive

Precision = Literal["fp32", "bf16", "fp8"]
Training = Literal["pretraining", "finetuning", "lora"]


class Experts(Contract):
    """A mixture of experts in place of the feed-forward."""

    count: Positive
    """Routed experts of a layer."""
    active: Positive
    """Routed experts a token passes through (top-k)."""
    ffn: Positive
    """Inner width of one routed expert."""
    shared_ffn: Count = 0
    """Inner width of what every token passes through beside them, all shared experts together."""
    dense_layers: Count = 0
    """Layers that keep a dense feed-forward of width `ffn` of the shape."""

    @model_validator(mode="after")
    def _enough(self) -> Experts:
        if self.active > self.count:
            raise ValueError(f"active {self.active} is more than the {self.count} experts there are")
        return self


class LatentAttention(Contract):
    """Multi-head latent attention (DeepSeek-V2): keys and values come from one narrow latent vector a token."""

    q_rank: Positive | None = None
    """Width of the queries' latent vector; None: queries are projected directly."""
    kv_rank: Positive
    nope_dim: Positive
    """A head's part without positions."""
    rope_dim: Positive
    """A head's rotary part, of which all heads share the key."""
    v_dim: Positive


class ModelShape(Contract):
    """A transformer. Sizes are counts of elements; `context` is the sequence length in tokens (or patches).

    `llama` is what Hanse's trainer builds: pre-norm RMSNorm, rotary positions, grouped-query attention, gated (SwiGLU)
    feed-forward, no biases. Every other decoder is described by the fields under `family: decoder`; encoders see the
    whole sequence, and a `vit` takes patches and has `vocab` classes.
    """

    family: Literal["llama", "decoder", "encoder", "vit"] = "llama"
    layers: Positive
    hidden: Positive
    heads: Positive
    kv_heads: Positive
    ffn: Positive
    """Inner width of the dense feed-forward."""
    vocab: Positive
    context: Positive
    tied_head: bool = True
    """The output projection shares the embedding's weights."""
    head_size: Positive | None = None
    """None: hidden / heads."""
    gated: bool = True
    norm: Literal["rms", "layer"] = "rms"
    biases: Literal["none", "qkv", "all"] = "none"
    positions: Literal["rotary", "learned", "alibi", "none"] = "rotary"
    qk_norm: bool = False
    window: Positive | None = None
    """Tokens a sliding-window layer sees."""
    full_attention_every: Positive | None = None
    """With `window`: one layer in so many sees the whole sequence; None: none does."""
    latent: LatentAttention | None = None
    experts: Experts | None = None
    mtp_layers: Count = 0
    """Further blocks that predict tokens beyond the next one in training (DeepSeek-V3)."""
    patch_elements: Positive | None = None
    """Of a `vit`: numbers in one patch (channels × height × width)."""
    layer_norms: Count = 2
    """Norms of one block beside those of queries and keys; 1 where attention and feed-forward share one, 4 in Gemma."""
    extra_parameters: Count = 0
    """Of small parts that no other field describes: a norm after the embedding, token types, attention sinks."""

    @model_validator(mode="after")
    def _divisible(self) -> ModelShape:
        if self.head_size is None and self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} is not a multiple of heads {self.heads}")
        if self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        if self.positions == "rotary" and self.head_dim % 2:
            raise ValueError(f"head size {self.head_dim} is odd; rotary positions need an even one")
        if self.experts is not None and self.experts.dense_layers > self.layers:
            raise ValueError(f"dense_layers {self.experts.dense_layers} is more than layers {self.layers}")
        if self.full_attention_every is not None and self.window is None:
            raise ValueError("full_attention_every needs window beside it")
        if self.latent is not None and self.biases != "none":
            raise ValueError("latent attention is known without biases only; drop biases or latent")
        if (self.family == "vit") != (self.patch_elements is not None):
            raise ValueError("family: vit needs patch_elements, and only vit has them")
        return self

    @model_validator(mode="after")
    def _plain_llama(self) -> ModelShape:
        if self.family != "llama":
            return self
        plain = {
            "head_size": None, "gated": True, "norm": "rms", "biases": "none", "positions": "rotary", "qk_norm": False,
            "window": None, "latent": None, "experts": None, "mtp_layers": 0, "layer_norms": 2, "extra_parameters": 0,
        }  # fmt: skip
        other = [name for name, value in plain.items() if getattr(self, name) != value]
        if other:
            raise ValueError(f"family: llama has no {' and '.join(other)} of its own; write family: decoder")
        return self

    @property
    def head_dim(self) -> int:
        return self.head_size or self.hidden // self.heads

    @property
    def causal(self) -> bool:
        return self.family in ("llama", "decoder")


class Lora(Contract):
    """Low-rank adapters: only they are trained (Hu et al. 2021)."""

    rank: Positive = 16
    targets: Literal["attention", "all"] = "all"
    """Which products get one: attention's, or the feed-forward's too."""
    alpha: Positive | None = None
    """An adapter counts alpha / rank times; None: twice the rank."""


class Block(Contract):
    """One piece of a traced module that repeats; counts are for one sequence through one of them."""

    name: str
    repeats: Positive = 1
    parameters: Count
    forward_flops: float = Field(ge=0)
    """Of its matrix products, convolutions and attention."""
    elementwise_bytes: float = Field(ge=0)
    """Read and written by all that is no product, forward."""
    activation_bytes: Bytes
    """Kept from forward for backward."""
    operations: Count
    """Operations the framework starts in its forward pass."""


class Workload(Contract):
    """One training to be planned. `global_batch` is in sequences of `context` tokens."""

    name: Identifier
    shape: ModelShape | None = None
    """None for a module of the user's, of which `blocks` are known, or only the parameter count."""
    blocks: tuple[Block, ...] = ()
    """What tracing found in a module of the user's."""
    context: Positive
    vocab: Positive
    global_batch: Positive
    total_tokens: Positive
    precision: Precision = "bf16"
    training: Training = "pretraining"
    lora: Lora | None = None
    compiled: bool = False
    """Its blocks by torch.compile."""
    software: str = "hanse"
    """What trains it, by name ('megatron-core', 'torchtitan', …): kernels, overlap and memory differ."""
    parameters: Positive
    """All parameters, of which LoRA trains `trainable_parameters` only."""
    trainable_parameters: Positive | None = None
    """None: all of them."""
    active_parameters: Positive | None = None
    """Parameters a token passes through; None: all of them (no experts)."""
    embedding_parameters: Count = 0
    flops_per_token: float = Field(gt=0)
    """Model FLOPs for forward and backward of one token, without recompute."""

    @property
    def tokens_per_step(self) -> int:
        return self.global_batch * self.context

    @property
    def steps(self) -> int:
        return -(-self.total_tokens // self.tokens_per_step)

    @property
    def trainable(self) -> int:
        return self.trainable_parameters or self.parameters
