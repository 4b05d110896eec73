"""Parameters of a model by where they lie and by what divides them: the planner's view for memory.

Counts follow from the matrices. What tensor parallelism splits, what each of its ranks holds whole (norms, routers, the
narrow side of latent attention) and what experts hold is told apart (Megatron-LM's placement).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from hanse.contracts.workload import ModelShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Parameters of one layer, or of one end."""

    split: float = 0.0
    """Tensor parallelism divides them."""
    narrow: float = 0.0
    """Of keys and values: at most as many ranks as there are heads of them divide these."""
    whole: float = 0.0
    experts: float = 0.0
    """Of all routed experts: tensor and expert parallelism divide them."""

    @property
    def total(self) -> float:
        return self.split + self.narrow + self.whole + self.experts


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """`dense` and `sparse` are one layer each; `embedding` and `head` the two ends."""

    dense: Weights
    sparse: Weights
    embedding: float
    head: float
    """With the last norm. A tied head is counted too: a pipeline's last stage has a copy of the embedding."""
    tied: bool

    def total(self, shape: ModelShape) -> float:
        experts = shape.experts
        dense = experts.dense_layers if experts else shape.layers + shape.mtp_layers
        sparse = shape.layers + shape.mtp_layers - dense if experts else 0
        ends = self.embedding + self.head - (shape.vocab * shape.hidden if self.tied else 0)
        return dense * self.dense.total + sparse * self.sparse.total + ends


@lru_cache(maxsize=512)
def model(shape: ModelShape) -> Model:
    attention = _attention(shape)
    per_norm = shape.hidden * (2 if shape.norm == "layer" else 1)
    bias = shape.biases == "all"
    ffn = _ffn(shape, shape.ffn)
    dense = Weights(
        split=attention.split + ffn, narrow=attention.narrow,
        whole=attention.whole + 2 * per_norm + (shape.hidden if bias else 0),
    )  # fmt: skip
    sparse = Weights()
    if (experts := shape.experts) is not None:
        sparse = Weights(
            split=attention.split + (_ffn(shape, experts.shared_ffn) if experts.shared_ffn else 0.0),
            narrow=attention.narrow,
            whole=attention.whole + 2 * per_norm + shape.hidden * experts.count,
            experts=experts.count * (_ffn(shape, experts.ffn) + (shape.hidden if bias else 0)),
        )
    learned = shape.context * shape.hidden if shape.positions == "learned" else 0
    first = (shape.patch_elements or shape.vocab) * shape.hidden
    return Model(
        dense=dense, sparse=sparse, embedding=first + learned, head=shape.vocab * shape.hidden + per_norm,
        tied=shape.tied_head and shape.family != "vit",
    )  # fmt: skip


def _attention(shape: ModelShape) -> Weights:
    hidden, heads = shape.hidden, shape.heads
    if (latent := shape.latent) is not None:
        key = latent.nope_dim + latent.rope_dim
        queries = (latent.q_rank or hidden) * heads * key
        values = latent.kv_rank * heads * (latent.nope_dim + latent.v_dim)
        down = hidden * (latent.q_rank or 0) + hidden * (latent.kv_rank + latent.rope_dim)
        norms = latent.kv_rank + (latent.q_rank or 0)
        return Weights(split=queries + values + heads * latent.v_dim * hidden, whole=down + norms)
    wide, narrow = heads * shape.head_dim, shape.kv_heads * shape.head_dim
    bias = 0 if shape.biases == "none" else 1
    norms = 2 * shape.head_dim if shape.qk_norm else 0
    out_bias = hidden if shape.biases == "all" else 0
    return Weights(
        split=2 * hidden * wide + bias * wide, narrow=2 * hidden * narrow + 2 * bias * narrow, whole=norms + out_bias
    )


def _ffn(shape: ModelShape, width: int) -> float:
    products = (3 if shape.gated else 2) * shape.hidden * width
    biases = (2 if shape.gated else 1) * width if shape.biases == "all" else 0
    return float(products + biases)
