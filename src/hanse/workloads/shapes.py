"""Parameters, FLOPs and bytes of a decoder-only transformer of the llama family, as counts free of any machine.

Parameter and FLOP counts follow from the matrices themselves. Activation bytes per layer: Korthikanti et al. 2022,
"Reducing Activation Recomputation in Large Transformer Models", eq. 1-4, recounted for gated feed-forwards, grouped
queries and attention that stores no score matrix. Model FLOPs: Narayanan et al. 2021 and PaLM's appendix B (causal
attention counted by half, the embedding's look-up not at all, the head in full).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hanse.contracts.errors import SpecError
from hanse.contracts.spec import TrainSpec
from hanse.contracts.workload import ModelShape, Precision, Workload
from hanse.workloads.presets import PRESETS

ELEMENT_BYTES: Final[dict[Precision, int]] = {"fp32": 4, "bf16": 2, "fp8": 2}
"""Of an activation; fp8 trainings keep theirs in bf16."""

BACKWARD_OVER_FORWARD: Final = 2.0
"""Each product of the forward pass needs two of its size going back: one for its input, one for its weight."""

ATTENTION_BACKWARD_OVER_FORWARD: Final = 2.5
"""Tiled attention computes the scores again going back: five products for the forward pass's two (FlashAttention-2)."""

CPU_EXPONENTIAL_FLOPS: Final = 175.0
"""FLOPs of matrix products a CPU does in the time of one exponential: cores have no unit for it, GPUs do. SiLU and the
softmax of the loss take one going ahead and one going back."""

CPU_ATTENTION_TILE: Final = 512
GPU_ATTENTION_TILE: Final = 128
"""Keys that tiled attention takes at once: torch's CPU kernel, and FlashAttention on GPUs."""

BLOCK_LAUNCHES_FORWARD: Final = 30
"""Small operations a framework starts for one block's forward pass: 7 products, 2 norms, rotary on q and k, attention,
reshapes, activation, residuals. The backward pass starts about twice as many."""


def kv_hidden(shape: ModelShape) -> int:
    """Width of keys, and of values: the heads that are kept."""
    return shape.kv_heads * shape.head_dim


def layer_matmul_parameters(shape: ModelShape) -> int:
    """Weights of one block that multiply activations: q, k, v, o and the three of the gated feed-forward."""
    attention = shape.hidden * (2 * shape.hidden + 2 * kv_hidden(shape))
    return attention + 3 * shape.hidden * shape.ffn


def layer_parameters(shape: ModelShape) -> int:
    """One block with its two norms."""
    return layer_matmul_parameters(shape) + 2 * shape.hidden


def embedding_parameters(shape: ModelShape) -> int:
    """Token embedding, and the output head where it is not tied to it."""
    return shape.vocab * shape.hidden * (1 if shape.tied_head else 2)


def parameters(shape: ModelShape) -> int:
    """All trainable parameters: blocks, embedding, head and the last norm."""
    return shape.layers * layer_parameters(shape) + embedding_parameters(shape) + shape.hidden


def block_products(shape: ModelShape, tokens: int) -> tuple[tuple[int, int, int], ...]:
    """(m, k, n) of each matrix product in one block's forward pass over `tokens` tokens; 2·m·k·n FLOPs each."""
    hidden, narrow, ffn = shape.hidden, kv_hidden(shape), shape.ffn
    return (
        (tokens, hidden, hidden), (tokens, hidden, narrow), (tokens, hidden, narrow), (tokens, hidden, hidden),
        (tokens, hidden, ffn), (tokens, hidden, ffn), (tokens, ffn, hidden),
    )  # fmt: skip


def attention_flops_per_token(shape: ModelShape) -> float:
    """Forward FLOPs of scores and weighted values of one block, causal: half of 4·s·h."""
    return 2.0 * shape.context * shape.hidden


def head_flops_per_token(shape: ModelShape) -> float:
    """Forward FLOPs of the output head."""
    return 2.0 * shape.hidden * shape.vocab


def flops_per_token(shape: ModelShape) -> float:
    """Model FLOPs of one token, forward and backward, without recompute."""
    forward = shape.layers * (2.0 * layer_matmul_parameters(shape) + attention_flops_per_token(shape))
    return (1 + BACKWARD_OVER_FORWARD) * (forward + head_flops_per_token(shape))


def block_elementwise_elements(shape: ModelShape, *, fused: bool) -> float:
    """Elements read and written, per token, by all of a block's forward pass that is no matrix product.

    Counted operation by operation. Unfused (plain eager execution): two RMSNorms 7h each (square and mean, scale,
    weight), rotary 12 per element of q and k (two products, negation, concatenation, sum), attention's own reading and
    writing 2h + 2kv and the copy of its result 2h, grouped keys and values repeated 4h, two residuals 3h each, SiLU 2f
    and its product 3f. Fused kernels keep intermediates in registers: norms 2h each, rotary 2, nothing repeated.
    """
    hidden, narrow, ffn = shape.hidden, kv_hidden(shape), shape.ffn
    attention_and_residuals = 2 * hidden + 2 * narrow + 6 * hidden
    if fused:
        return 4 * hidden + 2 * (hidden + narrow) + attention_and_residuals + 3 * ffn
    repeated = 4 * hidden if narrow < hidden else 0
    return 14 * hidden + 12 * (hidden + narrow) + attention_and_residuals + 2 * hidden + repeated + 5 * ffn


def block_elementwise_bytes(shape: ModelShape, tokens: int, *, element_bytes: int, fused: bool) -> float:
    """Bytes moved by one block's forward pass outside its products; the backward pass moves about twice as many."""
    return tokens * element_bytes * block_elementwise_elements(shape, fused=fused)


def attention_flops_computed_per_token(shape: ModelShape, *, tile: int) -> float:
    """Forward FLOPs that a kernel really spends when it skips masked keys by whole tiles of `tile` keys."""
    return 2 * attention_flops_per_token(shape) * min(1.0, 0.5 + tile / (2 * shape.context))


def block_seconds(
    shape: ModelShape,
    micro_batch: int,
    *,
    flops_per_s: Callable[[float], float],
    memory_bytes_per_s: float,
    launch_overhead_s: float,
    element_bytes: int = 4,
    tile: int = CPU_ATTENTION_TILE,
    exponential_flops: float = CPU_EXPONENTIAL_FLOPS,
) -> float:
    """Forward and backward of one block as the formulas have it: what `Calibration.block_scale` is measured against.

    `flops_per_s` is the rate of a product by its FLOPs. Attention runs at the rate of one head's score matrix: its
    tiles are of that order. The planner computes the same for many layouts at once.
    """
    tokens = micro_batch * shape.context
    flops = [2.0 * m * k * n for m, k, n in block_products(shape, tokens)]
    products = sum((1 + BACKWARD_OVER_FORWARD) * each / flops_per_s(each) for each in flops)
    attention = tokens * attention_flops_computed_per_token(shape, tile=tile) / flops_per_s(head_score_flops(shape))
    moved = block_elementwise_bytes(shape, tokens, element_bytes=element_bytes, fused=False) / memory_bytes_per_s
    launches = BLOCK_LAUNCHES_FORWARD * launch_overhead_s
    exponentials = 2 * tokens * shape.ffn * exponential_flops / flops_per_s(flops[-1])
    return (
        products
        + (1 + ATTENTION_BACKWARD_OVER_FORWARD) * attention
        + (1 + BACKWARD_OVER_FORWARD) * (moved + launches)
        + exponentials
    )


def head_score_flops(shape: ModelShape) -> float:
    """FLOPs of one head's score matrix of one sequence."""
    return 2.0 * shape.context**2 * shape.head_dim


def stand_in(parameters: int, vocab: int, context: int) -> ModelShape:
    """A transformer of usual proportions (hidden = 64 × layers) with about that many parameters.

    It stands for a module of the user's, of which only the count is known.
    """
    layers = 1
    while layers < 512 and _count(_usual(layers + 1, vocab, context)) <= parameters:
        layers += 1
    return _usual(layers, vocab, context)


def _usual(layers: int, vocab: int, context: int) -> ModelShape:
    hidden = 64 * layers
    return ModelShape(
        layers=layers, hidden=hidden, heads=layers, kv_heads=layers, ffn=8 * hidden // 3, vocab=vocab, context=context
    )


def model_shape(spec: TrainSpec) -> ModelShape | None:
    """The shape a spec names, by dimensions or by preset; None for a module of the user's."""
    if spec.model is None:
        return None
    return PRESETS[spec.model.preset] if spec.model.preset else spec.model.shape


def workload_of(spec: TrainSpec, parameters: int | None = None) -> Workload:
    """The planner's view of a spec. For `entry:` the count comes from the spec, or from `parameters` (measured)."""
    if spec.model is None or spec.batch is None or spec.tokens is None:
        raise SpecError("a command is not planned: Hanse does not know what it computes", where=spec.name)
    shape = model_shape(spec)
    if shape is not None:
        return Workload(
            name=spec.name, shape=shape, context=shape.context, vocab=shape.vocab, global_batch=spec.batch,
            total_tokens=spec.tokens, precision=spec.precision, parameters=_count(shape),
            embedding_parameters=embedding_parameters(shape), flops_per_token=flops_per_token(shape),
        )  # fmt: skip
    count = spec.model.parameters or parameters
    if count is None or spec.model.context is None or spec.model.vocab is None:
        raise SpecError(
            "the parameter count of this module is not known", where=f"{spec.name}: model.entry",
            fix="Give model.parameters, or let Hanse count it.",
        )  # fmt: skip
    return Workload(
        name=spec.name, context=spec.model.context, vocab=spec.model.vocab, global_batch=spec.batch,
        total_tokens=spec.tokens, precision=spec.precision, parameters=count,
        flops_per_token=(1 + BACKWARD_OVER_FORWARD) * 2.0 * count,
    )  # fmt: skip


_count = parameters
