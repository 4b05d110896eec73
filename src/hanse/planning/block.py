"""Seconds of one transformer block for one micro-batch on one rank: products, attention, elementwise traffic.

Products: 2·M·N·K FLOPs at the measured ceiling, plus their operands' traffic, which hides behind the arithmetic only
in part (a roofline whose corner is round). Attention: FlashAttention's FLOPs (Dao 2023), or three passes over stored
scores (Korthikanti et al. 2022, section 3). Elementwise: bytes over memory bandwidth. Expert widths: Shazeer et al.
2017; the latent attention's: DeepSeek-V2 (2024). Arrays broadcast over whatever the inputs have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.machines.rates import interpolate
from hanse.planning.constants import Constants
from hanse.planning.inputs import FP8, Array, Degrees, Hardware, Model, Stack, Values

TILE: Final = 128
"""Rows and columns of what one unit computes at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """Seconds of one block going one way."""

    matmul: Values
    attention: Values
    memory: Values

    @property
    def total(self) -> Values:
        return self.matmul + self.attention + self.memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block's passes. `again`: what recompute repeats of the forward pass."""

    forward: Pass
    backward: Pass
    again: Pass


def tokens_of(model: Model, degrees: Degrees) -> Values:
    """Tokens of a micro-batch on one rank."""
    return degrees.micro_batch * model.context / degrees.cp


def rate16(hardware: Hardware, constants: Constants) -> Values:
    """FLOP/s of the best 16-bit products in a training."""
    return hardware.peak16 * hardware.ceiling * constants.training_over_benchmark


def rate(hardware: Hardware, constants: Constants) -> Values:
    """FLOP/s of the best products at the blocks' precision."""
    shares = np.array([1.0, 1.0, constants.fp8, constants.mxfp8, constants.nvfp4, constants.fp8_rowwise])
    share = shares[np.asarray(hardware.width, dtype=np.int64)]
    return hardware.peak * hardware.ceiling * constants.training_over_benchmark * share


def product(
    rows: Values, inner: Values, columns: Values, best: Values, hardware: Hardware, stack: Stack, constants: Constants,
    groups: Values = 1.0,
) -> Values:  # fmt: skip
    """Seconds of a rows × inner by inner × columns product. Nothing where a size is 0."""
    flops = 2.0 * rows * inner * columns
    if hardware.matmul is not None:
        return np.where(flops > 0, flops / interpolate(hardware.matmul, np.maximum(flops, 1.0)), 0.0)
    traffic = 2.0 * (
        constants.weight_traffic * inner * columns
        + constants.input_traffic * rows * inner
        + constants.output_traffic * rows * columns
    )
    # Of its three products in a training, that for the weights can be cut along the rows it sums over.
    idle = (_waves(rows, columns, groups, hardware) ** constants.quantised
            + _waves(rows, inner, groups, hardware) ** constants.quantised + 1) / 3  # fmt: skip
    return stack.compute * (flops / best * idle + traffic / hardware.memory_bytes_per_s)


_TILES: Final = ((256, 128, 1.0), (128, 256, 1.0), (128, 128, 0.93), (128, 64, 0.78), (64, 64, 0.6))
"""Rows, columns, and the rate within the tile: smaller ones load more for each product."""


def _waves(rows: Values, columns: Values, groups: Values, hardware: Hardware) -> Values:
    """Time of dealing a product's tiles to the units, over that of an even deal; the best tile counts."""
    units = np.maximum(hardware.units, 1.0)
    least: Values = np.inf
    for tall, wide, rate_within in _TILES:
        tiles = np.ceil(rows / tall) * np.ceil(columns / wide) * groups
        even = np.maximum(rows * columns * groups / (tall * wide), 1e-9)
        least = np.minimum(least, np.ceil(tiles / units) * units / even / rate_within)
    known = (np.asarray(hardware.units) > 0) & (np.asarray(rows) > 0) & (np.asarray(columns) > 0)
    return np.where(known, np.clip(least, 1.0, 16.0), 1.0)


def block(model: Model, hardware: Hardware, stack: Stack, degrees: Degrees, constants: Constants) -> Block:
    """One block, averaged over dense blocks and those of experts."""
    if np.any(model.traced_flops):
        return _traced(model, hardware, stack, degrees, constants)
    tokens, best = tokens_of(model, degrees), rate(hardware, constants)

    def seconds(rows: Values, inner: Values, columns: Values) -> Values:
        return product(rows, inner, columns, best, hardware, stack, constants)

    tp, heads = degrees.tp, model.heads / degrees.tp
    queries, entered, up = _widths(model, tp)
    down = model.q_rank + model.kv_rank + model.rope_dim
    values = heads * model.v_dim
    attention_products = (
        seconds(tokens, model.hidden, entered)
        + seconds(tokens, model.hidden, down)
        + seconds(tokens, model.q_rank, queries * np.minimum(model.q_rank, 1.0))
        + seconds(tokens, model.kv_rank, up)
        + seconds(tokens, values, model.hidden)
    )
    share = model.moe_layers / model.layers
    wide = (1 + model.gated) * model.ffn / tp
    dense = seconds(tokens, model.hidden, wide) + seconds(tokens, model.ffn / tp, model.hidden)
    experts, copies = _experts(model, hardware, stack, degrees, constants, tokens, best)
    matmul = attention_products + (1 - share) * dense + share * experts

    score_forward, score_backward, scores = _attention(model, hardware, stack, degrees, constants, tokens)
    memory = _elementwise(model, hardware, stack, degrees, constants, tokens, copies * share)
    memory = memory + scores
    forward = Pass(matmul=matmul, attention=score_forward, memory=memory)
    backward = Pass(
        matmul=matmul * (1 + model.weight_gradients),
        attention=score_backward,
        memory=constants.backward_traffic * memory,
    )
    full, some = degrees.recompute == 2, degrees.recompute == 1
    repeated = np.where(full, 1.0, np.where(some, stack.tiled * stack.selective, 0.0))
    again = Pass(
        matmul=repeated * matmul,
        attention=np.where(full | (some & (np.asarray(stack.tiled) == 0)), 1.0, 0.0) * score_forward,
        memory=np.where(full, 1.0, 0.0) * memory
        + np.where(some, stack.tiled * np.minimum(1.0, 2 * stack.selective) * (memory - scores) + scores, 0.0),
    )
    return Block(forward=forward, backward=backward, again=again)


_TRACED_OF_BEST: Final = 0.8
"""Of the best products' rate, those of a module whose sizes nobody kept."""


def _traced(model: Model, hardware: Hardware, stack: Stack, degrees: Degrees, constants: Constants) -> Block:
    """A block of a traced module: its FLOPs and bytes as they were counted."""
    share = degrees.micro_batch / (degrees.tp * degrees.cp)
    matmul = stack.compute * model.traced_flops * share / (rate(hardware, constants) * _TRACED_OF_BEST)
    memory = model.traced_bytes * share / (hardware.memory_bytes_per_s * constants.memory_of_peak)
    repeated = np.where(degrees.recompute == 2, 1.0, np.where(degrees.recompute == 1, stack.selective, 0.0))
    none = np.zeros_like(np.asarray(matmul))
    return Block(
        forward=Pass(matmul=matmul, attention=none, memory=memory),
        backward=Pass(matmul=matmul * (1 + model.weight_gradients), attention=none,
                      memory=constants.backward_traffic * memory),
        again=Pass(matmul=repeated * matmul, attention=none, memory=repeated * memory),
    )  # fmt: skip


def weights(model: Model, degrees: Degrees) -> tuple[Values, Values]:
    """(parameters of an average block on one rank without its experts, those of its experts), sharding aside."""
    tp, heads, share = degrees.tp, model.heads / degrees.tp, model.moe_layers / model.layers
    queries, entered, up = _widths(model, tp)
    attention = model.hidden * (entered + model.q_rank + model.kv_rank + model.rope_dim + heads * model.v_dim)
    attention = attention + queries * model.q_rank + up * model.kv_rank
    beside = ((1 - share) * model.ffn + share * model.shared_ffn) / tp
    experts = np.maximum(model.experts, 0.0) / degrees.ep * _expert_width(model, degrees)
    matrices = (2 + model.gated) * model.hidden
    return attention + matrices * beside, share * matrices * experts


def _widths(model: Model, tp: Values) -> tuple[Values, Values, Values]:
    """One rank's (queries, what is projected from the hidden state, what from latent keys and values)."""
    # Latent attention keeps no keys and values a head; their projections start from the narrow vectors.
    latent = np.where(np.asarray(model.kv_rank) > 0, 1.0, 0.0)
    queries = model.heads / tp * model.qk_dim
    # Keys and values that are fewer than the ranks are repeated on them.
    key_heads = np.maximum(model.kv_heads / tp, np.minimum(model.kv_heads, 1.0))
    entered = queries * (1 - latent * np.minimum(model.q_rank, 1.0)) + key_heads * (model.qk_dim + model.v_dim)
    return queries, entered, model.heads / tp * (model.qk_dim - model.rope_dim + model.v_dim) * latent


def _expert_width(model: Model, degrees: Degrees) -> Values:
    """Experts that are spread lie whole on their rank; others are split as everything is."""
    return np.where(np.asarray(degrees.ep) > 1, model.expert_ffn, model.expert_ffn / degrees.tp)


def _experts(
    model: Model, hardware: Hardware, stack: Stack, degrees: Degrees, constants: Constants, tokens: Values, best: Values
) -> tuple[Values, Values]:
    """(seconds of the experts' products forward, copies of tokens a rank works on).

    Where experts are spread, tensor parallel ranks share the tokens among them.
    """
    spread = np.asarray(degrees.ep) > 1
    experts, width = np.maximum(model.experts, 1.0), _expert_width(model, degrees)
    local = experts / degrees.ep
    copies = tokens * model.top_k / np.where(spread, degrees.tp, 1.0)
    rows = copies / local
    up = product(rows, model.hidden, (1 + model.gated) * width, best, hardware, stack, constants, local)
    down = product(rows, width, model.hidden, best, hardware, stack, constants, local)
    shared = model.shared_ffn / degrees.tp
    beside = product(tokens, model.hidden, (1 + model.gated) * shared, best, hardware, stack, constants)
    beside = beside + product(tokens, shared, model.hidden, best, hardware, stack, constants)
    # Grouped products: one launch, unequal groups.
    seconds = constants.grouped * local * (up + down) + beside
    return seconds, copies


def _attention(
    model: Model, hardware: Hardware, stack: Stack, degrees: Degrees, constants: Constants, tokens: Values
) -> tuple[Values, Values, Values]:
    """(forward, backward seconds of the products of scores, seconds of the stored scores' traffic forward)."""
    heads = model.heads / degrees.tp
    best = rate16(hardware, constants)
    # Masked keys are skipped by whole tiles; without tiles nothing is skipped.
    tiled = np.asarray(stack.tiled) > 0
    keys = np.where(tiled, np.minimum(model.keys + TILE / 2, model.context), model.context)
    flops = 2.0 * tokens * keys * heads * (model.qk_dim + model.v_dim)
    plain = 1 - (1 - constants.attention_on_newer) * hardware.newer * (1 - stack.cudnn)
    # Short heads fill the units' registers badly; sizes that are no multiple of 8 cannot use them at all.
    fitting = np.where(np.mod(model.qk_dim, 8) == 0, 1.0, constants.odd_heads)
    # Few keys fill few tiles: the loop over them has a beginning and an end.
    long = model.context / (model.context + constants.attention_half)
    quick = constants.attention_of_ceiling * long * plain * np.minimum(1.0, model.qk_dim / 128) ** constants.short_heads
    share = np.where(tiled, quick, constants.scores_of_ceiling)
    forward = stack.compute * flops / (best * share) * np.where(tiled, 1.0, fitting)
    backward = forward * np.where(tiled, constants.attention_backward, 2.0)
    bytes_moved = np.where(tiled, 0.0, stack.scores * constants.score_bytes * tokens * model.context * heads)
    return forward, backward, bytes_moved / hardware.memory_bytes_per_s


def _elementwise(
    model: Model, hardware: Hardware, stack: Stack, degrees: Degrees, constants: Constants, tokens: Values,
    copies: Values,
) -> Values:  # fmt: skip
    """Seconds of norms, residuals, rotary positions, activations, and of sorting tokens by expert."""
    tp = degrees.tp
    share = model.moe_layers / model.layers
    between = np.where(np.asarray(degrees.sequence_parallel) > 0, tp, 1.0)
    widths = model.heads * model.qk_dim + 2 * np.maximum(model.kv_heads * model.qk_dim, model.kv_rank)
    inner = ((1 - share) * model.ffn + share * model.shared_ffn) / tp
    elements = tokens * (
        (constants.residual_elements + stack.plain_norms * model.gated * constants.norm_elements)
        * model.hidden
        / between
        + (constants.head_elements + stack.plain_rotary * model.gated * constants.rotary_elements) * widths / tp
        + constants.ffn_elements * (1 + (0.5 + stack.plain_rotary) * model.gated) * inner
    )
    expert_width = _expert_width(model, degrees)
    elements = elements + copies * (
        constants.sorted_elements * model.hidden + constants.ffn_elements * (1 + 0.5 * model.gated) * expert_width
    )
    # Casting to narrow formats: each product's input is read and written once more.
    narrow = np.where(np.asarray(hardware.width) >= FP8, constants.cast_elements, 0.0)
    elements = elements + narrow * (tokens * (2 * model.hidden + inner) + copies * (model.hidden + expert_width))
    element_bytes = np.where(np.asarray(hardware.width) == 0, 4.0, 2.0)
    moved = stack.traffic * element_bytes * elements
    return moved / (hardware.memory_bytes_per_s * constants.memory_of_peak)


__all__ = ["Array", "Block", "Pass", "block", "product", "rate", "rate16", "tokens_of"]
