"""Which gradients of a model spread over ranks are summed by whom, and how often each part of them is held."""

from __future__ import annotations

from collections.abc import Iterator

import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor

from hanse.contracts.layout import Layout
from hanse.training import parallelize_state as state
from hanse.training.model import Decoder
from hanse.training.parallelize_gradients import Sum
from hanse.training.parallelize_mesh import Ranks, data_ranks


def plain_data_parallel(layout: Layout) -> bool:
    return layout.dp > 1 and layout.world_size == layout.dp and layout.ep == 1


def sums_of(parts: list[nn.Module], ranks: Ranks, experts: set[int]) -> Iterator[Sum]:
    """What neither DDP nor FSDP reduces."""
    layout = ranks.layout
    trained = [each for _, each in state.named_parameters(parts) if each.requires_grad]
    shared = tuple(each for each in trained if id(each) not in experts)
    if layout.dp > 1 and layout.fsdp == 1 and not plain_data_parallel(layout):
        yield Sum(parameters=shared, group=ranks.group("dp"), divide=layout.dp)
    if layout.cp > 1:
        yield Sum(parameters=shared, group=ranks.group("cp"), divide=layout.cp)
    if ranks.experts is not None:
        # An expert's gradient sums what the tokens of all its users say; the loss is the mean over all data ranks.
        # FSDP takes the mean over the copies it shards, so that only the users of one copy are left.
        copies = ranks.expert_copies
        spread_out = tuple(each for each in trained if id(each) in experts)
        sharded = layout.fsdp > 1 and copies is not None
        yield Sum(
            parameters=spread_out, group=None if sharded or copies is None else copies.get_group(),
            divide=layout.ep if sharded else data_ranks(layout),
        )  # fmt: skip
    if (held := _tied_over_stages(parts, ranks)) is not None:
        yield held


def _tied_over_stages(parts: list[nn.Module], ranks: Ranks) -> Sum | None:
    """The embedding that the first and the last stage both hold, where these lie on two ranks."""
    layout = ranks.layout
    if layout.pp == 1 or layout.pipeline == "zero-bubble" or ranks.at("pp") not in (0, layout.pp - 1):
        return None
    ends = [part for part in parts if isinstance(part, Decoder) and part.shape.tied_head and (part.first or part.last)]
    if not ends:
        return None
    stride = layout.world_size // layout.pp
    place = ranks.rank % stride
    group = dist.new_group([place, place + (layout.pp - 1) * stride], use_local_synchronization=True)
    return Sum(parameters=tuple(end.embed.weight for end in ends if end.embed is not None), group=group)


def counted(parts: list[nn.Module], ranks: Ranks) -> Iterator[tuple[nn.Parameter, float]]:
    """Each trained parameter, and how many ranks hold the same part; of a tied one its second holder counts none."""
    layout = ranks.layout
    seconds = {
        id(part.embed.weight)
        for part in parts
        if isinstance(part, Decoder) and layout.pp > 1 and part.embed is not None and not part.first
    }
    firsts = {
        id(part.embed.weight) for part in parts if isinstance(part, Decoder) and part.first and part.embed is not None
    }
    for _, parameter in state.named_parameters(parts):
        if not parameter.requires_grad:
            continue
        pieces = layout.pp
        if isinstance(parameter, DTensor):
            for axis, placement in enumerate(parameter.placements):
                pieces *= 1 if placement.is_replicate() else parameter.device_mesh.size(axis)
        second = id(parameter) in seconds - firsts
        yield parameter, float("inf") if second else layout.world_size / pieces
