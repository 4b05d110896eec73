"""Which rank is where: the layout's degrees as axes of a DeviceMesh, and the groups that ranks talk in.

Ranks are numbered with tp fastest, then cp, fsdp, dp, then pp, as the planner has it: what talks most sits nearest.
A second mesh divides the same ranks for experts: `ep` neighbours among the data ranks (dp × fsdp × cp) share one set of
experts, and `edp` such sets hold copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from hanse.contracts.layout import Layout

AXES: Final = ("pp", "dp", "fsdp", "cp", "tp")
"""The slowest first."""
EXPERT_AXES: Final = ("pp", "edp", "ep", "tp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This rank's place among all. Axes of degree 1 are in no mesh."""

    layout: Layout
    device: torch.device
    mesh: DeviceMesh
    experts: DeviceMesh | None
    """None without expert parallelism."""
    rank: int
    pretended: bool = False
    """A dry run's ranks, of which there is but this one."""
    shards: DeviceMesh | None = None
    """dp × fsdp, where fsdp is above 1."""
    tensors: DeviceMesh | None = None
    expert_split: DeviceMesh | None = None
    """ep × tp, where either is above 1."""
    expert_copies: DeviceMesh | None = None
    """Ranks that hold the same experts, where there are several."""

    @classmethod
    def of(cls, layout: Layout, device: torch.device, *, pretended: bool = False) -> Ranks:
        """Called by every rank of the default process group, of which there are `layout.world_size`."""
        mesh = _mesh(device, AXES, [getattr(layout, name) for name in AXES])
        experts = None
        if layout.ep > 1:
            experts = _mesh(device, EXPERT_AXES, [layout.pp, data_ranks(layout) // layout.ep, layout.ep, layout.tp])
        wide = tuple(name for name in ("ep", "tp") if getattr(layout, name) > 1)
        sharded = mesh["dp", "fsdp"] if layout.dp > 1 and layout.fsdp > 1 else mesh["fsdp"] if layout.fsdp > 1 else None
        copied = experts is not None and "edp" in (experts.mesh_dim_names or ())
        return cls(
            layout=layout, device=device, mesh=mesh, experts=experts, rank=dist.get_rank(), pretended=pretended,
            shards=sharded, tensors=mesh["tp"] if layout.tp > 1 else None,
            expert_split=(mesh if experts is None else experts)[wide] if wide else None,
            expert_copies=experts["edp"] if experts is not None and copied else None,
        )  # fmt: skip

    def degree(self, axis: str) -> int:
        return int(getattr(self.layout, axis))

    def at(self, axis: str) -> int:
        """This rank's place along the axis; 0 where its degree is 1."""
        return coordinates(self.layout, self.rank)[axis]

    def group(self, axis: str) -> dist.ProcessGroup:
        """Of the ranks that differ along this axis alone; its degree is above 1."""
        return self.mesh.get_group(axis)

    @property
    def data_rank(self) -> int:
        """Which slice of a step's samples this rank reads, of `dp × fsdp`."""
        place = coordinates(self.layout, self.rank)
        return place["dp"] * self.layout.fsdp + place["fsdp"]

    @property
    def data_ranks(self) -> int:
        return self.layout.dp * self.layout.fsdp

    @property
    def random_rank(self) -> int:
        """Ranks that work on the same tokens draw the same random numbers."""
        return self.data_rank * self.layout.cp + self.at("cp")


def data_ranks(layout: Layout) -> int:
    """Ranks that work on different tokens."""
    return layout.dp * layout.fsdp * layout.cp


def coordinates(layout: Layout, rank: int) -> dict[str, int]:
    """Where `rank` stands along each axis."""
    found = {}
    for name in reversed(AXES):
        rank, found[name] = divmod(rank, getattr(layout, name))
    return found


def _mesh(device: torch.device, names: Sequence[str], degrees: Sequence[int]) -> DeviceMesh:
    wide = [(name, degree) for name, degree in zip(names, degrees, strict=True) if degree > 1] or [("dp", 1)]
    return init_device_mesh(
        device.type, tuple(degree for _, degree in wide), mesh_dim_names=tuple(name for name, _ in wide)
    )
