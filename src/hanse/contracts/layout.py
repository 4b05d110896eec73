"""How a training is laid out over accelerators."""

from __future__ import annotations

from typing import Literal

from hanse.contracts.base import Contract, Positive

Recompute = Literal["none", "selective", "full"]


class Layout(Contract):
    """Degrees of parallelism; their product `world_size` is the number of ranks (accelerators).

    dp replicates the model (gradients are all-reduced), fsdp shards parameters, gradients and optimiser
    state over that many ranks, tp splits matrices (with sequence parallel), pp splits layers, cp splits
    the sequence, ep spreads experts (inside dp·fsdp). dp × fsdp is HSDP.
    """

    nodes: Positive = 1
    dp: Positive = 1
    fsdp: Positive = 1
    tp: Positive = 1
    pp: Positive = 1
    cp: Positive = 1
    ep: Positive = 1
    micro_batch: Positive = 1
    """Sequences a rank holds at once."""
    accumulate: Positive = 1
    """Micro-batches a rank works through before the optimiser steps."""
    recompute: Recompute = "none"

    @property
    def world_size(self) -> int:
        return self.dp * self.fsdp * self.tp * self.pp * self.cp

    @property
    def ranks_per_node(self) -> int:
        return self.world_size // self.nodes

    @property
    def global_batch(self) -> int:
        return self.dp * self.fsdp * self.micro_batch * self.accumulate

    def describe(self) -> str:
        """'2 nodes, fsdp 2, micro-batch 8 × 4' : only what is not trivial."""
        degrees = [
            f"{name} {getattr(self, name)}"
            for name in ("dp", "fsdp", "tp", "pp", "cp", "ep")
            if getattr(self, name) > 1
        ]
        parts = [
            f"{self.nodes} node{'s' if self.nodes > 1 else ''}",
            *(degrees or ["one rank"]),
            f"micro-batch {self.micro_batch}" + (f" × {self.accumulate}" if self.accumulate > 1 else ""),
        ]
        if self.recompute != "none":
            parts.append(f"recompute {self.recompute}")
        return ", ".join(parts)
