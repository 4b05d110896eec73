"""From a layout to a model spread over the ranks: DDP for dp, fully_shard for fsdp, both (HSDP) on a 2-D mesh.

Known shapes are made without memory, spread, then filled parameter by parameter from (seed, name): no rank ever holds
the whole of a sharded model. A module of the user's is built by every rank under the same seed, then spread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from hanse.contracts.errors import TrainingError
from hanse.contracts.layout import Layout
from hanse.contracts.workload import Precision
from hanse.training import compat, entry, tune
from hanse.training.job import Job
from hanse.training.model import Decoder


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """The model on this rank's device, and how its ranks work together."""

    model: nn.Module
    layout: Layout
    device: torch.device
    precision: Precision

    @contextmanager
    def micro_batch(self, *, last: bool) -> Iterator[None]:
        """Around forward and backward of one micro-batch: gradients travel with the last one of a step only."""
        waiting: Any = nullcontext()
        if isinstance(self.model, DistributedDataParallel):
            waiting = nullcontext() if last else self.model.no_sync()
        elif isinstance(self.model, FSDPModule):
            self.model.set_requires_gradient_sync(last)
        with waiting, compat.autocast(self.device, enabled=self.precision == "bf16"):
            yield

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [each for each in self.model.parameters() if each.requires_grad]


def parallelize(job: Job, device: torch.device) -> Parallel:
    """Build the job's model and spread it as its layout says."""
    layout = job.layout
    refuse_what_is_not_built(layout, job.spec.precision)
    model = _build(job)
    blocks = _blocks(model)
    if layout.recompute == "full":
        for block in blocks:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    if layout.fsdp > 1:
        _shard(model, blocks, _mesh(layout, device), job.spec.precision)
    if job.shape is not None:
        _fill(model, tune.first_values(job), device)
    else:
        model.to(device)
    if layout.fsdp == 1 and layout.dp > 1:
        model = DistributedDataParallel(
            model, device_ids=[device.index] if device.type == "cuda" else None, gradient_as_bucket_view=True
        )
    return Parallel(model=model, layout=layout, device=device, precision=job.spec.precision)


def refuse_what_is_not_built(layout: Layout, precision: Precision) -> None:
    """Raises TrainingError for a layout this trainer cannot execute."""
    degrees = [name for name in ("tp", "pp", "cp", "ep") if getattr(layout, name) > 1]
    missing = degrees + (["recompute: selective"] if layout.recompute == "selective" else [])
    missing += ["precision: fp8"] if precision == "fp8" else []
    if missing:
        raise TrainingError(
            f"Hanse's trainer cannot execute {', '.join(missing)} yet", where=f"layout {layout.describe()}",
            fix="Plan again without it: dp, fsdp, accumulate, recompute none or full, fp32 or bf16.",
        )  # fmt: skip


def clip_gradients(parallel: Parallel, limit: float) -> float:
    """Scale all gradients so that their norm over the whole model is at most `limit`; return the norm before."""
    parameters = parallel.parameters
    norm = compat.total_norm(parameters)
    compat.scale_gradients(parameters, norm=norm, limit=limit)
    return float(norm)


def plain_model(job: Job) -> nn.Module:
    """The job's model on the CPU, not spread and with weights of no meaning: to be loaded into."""
    if job.shape is None:
        return entry.build(job.model, job.run.code)
    with torch.device("meta"):
        model = tune.adapt(Decoder(job.shape), job)
    return model.to_empty(device="cpu")


def _build(job: Job) -> nn.Module:
    if job.shape is None:
        torch.manual_seed(job.spec.seed)
        return entry.build(job.model, job.run.code)
    with torch.device("meta"):
        return tune.adapt(Decoder(job.shape), job)


def _blocks(model: nn.Module) -> list[nn.Module]:
    """The repeated layers: those of the longest ModuleList, where there is one."""
    lists = [list(each) for each in model.modules() if isinstance(each, nn.ModuleList)]
    return max(lists, key=len, default=[])


def _mesh(layout: Layout, device: torch.device) -> DeviceMesh:
    if layout.dp == 1:
        return init_device_mesh(device.type, (layout.fsdp,), mesh_dim_names=("fsdp",))
    # fsdp is the fast axis: shards stay inside a node, where links are best.
    return init_device_mesh(device.type, (layout.dp, layout.fsdp), mesh_dim_names=("dp", "fsdp"))


def _shard(model: nn.Module, blocks: list[nn.Module], mesh: DeviceMesh, precision: Precision) -> None:
    policy = (
        MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        if precision == "bf16"
        else MixedPrecisionPolicy()
    )
    for block in blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)


def _fill(model: nn.Module, first: tune.FirstValue, device: torch.device) -> None:
    model.to_empty(device=device)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(_like(parameter, first(name, parameter.shape).to(device)))


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    if not isinstance(parameter, DTensor):
        return value
    # Every rank has made the same value; nothing need travel.
    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)


def mean_over_ranks(values: Tensor) -> Tensor:
    """Element-wise mean of one small tensor over all ranks."""
    dist.all_reduce(values)
    return values / dist.get_world_size()
