"""Which rank of a layout does what, and on which node: numbered with tp fastest, then cp, fsdp, dp, then pp."""

from __future__ import annotations

from typing import NamedTuple

from hanse.contracts.layout import Layout
from hanse.contracts.workload import ModelShape


class Rank(NamedTuple):
    """One accelerator's place, all counted from 0."""

    stage: int
    copy: int
    """Which of the dp copies it belongs to."""
    shard: int
    """Which of the fsdp parts of a copy's state it keeps."""
    slice: int
    """Which part of the sequence it sees (cp)."""
    part: int
    """Which part of each matrix it holds (tp)."""

    @property
    def team(self) -> tuple[int, int, int, int]:
        """Ranks that split each matrix among them have the same."""
        return self.stage, self.copy, self.shard, self.slice


def place(layout: Layout, rank: int) -> Rank:
    rest, part = divmod(rank, layout.tp)
    rest, slice_ = divmod(rest, layout.cp)
    rest, shard = divmod(rest, layout.fsdp)
    stage, copy = divmod(rest, layout.dp)
    return Rank(stage, copy, shard, slice_, part)


def on_node(layout: Layout, node: int) -> tuple[Rank, ...]:
    """The ranks of one node, in order."""
    held = layout.ranks_per_node
    return tuple(place(layout, rank) for rank in range(node * held, (node + 1) * held))


def teams(ranks: tuple[Rank, ...]) -> tuple[tuple[Rank, ...], ...]:
    """Ranks of a node in the groups that split each matrix."""
    found: list[list[Rank]] = []
    for rank in ranks:
        if found and found[-1][-1].team == rank.team:
            found[-1].append(rank)
        else:
            found.append([rank])
    return tuple(tuple(team) for team in found)


def nodes_a_stage(layout: Layout) -> int:
    """Whole nodes each pipeline stage fills; 0 where a node holds several stages, or parts of them."""
    return layout.nodes // layout.pp if layout.nodes % layout.pp == 0 else 0


def layers_of_ranks(layout: Layout, shape: ModelShape) -> tuple[int, ...] | None:
    """Layers each pipeline rank holds, where the plan says or all are alike."""
    stages = layout.pp * layout.chunks
    if not layout.stages:
        return (shape.layers // layout.pp,) * layout.pp if shape.layers % stages == 0 else None
    if layout.pipeline == "zero-bubble" and layout.chunks == 2:  # its second chunk goes back the way it came
        return tuple(layout.stages[rank] + layout.stages[-1 - rank] for rank in range(layout.pp))
    return tuple(sum(layout.stages[rank :: layout.pp]) for rank in range(layout.pp))
