"""Of a block, what the forward pass keeps and what the backward pass computes again."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from hanse.contracts.layout import Recompute

_PRODUCTS: Final = frozenset({"mm", "addmm", "bmm", "baddbmm", "all_to_all_single", "reduce_scatter_tensor"})


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
