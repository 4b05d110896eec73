"""The matrices of one transformer block: what multiplies what, and how many parameters that and the rest hold.

Attention is grouped-query or latent (DeepSeek-V2, arXiv 2405.04434, section 2.1); the feed-forward is dense or a
mixture of experts with a router and experts that every token passes. Counts follow from the matrices themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from hanse.contracts.workload import Lora, ModelShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """`groups` products of a (rows, inner) with a (inner, columns) matrix, each group with weights of its own."""

    rows: float
    inner: int
    columns: int
    groups: int = 1

    @property
    def flops(self) -> float:
        return 2.0 * self.rows * self.inner * self.columns * self.groups

    @property
    def weights(self) -> int:
        return self.inner * self.columns * self.groups


def q_hidden(shape: ModelShape) -> int:
    """Width of all queries; it need not be `hidden`."""
    return shape.heads * qk_dim(shape)


def kv_hidden(shape: ModelShape) -> int:
    """Width of keys, and of values: the heads that are kept."""
    return shape.kv_heads * shape.head_dim


def qk_dim(shape: ModelShape) -> int:
    """Of one head's query."""
    return shape.latent.nope_dim + shape.latent.rope_dim if shape.latent else shape.head_dim


def v_dim(shape: ModelShape) -> int:
    """Of one head's value."""
    return shape.latent.v_dim if shape.latent else shape.head_dim


def norm_parameters(shape: ModelShape, width: int) -> int:
    """A scale, and with layer norm a shift."""
    return width if shape.norm == "rms" else 2 * width


def attention_products(shape: ModelShape, tokens: float) -> tuple[Product, ...]:
    """Projections around attention; scores and weighted values have no weights and are not among them."""

    def product(inner: int, columns: int) -> Product:
        return Product(rows=tokens, inner=inner, columns=columns)

    hidden, latent = shape.hidden, shape.latent
    if latent is None:
        wide, narrow = q_hidden(shape), kv_hidden(shape)
        return (product(hidden, wide), product(hidden, narrow), product(hidden, narrow), product(wide, hidden))
    wide = q_hidden(shape)
    queries = (
        (product(hidden, wide),)
        if latent.q_rank is None
        else (product(hidden, latent.q_rank), product(latent.q_rank, wide))
    )
    return (
        *queries,
        product(hidden, latent.kv_rank + latent.rope_dim),
        product(latent.kv_rank, shape.heads * (latent.nope_dim + latent.v_dim)),
        product(shape.heads * latent.v_dim, hidden),
    )


def feed_forward_products(shape: ModelShape, tokens: float, *, dense: bool = False) -> tuple[Product, ...]:
    """Of the block's feed-forward: of its experts where it has some, unless it is one of the `dense` ones.

    Tokens spread evenly over the experts, which is what balanced routing works towards.
    """
    if shape.experts is None or dense:
        return _feed_forward(shape, tokens, shape.ffn, 1)
    experts = shape.experts
    share = tokens * experts.active / experts.count
    shared = _feed_forward(shape, tokens, experts.shared_ffn, 1) if experts.shared_ffn else ()
    router = Product(rows=tokens, inner=shape.hidden, columns=experts.count)
    return (router, *_feed_forward(shape, share, experts.ffn, experts.count), *shared)


def _feed_forward(shape: ModelShape, tokens: float, width: int, groups: int) -> tuple[Product, ...]:
    up = Product(rows=tokens, inner=shape.hidden, columns=width, groups=groups)
    down = Product(rows=tokens, inner=width, columns=shape.hidden, groups=groups)
    return (up, up, down) if shape.gated else (up, down)


def products(shape: ModelShape, tokens: float, *, dense: bool = False) -> tuple[Product, ...]:
    """Every product with weights in one block's forward pass over `tokens` tokens."""
    return attention_products(shape, tokens) + feed_forward_products(shape, tokens, dense=dense)


def dense_blocks(shape: ModelShape) -> int:
    """Blocks with a dense feed-forward."""
    return shape.experts.dense_layers if shape.experts else shape.layers


def expert_blocks(shape: ModelShape) -> int:
    """Blocks with a mixture of experts, without those of multi-token prediction."""
    return shape.layers - dense_blocks(shape)


def inner_width(shape: ModelShape) -> float:
    """Inner elements of the feed-forward that a token fills, in the mean over all blocks."""
    if shape.experts is None:
        return float(shape.ffn)
    routed = shape.experts.active * shape.experts.ffn + shape.experts.shared_ffn
    return (dense_blocks(shape) * shape.ffn + expert_blocks(shape) * routed) / shape.layers


def block_parameters(shape: ModelShape, *, dense: bool = False) -> int:
    """One block with its norms and biases."""
    weights = sum(each.weights for each in products(shape, 1.0, dense=dense))
    return weights + _attention_rest(shape) + _feed_forward_biases(shape, dense) + _norms(shape)


def idle_parameters(shape: ModelShape) -> int:
    """Of one block: the routed experts that one token does not pass through."""
    if shape.experts is None:
        return 0
    one = sum(each.weights for each in _feed_forward(shape, 1.0, shape.experts.ffn, 1))
    one += _biases_of(shape, shape.experts.ffn)
    return (shape.experts.count - shape.experts.active) * one


def adapter_parameters(shape: ModelShape, lora: Lora, *, dense: bool = False) -> int:
    """Of one block: two narrow matrices beside each product that `lora` targets, also in every expert."""
    return sum(lora.rank * (each.inner + each.columns) * each.groups for each in _adapted(shape, lora, dense=dense))


def adapter_flops_per_token(shape: ModelShape, lora: Lora, *, dense: bool = False) -> float:
    """Forward FLOPs of one block's adapters."""
    adapted = _adapted(shape, lora, dense=dense)
    return sum(2.0 * each.rows * each.groups * lora.rank * (each.inner + each.columns) for each in adapted)


def _adapted(shape: ModelShape, lora: Lora, *, dense: bool) -> tuple[Product, ...]:
    attention = attention_products(shape, 1.0)
    if lora.targets == "attention":
        return attention
    routed = shape.experts is not None and not dense
    return attention + feed_forward_products(shape, 1.0, dense=dense)[1 if routed else 0 :]


def _attention_rest(shape: ModelShape) -> int:
    """Biases of the projections, and norms of queries and keys or of the latent vectors."""
    if shape.latent is not None:
        return norm_parameters(shape, (shape.latent.q_rank or 0) + shape.latent.kv_rank)
    biases = {"none": 0, "qkv": q_hidden(shape) + 2 * kv_hidden(shape)}
    biases["all"] = biases["qkv"] + shape.hidden
    return biases[shape.biases] + (norm_parameters(shape, 2 * shape.head_dim) if shape.qk_norm else 0)


def _feed_forward_biases(shape: ModelShape, dense: bool) -> int:
    if shape.experts is None or dense:
        return _biases_of(shape, shape.ffn)
    experts = shape.experts
    shared = _biases_of(shape, experts.shared_ffn) if experts.shared_ffn else 0
    router = experts.count if shape.biases == "all" else 0
    return router + experts.count * _biases_of(shape, experts.ffn) + shared


def _biases_of(shape: ModelShape, width: int) -> int:
    return (2 if shape.gated else 1) * width + shape.hidden if shape.biases == "all" else 0


def _norms(shape: ModelShape) -> int:
    return shape.layer_norms * norm_parameters(shape, shape.hidden)
