"""A plan as the configuration of the program that trains: Hanse's own trainer, or one of four others.

Each module here has `write(plan) -> Handover`, a pure function. What a tool has no word for is refused, never left out:
a configuration that trains something else than was planned is worse than none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hanse.contracts.plan import Plan
from hanse.planning.handover import accelerate, deepspeed, megatron, torchtitan, trainer
from hanse.planning.handover.common import Handover
from hanse.planning.options import PIPELINES

TOOLS: Final[dict[str, Callable[[Plan], Handover]]] = {
    "hanse": trainer.write,
    "torchtitan": torchtitan.write,
    "megatron": megatron.write,
    "accelerate": accelerate.write,
    "deepspeed": deepspeed.write,
}

__all__ = ["TOOLS", "Handover"]

WITHIN: Final[dict[str, tuple[dict[str, int], ...]]] = {
    "megatron": (
        {"offload": 0, "pipeline": PIPELINES.index("interleaved")},
        {"offload": 0, "pipeline": PIPELINES.index("1f1b")},
    ),
    "torchtitan": ({"offload": 0, "zero": 3}, {"offload": 0, "zero": 3, "pipeline": PIPELINES.index("1f1b")}),
    "accelerate": ({"pp": 1, "offload": 0}, {"pp": 1, "ep": 1, "cp": 1, "tp": 1, "offload": 0}),
    "deepspeed": ({"dp": 1, "pp": 1, "cp": 1, "ep": 1}, {"dp": 1, "pp": 1, "cp": 1, "ep": 1, "tp": 1}),
    "hanse": ({"tp": 1, "pp": 1, "cp": 1, "ep": 1, "offload": 0, "zero": 3},),
}
"""Columns of `space.Layouts` that keep a search to what a tool can be told, one set after the other."""
