"""Parameters, FLOPs and bytes of a transformer, as counts free of any machine; `parts` has those of one block.

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
from hanse.contracts.workload import Lora, ModelShape, Precision, Workload
from hanse.workloads import parts
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


def layer_matmul_parameters(shape: ModelShape) -> int:
    """Weights of one block that multiply activations, with all its experts; a mixture's dense blocks have others."""
    return sum(each.weights for each in parts.products(shape, 1.0))


def layer_parameters(shape: ModelShape) -> int:
    """One block with its norms, biases and experts."""
    return parts.block_parameters(shape)


def embedding_parameters(shape: ModelShape) -> int:
    """What stands before and after the blocks: token or patch embedding, positions, and the head where it is its own.

    An encoder's head is BERT's for masked tokens (Devlin et al. 2019), a dense layer and a norm before the tied
    product; a `vit` has a class token and a head with biases.
    """
    hidden = shape.hidden
    positions = shape.context * hidden if shape.positions == "learned" else 0
    if shape.patch_elements is not None:
        return shape.patch_elements * hidden + 2 * hidden + positions + shape.vocab * (hidden + 1)
    tokens = shape.vocab * hidden * (1 if shape.tied_head else 2)
    if shape.family == "encoder":
        dense = hidden * hidden + (hidden if shape.biases == "all" else 0)
        return tokens + positions + dense + parts.norm_parameters(shape, hidden) + shape.vocab
    return tokens + positions


def mtp_parameters(shape: ModelShape) -> int:
    """Multi-token prediction: a block, three norms and a projection of two states to one each; the ends are shared."""
    hidden = shape.hidden
    return shape.mtp_layers * (layer_parameters(shape) + 2 * hidden**2 + 3 * parts.norm_parameters(shape, hidden))


def parameters(shape: ModelShape) -> int:
    """All parameters: blocks, what stands before and after them, and one norm beside the blocks' own.

    That norm is the last one; of encoders that normalise after each part it is the embedding's.
    """
    blocks = parts.dense_blocks(shape) * parts.block_parameters(shape, dense=True)
    blocks += parts.expert_blocks(shape) * parts.block_parameters(shape)
    rest = parts.norm_parameters(shape, shape.hidden) + shape.extra_parameters
    return blocks + mtp_parameters(shape) + embedding_parameters(shape) + rest


def active_parameters(shape: ModelShape) -> int:
    """Parameters one token passes through: all but the routed experts it is not sent to."""
    return parameters(shape) - (parts.expert_blocks(shape) + shape.mtp_layers) * parts.idle_parameters(shape)


def block_products(shape: ModelShape, tokens: int) -> tuple[tuple[float, int, int], ...]:
    """(m, k, n) of each matrix product in one block's forward pass over `tokens` tokens; 2·m·k·n FLOPs each.

    All experts' products stand as one, over the rows of all of them together; `parts.products` tells them apart.
    """
    return tuple((each.rows * each.groups, each.inner, each.columns) for each in parts.products(shape, tokens))


def attended_keys(shape: ModelShape, *, windowed: bool) -> float:
    """Keys a token sees, in the mean over a sequence of `context` tokens."""
    context = shape.context
    seen = min(shape.window or context, context) if windowed else context
    return seen - seen**2 / (2 * context) if shape.causal else float(seen)


def windowed_layers(shape: ModelShape) -> int:
    if shape.window is None:
        return 0
    return shape.layers - (shape.layers // shape.full_attention_every if shape.full_attention_every else 0)


def attention_flops_per_token(shape: ModelShape) -> float:
    """Forward FLOPs of scores and weighted values of one block, in the mean over the blocks; causal, so by half."""
    windowed = windowed_layers(shape) / shape.layers
    keys = windowed * attended_keys(shape, windowed=True) + (1 - windowed) * attended_keys(shape, windowed=False)
    return 2.0 * keys * shape.heads * (parts.qk_dim(shape) + parts.v_dim(shape))


def head_flops_per_token(shape: ModelShape) -> float:
    """Forward FLOPs of the output head; a `vit` has one for each image."""
    if shape.patch_elements is not None:
        return 2.0 * shape.hidden * shape.vocab / shape.context
    dense = shape.hidden if shape.family == "encoder" else 0
    return 2.0 * shape.hidden * (shape.vocab + dense)


def matmul_flops_per_token(shape: ModelShape) -> float:
    """Forward FLOPs of every product with weights, head included."""
    block = sum(each.flops for each in parts.products(shape, 1.0))
    dense = sum(each.flops for each in parts.products(shape, 1.0, dense=True))
    blocks = parts.dense_blocks(shape) * dense + parts.expert_blocks(shape) * block
    ahead = shape.mtp_layers * (block + 4.0 * shape.hidden**2)
    patches = 2.0 * (shape.patch_elements or 0) * shape.hidden
    return blocks + ahead + patches + (1 + shape.mtp_layers) * head_flops_per_token(shape)


def flops_per_token(shape: ModelShape, lora: Lora | None = None) -> float:
    """Model FLOPs of one token, forward and backward, without recompute.

    With `lora` frozen weights get no gradient: of their backward pass only the half for their inputs is left.
    """
    attention = (shape.layers + shape.mtp_layers) * attention_flops_per_token(shape)
    whole = 1 + BACKWARD_OVER_FORWARD
    if lora is None:
        return whole * (matmul_flops_per_token(shape) + attention)
    return 2.0 * matmul_flops_per_token(shape) + whole * (attention + adapter_flops_per_token(shape, lora))


def adapter_parameters(shape: ModelShape, lora: Lora) -> int:
    """What LoRA trains, over all blocks."""
    blocks = parts.dense_blocks(shape) * parts.adapter_parameters(shape, lora, dense=True)
    return blocks + parts.expert_blocks(shape) * parts.adapter_parameters(shape, lora)


def adapter_flops_per_token(shape: ModelShape, lora: Lora) -> float:
    """Forward FLOPs of all adapters."""
    blocks = parts.dense_blocks(shape) * parts.adapter_flops_per_token(shape, lora, dense=True)
    return blocks + parts.expert_blocks(shape) * parts.adapter_flops_per_token(shape, lora)


def block_elementwise_elements(shape: ModelShape, *, fused: bool) -> float:
    """Elements read and written, per token, by all of a block's forward pass that is no matrix product.

    Counted operation by operation. Unfused (plain eager execution): norms 7h each (square and mean, scale, weight),
    rotary 12 per element of q and k (two products, negation, concatenation, sum), attention's own reading and writing
    2q + 2kv and the copy of its result 2q, grouped keys and values repeated 4q, two residuals 3h each, activation 2f
    and, gated, its product 3f. Fused kernels keep intermediates in registers: norms 2h each, rotary 2, nothing
    repeated. Experts add each token's copies sent and brought back, 2h and 3h for each expert it passes.
    """
    hidden, inner = shape.hidden, parts.inner_width(shape)
    wide, narrow = parts.q_hidden(shape), parts.kv_hidden(shape)
    if shape.latent is not None:
        narrow = wide
    attention_and_residuals = 2 * wide + 2 * narrow + 6 * hidden
    routed = 5.0 * hidden * shape.experts.active * parts.expert_blocks(shape) / shape.layers if shape.experts else 0.0
    turned = wide + narrow if shape.positions == "rotary" else 0
    normed = (wide + narrow) if shape.qk_norm else 0
    if fused:
        norms = 2 * (shape.layer_norms * hidden + normed)
        return norms + 2 * turned + attention_and_residuals + (3 if shape.gated else 2) * inner + routed
    norms = 7 * (shape.layer_norms * hidden + normed)
    repeated = 4 * wide if narrow < wide else 0
    plain = attention_and_residuals + 2 * wide + repeated
    return norms + 12 * turned + plain + (5 if shape.gated else 2) * inner + routed


def block_elementwise_bytes(shape: ModelShape, tokens: int, *, element_bytes: int, fused: bool) -> float:
    """Bytes moved by one block's forward pass outside its products; the backward pass moves about twice as many."""
    return tokens * element_bytes * block_elementwise_elements(shape, fused=fused)


def attention_flops_computed_per_token(shape: ModelShape, *, tile: int) -> float:
    """Forward FLOPs that a kernel really spends when it skips masked keys by whole tiles of `tile` keys."""
    each_key = 2.0 * shape.heads * (parts.qk_dim(shape) + parts.v_dim(shape))
    all_keys = each_key * shape.context
    return min(all_keys, attention_flops_per_token(shape) + (each_key * tile / 2 if shape.causal else 0.0))


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
    exponentials = 2 * tokens * parts.inner_width(shape) * exponential_flops / flops_per_s(flops[-1])
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
    model = spec.model
    if model is None or model.entry is not None:
        return None
    if model.config is not None:
        raise SpecError(
            f"{model.config} was not read yet",
            where=f"{spec.name}: model.config",
            fix="Read train.yaml with load_spec.",
        )
    shape = PRESETS[model.preset] if model.preset else model.shape
    return shape.model_copy(update={"context": model.context}) if shape and model.context else shape


def workload_of(spec: TrainSpec, parameters: int | None = None) -> Workload:
    """The planner's view of a spec. For `entry:` the count comes from the spec, or from `parameters` (measured)."""
    if spec.model is None or spec.batch is None or spec.tokens is None:
        raise SpecError("a command is not planned: Hanse does not know what it computes", where=spec.name)
    shape = model_shape(spec)
    if shape is not None:
        return _of_shape(spec, shape, spec.batch, spec.tokens)
    count = spec.model.parameters or parameters
    if count is None or spec.model.context is None or spec.model.vocab is None:
        raise SpecError(
            "the parameter count of this module is not known", where=f"{spec.name}: model.entry",
            fix="Give model.parameters, or let Hanse count it.",
        )  # fmt: skip
    return Workload(
        name=spec.name, context=spec.model.context, vocab=spec.model.vocab, global_batch=spec.batch,
        total_tokens=spec.tokens, precision=spec.precision, training=spec.training, compiled=spec.compile,
        parameters=count, flops_per_token=(1 + BACKWARD_OVER_FORWARD) * 2.0 * count,
    )  # fmt: skip


def _of_shape(spec: TrainSpec, shape: ModelShape, batch: int, tokens: int) -> Workload:
    lora = (spec.lora or Lora()) if spec.training == "lora" else None
    adapters = adapter_parameters(shape, lora) if lora else 0
    return Workload(
        name=spec.name, shape=shape, context=shape.context, vocab=shape.vocab, global_batch=batch,
        total_tokens=tokens, precision=spec.precision, training=spec.training, lora=lora, compiled=spec.compile,
        parameters=_count(shape) + adapters, trainable_parameters=adapters or None,
        active_parameters=_active(shape, lora) if shape.experts else None,
        embedding_parameters=embedding_parameters(shape), flops_per_token=flops_per_token(shape, lora),
    )  # fmt: skip


def _active(shape: ModelShape, lora: Lora | None) -> int:
    """With those of adapters' parameters that a token passes through: each of them is one product and one sum."""
    return active_parameters(shape) + (round(adapter_flops_per_token(shape, lora) / 2) if lora else 0)


_count = parameters
