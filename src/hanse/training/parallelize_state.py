"""What a checkpoint holds of a model and its optimiser, by the names parameters have in the whole model.

Names and global shapes know no layout: every rank gives what it holds as (parts of) the same tensors, and any layout
reads them back. The optimiser's settings are the spec's and the step's, so of it only moments and steps are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

MOMENTS = ("exp_avg", "exp_avg_sq")


def named_parameters(parts: Iterable[nn.Module]) -> Iterator[tuple[str, nn.Parameter]]:
    """Each parameter that this rank holds once, by its name in the whole model."""
    seen: set[int] = set()
    for part in parts:
        for name, parameter in unwrapped(part).named_parameters():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield plain(name), parameter


def tensors(parts: Iterable[nn.Module]) -> dict[str, Tensor]:
    """Parameters and lasting buffers, under all their names."""
    return {plain(name): value for part in parts for name, value in unwrapped(part).state_dict().items()}


def whole_state(parts: Iterable[nn.Module], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Model and optimiser, sharing their memory: to be saved, or to be loaded into."""
    parts = list(parts)
    moments = {}
    for name, parameter in named_parameters(parts):
        if parameter.requires_grad:
            moments[name] = _moments(optimizer, parameter)
    return {"model": tensors(parts), "optimizer": {"state": moments}}


def full(parts: Iterable[nn.Module], pipeline: dist.ProcessGroup | None) -> dict[str, Tensor]:
    """The whole model on the CPU of rank 0; called by all ranks, of which the others get nothing of use."""
    parts = list(parts)
    found: dict[str, Tensor] = {}
    # Of all pipelines only rank 0's is gathered: the others hold the same.
    wanted = dist.get_rank() == 0 if pipeline is None else 0 in dist.get_process_group_ranks(pipeline)
    for name, value in tensors(parts).items():
        whole = value.full_tensor() if isinstance(value, DTensor) else value
        if wanted and isinstance(whole, Tensor):  # a module's extra state may be anything
            found[name] = whole.detach().cpu()
    if pipeline is None or not wanted:
        return found
    # One tensor at a time through rank 0's device, which never holds more than its own stage and one of another's.
    device = next(each.device for each in found_on(parts))
    stage = dist.get_rank(pipeline)
    listed: list[Any] = [None] * dist.get_world_size(pipeline)
    dist.all_gather_object(listed, [(name, value.shape, value.dtype) for name, value in found.items()], group=pipeline)
    for sender, theirs in enumerate(listed[1:], start=1):
        for name, size, dtype in theirs:
            if stage == sender:
                dist.send(found[name].to(device).contiguous(), group=pipeline, group_dst=0)
            elif stage == 0:
                received = torch.empty(size, dtype=dtype, device=device)
                dist.recv(received, group=pipeline, group_src=sender)
                found[name] = received.cpu()
    return found


def found_on(parts: Iterable[nn.Module]) -> Iterator[Tensor]:
    """The parameters, wherever they lie."""
    return (each for part in parts for each in part.parameters())


def unwrapped(part: nn.Module) -> nn.Module:
    """Without DDP around it. A child of the user's that is named `module`, too, keeps its name."""
    return part.module if isinstance(part, DistributedDataParallel) else part  # type: ignore[no-any-return]


def plain(name: str) -> str:
    """Without what torch.compile puts before it."""
    return name.replace("_orig_mod.", "")


def _moments(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> dict[str, Tensor]:
    """AdamW's state of one parameter, made as AdamW makes it where no step was taken yet."""
    state = optimizer.state[parameter]
    if "step" not in state:
        state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        for name in MOMENTS:
            state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    return {name: state[name] for name in ("step", *MOMENTS)}
