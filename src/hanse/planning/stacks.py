"""Training software: what is usual for it, and how far its runs were from the usual stack's (`stacks.yaml`).

A stack is found by its name, by the longest known name that its own begins with or holds, else it is `default`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from hanse.planning.inputs import BF16, FP8, Stack

COMPILED: Final = 0.73
"""Elementwise traffic of compiled over that of single fused kernels."""
UNFUSED_SCORES: Final = 2.0
"""Traffic of stored scores where mask, scaling and softmax are single operations."""
TENSOR_OVERLAPPED: Final = 0.44
"""Share of tensor parallelism's messages that shows where the software overlaps them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """One stack. The first sixteen are the kernel's `Stack`; the others are what is usual where a run does not say."""

    compute: float = 1.0
    traffic: float = 0.85
    launch: float = 1.0
    exposed: float = 0.3
    tensor_exposed: float = 0.65
    tiled: float = 1.0
    cudnn: float = 0.75
    gradient_bytes: float = 4.0
    accumulate: float = 1.5
    every_micro_batch: float = 0.0
    prefetch: float = 1.0
    flat: float = 0.0
    plain_norms: float = 0.5
    plain_rotary: float = 0.5
    scores: float = 1.0
    selective: float = 0.5
    zero: float = 1.0
    sequence_parallel: float = 1.0
    recompute: float = 0.0
    interleaves: bool = True
    hopper_fp8: bool = False
    """Runs whose precision is not stated are fp8 ones where the accelerator has it."""
    known: bool = False
    name: str = "default"
    kind: str = "default"

    def values(self) -> dict[str, float]:
        """The kernel's fields."""
        own = asdict(self)
        return {each.name: float(own[each.name]) for each in fields(Stack)}

    def precision_of(self, newer: float, fp8: float) -> int:
        return FP8 if self.hopper_fp8 and newer and fp8 else BF16

    def stack(self) -> Stack:
        return Stack(**self.values())


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("stacks.yaml").read_text())
    return data


def names() -> tuple[str, ...]:
    """Every stack there is a row for."""
    return tuple(_data()["stacks"])


@cache
def find(name: str, *, fitted: bool = True) -> Traits:
    """Traits of the stack of that name, or the default's; without what was fitted to its runs, if asked."""
    data = _data()
    wanted = name.strip().lower().replace("_", "-").replace(" ", "-")
    known = data["stacks"]
    match = wanted if wanted in known else None
    if match is None and wanted:
        held = [each for each in known if each in wanted]
        match = max(held, key=len, default=None)
    if match is None:
        return Traits(**data["kinds"]["default"])
    own = dict(known[match])
    kind = own.pop("kind")
    of_kinds, of_stacks = data["fitted"]["kinds"], data["fitted"]["stacks"]
    traits = Traits(**(data["kinds"][kind] | own), known=match in of_stacks, name=match, kind=kind)
    for factors in (of_kinds.get(kind, {}), of_stacks.get(match, {})) if fitted else ():
        traits = replace(traits, **{name: getattr(traits, name) * value for name, value in factors.items()})
    return replace(traits, exposed=min(1.0, traits.exposed))
