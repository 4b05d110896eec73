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

TOOLS: Final[dict[str, Callable[[Plan], Handover]]] = {
    "hanse": trainer.write,
    "torchtitan": torchtitan.write,
    "megatron": megatron.write,
    "accelerate": accelerate.write,
    "deepspeed": deepspeed.write,
}

__all__ = ["TOOLS", "Handover"]
