"""Of a block, what the forward pass keeps and what the backward pass computes again."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from hanse.contracts.layout import Recompute

_PRODUCTS: Final = frozenset({"mm", "addmm", "bmm", "baddbmm", "all_to_all_single", "reduce_scatter_tensor"})


def compile_blocks(blocks: Iterable[nn.Module]) -> None:
    """Each block's forward by torch.compile, before anything is put around it: names of parameters stay.

    They are all alike, and compiled once. The compiler's pool of processes, one a core in every rank, would not pay.
    """
    import torch._inductor.config as inductor

    inductor.compile_threads = 1
    for block in blocks:
        block.forward = torch.compile(block.forward)  # type: ignore[method-assign]


def what_to_recompute(asked: Recompute, *, compiled: bool) -> Recompute:
    """Of a compiled block the compiler itself decides what is cheap enough to be computed again: as selective does."""
    return "none" if compiled and asked == "selective" else asked


def recompute(blocks: Iterable[nn.Module], what: Recompute) -> None:
    """full: of each block only its input is kept; selective: also what products and attention made."""
    if what == "none":
        return
    options: dict[str, Any] = {"use_reentrant": False}
    if what == "selective":
        options["context_fn"] = partial(create_selective_checkpoint_contexts, _keep_products)
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, **options)  # type: ignore[method-assign]


def _keep_products(_context: Any, operation: Any, *_arguments: Any, **_named: Any) -> Any:
    name = operation._overloadpacket.__name__ if hasattr(operation, "_overloadpacket") else ""
    kept = name in _PRODUCTS or "scaled_dot_product" in name
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE
