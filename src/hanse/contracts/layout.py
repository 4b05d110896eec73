"""How a training is laid out over accelerators."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from hanse.contracts.base import Contract, Positive

Recompute = Literal["none", "selective", "full"]
Pipeline = Literal["1f1b", "interleaved", "zero-bubble"]
"""interleaved: several chunks of layers a rank (Narayanan et al. 2021); zero-bubble: ZB-V (Qi et al. 2023)."""


class Layout(Contract):
    """Degrees of parallelism; their product `world_size` is the number of ranks (accelerators).

    dp replicates the model (gradients are all-reduced), fsdp divides state over that many ranks: with `zero` 1 the
    optimiser's, with 2 gradients too, with 3 parameters too (FSDP). tp splits matrices, pp splits layers, cp splits
    the sequence, ep spreads experts (over ranks of dp·fsdp·cp). dp × fsdp with zero 3 is HSDP.
    """

    nodes: Positive = 1
    dp: Positive = 1
    fsdp: Positive = 1
    zero: Literal[1, 2, 3] = 3
    """What the fsdp ranks divide among them; of no meaning with fsdp 1."""
    tp: Positive = 1
    sequence_parallel: bool = True
    """With tp: what lies between the split products is split along the sequence."""
    pp: Positive = 1
    pipeline: Pipeline = "1f1b"
    chunks: Positive = 1
    """Chunks of layers a pipeline rank holds (virtual pipeline)."""
    stages: tuple[Positive, ...] = ()
    """Layers of each stage in the order of the model (pp × chunks of them); empty: as even as can be."""
    cp: Positive = 1
    ep: Positive = 1
    micro_batch: Positive = 1
    """Sequences a rank holds at once."""
    accumulate: Positive = 1
    """Micro-batches a rank works through before the optimiser steps."""
    recompute: Recompute = "none"
    offload: bool = False
    """The optimiser's state lies in the node's main memory."""

    @model_validator(mode="after")
    def _whole(self) -> Layout:
        if self.chunks > 1 and self.pipeline == "1f1b":
            raise ValueError("chunks need pipeline: interleaved or zero-bubble")
        if self.stages and len(self.stages) != self.pp * self.chunks:
            raise ValueError(f"{len(self.stages)} stages are given and pp × chunks is {self.pp * self.chunks}")
        return self

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
        if self.fsdp > 1 and self.zero < 3:
            degrees = [each.replace("fsdp", f"zero-{self.zero}") for each in degrees]
        parts = [
            f"{self.nodes} node{'s' if self.nodes > 1 else ''}",
            *(degrees or ["one rank"]),
            f"micro-batch {self.micro_batch}" + (f" × {self.accumulate}" if self.accumulate > 1 else ""),
        ]
        if self.pp > 1 and self.pipeline != "1f1b":
            parts.append(self.pipeline + (f" × {self.chunks}" if self.chunks > 1 else ""))
        if self.recompute != "none":
            parts.append(f"recompute {self.recompute}")
        if self.offload:
            parts.append("optimiser offloaded")
        return ", ".join(parts)
