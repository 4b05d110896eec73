"""Tensor and sequence parallelism: matrices split by columns, then rows, so that a pair of products meets once.

Shoeybi et al. 2019 (Megatron-LM); with sequence parallelism (Korthikanti et al. 2022) what lies between the pairs is
split along the sequence. A module of the user's brings its own plan: `tensor_parallel_plan`, an attribute or method
that gives {"layers.*.up": "colwise", "layers.*.down": "rowwise"} or torch's own ParallelStyle objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - the name everybody reads
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleInput,
    PrepareModuleInputOutput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

from hanse.contracts.errors import TrainingError
from hanse.training.experts import Mixture
from hanse.training.model import Decoder

PLAN: Final = "tensor_parallel_plan"
_STYLES: Final[dict[str, type[ParallelStyle]]] = {"colwise": ColwiseParallel, "rowwise": RowwiseParallel}


def split_decoder(model: Decoder, mesh: DeviceMesh, *, sequence: bool) -> None:
    """Split the built-in decoder, or a pipeline's part of it, in place over a mesh of one axis."""
    stream: Placement = Shard(1) if sequence else Replicate()
    plan: dict[str, ParallelStyle] = {}
    if model.embed is not None and not isinstance(model.embed.weight, DTensor):  # a tied one is split already
        plan["embed"] = RowwiseParallel(input_layouts=Replicate(), output_layouts=stream)
    if model.head is not None:
        plan["head"] = ColwiseParallel(input_layouts=stream, output_layouts=Shard(-1))
    if sequence:
        plan["norm"] = SequenceParallel()
    for name, block in model.blocks.named_children():
        plan |= {f"blocks.{name}.{key}": style for key, style in _block_plan(block.mlp, stream, sequence).items()}
    present = {name for name, _ in model.named_modules()}
    parallelize_module(model, mesh, {name: style for name, style in plan.items() if name in present})
    model.tied = partial(_tied_head, mesh=mesh, stream=stream)
    model.stream_parts = mesh.size() if sequence else 1
    for block in model.blocks:
        if isinstance(block.mlp, Mixture):
            _place(block.mlp.router, mesh, Replicate())


def split_module(model: nn.Module, mesh: DeviceMesh) -> None:
    """Split a module of the user's by its own plan. Raises TrainingError if it has none, or names nothing in it."""
    given = getattr(model, PLAN, None)
    plan: Mapping[str, Any] | None = given() if callable(given) else given
    if not plan:
        raise TrainingError(
            "tp: a module of yours is split by its own plan, and it has none", where=f"{type(model).__name__}.{PLAN}",
            fix=f'Give it {PLAN} = {{"layers.*.up": "colwise", "layers.*.down": "rowwise"}}, or plan without tp.',
        )  # fmt: skip
    names = [name for name, _ in model.named_modules() if name]
    found: dict[str, ParallelStyle] = {}
    for pattern, style in plan.items():
        matching = [name for name in names if fnmatchcase(name, pattern)]
        made = _STYLES[style]() if isinstance(style, str) and style in _STYLES else style
        if not matching or not isinstance(made, ParallelStyle):
            what = (
                "names no part of the module" if not matching else f"asks for {style!r}; colwise and rowwise are known"
            )
            raise TrainingError(f'tp: "{pattern}" {what}', where=f"{type(model).__name__}.{PLAN}")
        found |= dict.fromkeys(matching, made)
    parallelize_module(model, mesh, found)


def vocabulary_cross_entropy(logits: Tensor, targets: Tensor, group: dist.ProcessGroup, *, vocab: int) -> Tensor:
    """Mean −ln p of targets (rows) where this rank has (rows, its columns) of the logits only."""
    loss: Tensor = _SplitCrossEntropy.apply(logits.float(), targets, group, -(-vocab // dist.get_world_size(group)))
    return loss.mean()


class _SplitCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, group: dist.ProcessGroup, width: int) -> Tensor:
        largest = logits.amax(-1)
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=group)
        shifted = logits - largest[:, None]
        own = targets - dist.get_rank(group) * width
        here = (own >= 0) & (own < logits.shape[-1])
        own = own.clamp(0, logits.shape[-1] - 1)
        picked = shifted.gather(1, own[:, None]).squeeze(1) * here
        weights = shifted.exp_()
        sums = torch.stack((weights.sum(-1), picked))
        dist.all_reduce(sums, group=group)
        ctx.save_for_backward(weights.div_(sums[0][:, None]), own, here)
        return sums[0].log() - sums[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        softmax, own, here = ctx.saved_tensors
        onehot = torch.zeros_like(softmax).scatter_(1, own[:, None], here[:, None].to(softmax.dtype))
        return (softmax - onehot) * gradient[:, None], None, None, None


def _block_plan(mlp: nn.Module, stream: Placement, sequence: bool) -> dict[str, ParallelStyle]:
    rows = partial(RowwiseParallel, output_layouts=stream)
    plan: dict[str, ParallelStyle] = {
        "attention": PrepareModuleInput(input_layouts=(stream, None), desired_input_layouts=(Replicate(), None)),
        "attention.q": ColwiseParallel(), "attention.k": ColwiseParallel(), "attention.v": ColwiseParallel(),
        "attention.o": rows(),
    }  # fmt: skip
    if sequence:
        plan |= {"attention_norm": SequenceParallel(), "mlp_norm": SequenceParallel()}
    if isinstance(mlp, Mixture):
        # Every rank has a part of each expert's width, so what comes out is a summand.
        return plan | {
            "mlp": PrepareModuleInputOutput(
                input_layouts=(stream,), desired_input_layouts=(Replicate(),),
                output_layouts=(Partial(),), desired_output_layouts=(stream,),
            )
        }  # fmt: skip
    return plan | {
        "mlp": PrepareModuleInput(input_layouts=(stream,), desired_input_layouts=(Replicate(),)),
        "mlp.gate": ColwiseParallel(), "mlp.up": ColwiseParallel(), "mlp.down": rows(),
    }  # fmt: skip


def _tied_head(x: Tensor, weight: Tensor, *, mesh: DeviceMesh, stream: Placement) -> Tensor:
    split = x if isinstance(x, DTensor) else DTensor.from_local(x, mesh, [stream], run_check=False)
    logits: Tensor = F.linear(split.redistribute(placements=[Replicate()]), weight)
    return logits.to_local() if isinstance(logits, DTensor) else logits


def _place(module: nn.Module, mesh: DeviceMesh, placement: Placement) -> None:
    """Its parameters over the mesh; every rank has the same, so nothing need travel."""
    for name, parameter in list(module.named_parameters(recurse=False)):
        spread = distribute_tensor(parameter.detach(), mesh, [placement], src_data_rank=None)
        module.register_parameter(name, nn.Parameter(spread))
