"""Bytes a transformer layer keeps from its forward for its backward pass, counted operation by operation.

Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models", eq. 1-4 and table 2, recounted
for gated feed-forwards, grouped and latent attention, experts, and attention that stores no score matrix. What an
operation keeps beside its operands is the framework's, and stands in `Kernels`.
"""

from __future__ import annotations

from dataclasses import dataclass

from hanse.contracts.layout import Recompute
from hanse.contracts.workload import Lora, ModelShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """How a framework's operations keep things; all sizes are bytes an element."""

    element: float
    """Of what lies between operations."""
    residual: float
    """Of the stream that blocks add to; full recompute keeps it alone."""
    norm: float
    """Kept by a norm for each element of its input, its output not counted."""
    attention_input: float
    """Of attention's normalised input; more than one element where each product casts its own copy."""
    ffn_input: float
    fused_activation: bool = False
    """The feed-forward's activation and its product with the gate are one kernel that keeps its inputs only."""
    keeps_gathered: bool = False
    """Sequence-parallel inputs of products are kept as they were gathered, not gathered again going back."""
    dropout: bool = False
    scores: bool = False
    """Attention stores its score matrices: it is not tiled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Bytes that one token leaves behind in one layer, by what divides them among tensor-parallel ranks."""

    between: float = 0.0
    """Between split products: held whole, or split along the sequence with sequence parallelism."""
    split: float = 0.0
    narrow: float = 0.0
    """Keys and values: at most as many ranks as there are heads of them divide these."""
    whole: float = 0.0
    """Divided by nothing: inputs of split products that were gathered for all tokens."""

    @property
    def total(self) -> float:
        return self.between + self.split + self.narrow + self.whole

    def __add__(self, other: Kept) -> Kept:
        return Kept(
            between=self.between + other.between, split=self.split + other.split, narrow=self.narrow + other.narrow,
            whole=self.whole + other.whole,
        )  # fmt: skip


def layer(
    shape: ModelShape, recompute: Recompute, kernels: Kernels, *, experts: bool = False, lora: Lora | None = None
) -> Kept:
    """One layer, dense or with `experts`. none: operands of all that is not linear, inputs of all products.

    selective: without score matrices, which only attention that is not tiled stores. full: the layer's input alone.
    """
    if recompute == "full":
        return Kept(between=kernels.residual * shape.hidden)
    kept = _attention(shape, kernels, scores=kernels.scores and recompute == "none")
    kept += _experts(shape, kernels) if experts else _ffn(shape.ffn, shape, kernels)
    # Two norms, and two dropouts on the way back to the residual stream.
    kept += Kept(between=2 * shape.hidden * (kernels.norm + (1.0 if kernels.dropout else 0.0)))
    return kept + (_adapters(shape, kernels, lora) if lora else Kept())


def activation_bytes(
    shape: ModelShape, micro_batch: int, recompute: Recompute, kernels: Kernels, *, experts: bool = False
) -> float:
    """Bytes one layer keeps on one rank that splits nothing, for `micro_batch` sequences."""
    return layer(shape, recompute, kernels, experts=experts).total * micro_batch * shape.context


def backward_temporaries(shape: ModelShape, kernels: Kernels, *, experts: bool = False) -> Kept:
    """Gradients alive at once while a layer is gone through backwards: those within the feed-forward are the widest."""
    copies = 3 if shape.gated else 2
    if experts and shape.experts is not None:
        routed = shape.experts.active * shape.experts.ffn + shape.experts.shared_ffn
        return Kept(split=copies * routed * kernels.element, between=shape.hidden * kernels.element)
    return Kept(split=copies * shape.ffn * kernels.element, between=shape.hidden * kernels.element)


def _attention(shape: ModelShape, kernels: Kernels, *, scores: bool) -> Kept:
    element, between = kernels.element, 0.0
    latent = shape.latent
    if latent is not None:
        # Latent vectors before and after their norms, the shared rotary key; then heads expanded from them.
        between = element * (2 * (latent.q_rank or 0) + 2 * latent.kv_rank + latent.rope_dim)
        key, value = latent.nope_dim + latent.rope_dim, latent.v_dim
        split, narrow = element * shape.heads * (2 * key + 2 * value), 0.0
    else:
        queries = shape.heads * shape.head_dim
        keys = shape.kv_heads * shape.head_dim
        split, narrow = element * 2 * queries, element * 2 * keys  # queries and the result; keys and values
        if shape.qk_norm:
            split, narrow = split + element * queries, narrow + element * keys
    if kernels.scores:
        seen = _keys_seen(shape)
        # Softmax's result, and with dropout its mask and the result of that.
        matrices = 2 * element + 1 if kernels.dropout else element
        split += shape.heads * seen * matrices if scores else 0.0
    else:
        split += 4.0 * shape.heads  # the softmax's statistic, fp32
    return Kept(between=between, split=split, narrow=narrow) + _input(kernels.attention_input, shape, kernels)


def _input(size: float, shape: ModelShape, kernels: Kernels) -> Kept:
    held = size * shape.hidden
    return Kept(whole=held) if kernels.keeps_gathered else Kept(between=held)


def _keys_seen(shape: ModelShape) -> float:
    """Keys a query has scores with, mean over layers; masked ones are stored too."""
    if shape.window is None:
        return float(shape.context)
    windowed = min(shape.window, shape.context)
    if shape.full_attention_every is None:
        return float(windowed)
    return windowed + (shape.context - windowed) / shape.full_attention_every


def _ffn(width: float, shape: ModelShape, kernels: Kernels) -> Kept:
    inner = _inner(shape, kernels) * width
    return Kept(split=inner) + _input(kernels.ffn_input, shape, kernels)


def _inner(shape: ModelShape, kernels: Kernels) -> float:
    """Bytes for each inner element: what the activation was taken of, its value, and with a gate two more."""
    if not shape.gated:
        return 2 * kernels.element
    return (3 if kernels.fused_activation else 4) * kernels.element


def _experts(shape: ModelShape, kernels: Kernels) -> Kept:
    """Router, copies of each token to its experts, their inner elements, and their results before they are weighted."""
    experts = shape.experts
    if experts is None:
        return Kept()
    element, copies = kernels.element, experts.active
    routing = Kept(
        between=8.0 * experts.count,  # the router's scores and softmax, fp32
        split=copies * experts.ffn * _inner(shape, kernels) + copies * shape.hidden * element,
        whole=copies * shape.hidden * element,
    )
    routing += _input(kernels.ffn_input, shape, kernels)
    if not experts.shared_ffn:
        return routing
    return routing + Kept(split=_inner(shape, kernels) * experts.shared_ffn)


def _adapters(shape: ModelShape, kernels: Kernels, lora: Lora) -> Kept:
    """Low-rank products keep their narrow middle; frozen products without one need not keep their input."""
    products = 4 if lora.targets == "attention" else (7 if shape.gated else 6)
    narrow = products * lora.rank * kernels.element
    if lora.targets == "all" or shape.experts is not None:
        return Kept(between=narrow)
    dropped = _input(-kernels.ffn_input, shape, kernels)
    return dropped + Kept(between=narrow, split=-kernels.element * shape.ffn)
