"""What each degree may be: the model's divisibility, the machine's node, and what frameworks combine.

Tensor parallelism stays in one fast network (Narayanan et al. 2021); key and value heads fewer than tp are replicated.
Pipeline chunks follow Narayanan et al. 2021 (interleaved) and Qi et al. 2023 (zero bubble, two chunks a rank).
Context parallelism cuts the sequence in 2·cp pieces (Dubey et al. 2024). ZeRO-1 and 2 span all data ranks, ZeRO-3 also
fewer (HSDP).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.layout import Pipeline, Recompute
from hanse.contracts.workload import ModelShape

Integers = NDArray[np.int64]

RECOMPUTE: Final[tuple[Recompute, ...]] = ("none", "selective", "full")
NONE, SELECTIVE, FULL = 0, 1, 2
PIPELINES: Final[tuple[Pipeline, ...]] = ("1f1b", "interleaved", "zero-bubble")
ONE_F_ONE_B, INTERLEAVED, ZERO_BUBBLE = 0, 1, 2

_MOST_IDLE: Final = 1.5
"""Stages whose longest holds more than so many times the mean number of layers are not worth weighing."""
_MOST_CHUNKS: Final = 16
_LEAST_CONTEXT: Final = 4096
"""Tokens a context-parallel rank keeps at least: with fewer its attention does not hide what it sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What bounds the space beside the model."""

    ranks_per_node: int
    global_batch: int
    context: int
    domain_ranks: int = 0
    """Ranks that share one in-node network; 0: those of a node."""
    executable_only: bool = False
    offload: bool = False
    """Whether the optimiser's state may lie in main memory."""
    max_micro_batch: int = 64
    wanted: Mapping[str, int] = field(default_factory=dict)
    """Columns of `Layouts` held to one value (recompute and pipeline by number)."""
    beyond: bool = False
    """Whether what is wanted may be of little use: tp over several nodes, short pieces of context, idle stages."""

    @property
    def modes(self) -> tuple[tuple[int, int], ...]:
        """(recompute, offload), the quickest first."""
        recompute = (NONE, FULL) if self.executable_only else (NONE, SELECTIVE, FULL)
        offload = (0, 1) if self.offload and not self.executable_only else (0,)
        found = tuple((each, place) for place in offload for each in recompute)
        return tuple(mode for mode in found if self._keeps(recompute=mode[0], offload=mode[1]))

    def _keeps(self, **values: int) -> bool:
        return all(self.wanted.get(name, value) == value for name, value in values.items())


def tensor(shape: ModelShape, rules: Rules) -> list[int]:
    """Degrees of tensor parallelism."""
    if rules.executable_only:
        return [1]
    within = max(rules.ranks_per_node, rules.domain_ranks)
    if rules.beyond and "tp" in rules.wanted:
        return [tp for tp in (rules.wanted["tp"],) if _splits_evenly(shape, tp)]
    tried = range(1, min(within, shape.heads) + 1)
    return [tp for tp in tried if _splits_evenly(shape, tp) and _fills_nodes(tp, rules.ranks_per_node)]


def _splits_evenly(shape: ModelShape, tp: int) -> bool:
    widths = [shape.heads, shape.ffn]
    if shape.experts is not None:
        widths += [shape.experts.ffn, shape.experts.shared_ffn]
    # Fewer key and value heads than ranks are held by several ranks each.
    replicated = shape.latent is not None or tp % shape.kv_heads == 0
    return all(width % tp == 0 for width in widths) and (replicated or shape.kv_heads % tp == 0)


def _fills_nodes(tp: int, ranks_per_node: int) -> bool:
    return ranks_per_node % tp == 0 or tp % ranks_per_node == 0


def stages_useful(layers: int, stages: int) -> bool:
    return stages <= layers and -(-layers // stages) * stages <= _MOST_IDLE * layers


def pipeline(shape: ModelShape, rules: Rules) -> list[int]:
    """Numbers of stages: even ones, and uneven ones that leave few ranks idle."""
    if rules.executable_only:
        return [1]
    if rules.beyond and "pp" in rules.wanted:
        return [pp for pp in (rules.wanted["pp"],) if pp <= shape.layers]
    return [pp for pp in range(1, shape.layers + 1) if stages_useful(shape.layers, pp)]


def context(rules: Rules) -> list[int]:
    """Degrees of context parallelism: each rank holds an early and a late piece of the sequence."""
    if rules.executable_only:
        return [1]
    if rules.beyond and "cp" in rules.wanted:
        return [cp for cp in (rules.wanted["cp"],) if cp == 1 or rules.context % (2 * cp) == 0]
    most = rules.context // _LEAST_CONTEXT
    return [1, *(cp for cp in range(2, most + 1) if rules.context % (2 * cp) == 0 and _plain(cp))]


def _plain(number: int) -> bool:
    """A power of two, or three times one: others split no usual context better."""
    odd = number // (number & -number)
    return odd in (1, 3)


def experts(shape: ModelShape, rules: Rules) -> list[int]:
    if rules.executable_only or shape.experts is None:
        return [1]
    return divisors(shape.experts.count)


@lru_cache(maxsize=4096)
def sharding(data_ranks: int, executable_only: bool) -> Integers:
    """(fsdp, zero) over so many data ranks, as two rows."""
    found = [(each, 3) for each in divisors(data_ranks)]
    if data_ranks > 1 and not executable_only:
        found += [(data_ranks, 2), (data_ranks, 1)]
    return _rows(found, 2)


@lru_cache(maxsize=16_384)
def schedules(share: int, pp: int, layers: int, max_micro_batch: int) -> Integers:
    """(micro_batch, accumulate, pipeline, chunks) of a data rank's share of the batch, as four rows."""
    found = []
    kinds = _chunks(pp, layers) if pp > 1 else [(ONE_F_ONE_B, 1)]
    for micro_batch in divisors(share):
        if micro_batch > max_micro_batch:
            break
        times = share // micro_batch
        # Interleaving sends micro-batches round in groups of pp.
        found += [(micro_batch, times, *kind) for kind in kinds if kind[0] != INTERLEAVED or times % pp == 0]
    return _rows(found, 4)


@lru_cache(maxsize=4096)
def _chunks(pp: int, layers: int) -> list[tuple[int, int]]:
    several = [each for each in range(2, min(_MOST_CHUNKS, layers // pp) + 1) if stages_useful(layers, pp * each)]
    whole = [each for each in several if layers % (pp * each) == 0]
    # Where no number of chunks divides the layers, all are about as uneven.
    doubling = [each for each in several if each & (each - 1) == 0]
    interleaved = [(INTERLEAVED, each) for each in (whole or doubling)]
    return [(ONE_F_ONE_B, 1), *interleaved, *([(ZERO_BUBBLE, 2)] if 2 in several else [])]


def _rows(found: Sequence[tuple[int, ...]], width: int) -> Integers:
    table = np.array(found, dtype=np.int64).reshape(-1, width).T.copy()
    table.setflags(write=False)
    return table


@lru_cache(maxsize=65_536)
def _divisors(number: int) -> tuple[int, ...]:
    small = [each for each in range(1, int(number**0.5) + 1) if number % each == 0]
    return (*small, *(number // each for each in reversed(small) if each * each != number))


def divisors(number: int) -> list[int]:
    """In ascending order."""
    return list(_divisors(number))


def node_counts(most: int, batch: int = 0, ranks_per_node: int = 1) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16 … up to `most`, and every number whose ranks divide the batch."""
    counts = {most} if most < 3 else set()
    power = 1
    while power <= most:
        counts |= {each for each in (power, power * 3 // 2 if power > 1 else 1) if each <= most}
        power *= 2
    if batch:
        ranks = (each for each in divisors(batch) if each % ranks_per_node == 0)
        counts |= {each // ranks_per_node for each in ranks if each // ranks_per_node <= most}
    return sorted(counts)
