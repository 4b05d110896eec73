"""From a layout to a model spread over the ranks of a DeviceMesh: data, tensor, pipeline, context and expert parallel.

Built-in models are made without memory, spread, then filled parameter by parameter from (seed, name): no rank ever
holds the whole of a sharded model. A module of the user's is built by every rank under the same seed, then spread; its
repeated block is that of its longest ModuleList, or named by its attribute `repeated_block`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - the name everybody reads
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from hanse.contracts.errors import TrainingError
from hanse.contracts.layout import Layout
from hanse.contracts.workload import Precision
from hanse.training import compat, entry, tune
from hanse.training import parallelize_gradients as gradients
from hanse.training import parallelize_masks as masks
from hanse.training import parallelize_state as state
from hanse.training.clock import Clock
from hanse.training.context import ContextPart
from hanse.training.experts import ExpertRanks, ExpertWeights, Mixture
from hanse.training.job import Job
from hanse.training.model import Decoder
from hanse.training.parallelize_mesh import Ranks
from hanse.training.parallelize_recompute import compile_blocks, recompute, what_to_recompute
from hanse.training.parallelize_sums import counted, plain_data_parallel, sums_of
from hanse.training.parallelize_tensor import split_decoder, split_module, vocabulary_cross_entropy
from hanse.training.pipeline import Schedule, parts_of
from hanse.workloads import layouts

BLOCK: Final = "repeated_block"
"""Attribute of a user's module: the name of what repeats, 'encoder.layers'."""

Initial = Callable[[str, torch.Size], Tensor]
"""The first value of a parameter, by its name and its shape in the whole model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """The model on this rank's device, and how its ranks work together."""

    model: nn.Module
    """With a pipeline, a ModuleList of this rank's stages."""
    ranks: Ranks
    precision: Precision
    sums: tuple[gradients.Sum, ...]
    counted: tuple[tuple[nn.Parameter, float], ...]
    """Parameters whose gradients make the norm, and how many ranks hold the same part of each."""
    schedule: Schedule | None = None

    @property
    def layout(self) -> Layout:
        return self.ranks.layout

    @property
    def device(self) -> torch.device:
        return self.ranks.device

    @property
    def parts(self) -> list[nn.Module]:
        return list(self.model.children()) if self.schedule is not None else [self.model]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Those that this rank holds parts of and that are trained."""
        return [each for _, each in self.named_parameters() if each.requires_grad]

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        return state.named_parameters(self.parts)

    def backward(self, ids: Tensor) -> Tensor:
        """Gradients of the mean loss over this rank's samples of a step, (rows, context + 1); its tokens' loss."""
        inputs, targets = self._cut(ids)
        if self.schedule is not None:
            with compat.autocast(self.device, enabled=self.precision == "bf16"):
                loss = self.schedule.step(inputs, targets)
        else:
            loss = self._accumulated(inputs, targets)
        self.reduce()
        return loss

    def reduce(self) -> None:
        """After the last backward pass of a step: what DDP and FSDP do not bring together themselves."""
        gradients.settle(self.parameters)
        gradients.reduce(self.sums)

    @torch.no_grad()
    def loss(self, ids: Tensor) -> Tensor:
        """The mean loss of samples without gradients; the mean over the ranks that share them."""
        inputs, targets = self._cut(ids)
        with compat.autocast(self.device, enabled=self.precision == "bf16"):
            if self.schedule is not None:
                loss = self.schedule.look(inputs, targets)
            else:
                loss = self.token_loss(self.model(inputs), targets)
        if self.layout.cp > 1:
            dist.all_reduce(loss, group=self.ranks.group("cp"))
            loss = loss / self.layout.cp
        return loss

    def clip(self, limit: float) -> float:
        """Scale all gradients so that their norm over the whole model is at most `limit`; return the norm before."""
        norm = gradients.total_norm(self.counted, self.device)
        gradients.clip(self.parameters, norm=norm, limit=limit)
        return float(norm)

    def state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Model and optimiser to be saved, or loaded into in place; the same names whatever the layout."""
        return state.whole_state(self.parts, optimizer)

    def full_state(self) -> dict[str, Tensor]:
        """The whole model on the CPU of rank 0; called by all ranks."""
        return state.full(self.parts, self.ranks.group("pp") if self.layout.pp > 1 else None)

    @property
    def total_parameters(self) -> int:
        """Of the whole model that are trained; the same on every rank, and called by all."""
        tied_twice = {id(each) for each, times in self.counted if times == float("inf")}
        own = sum(each.numel() for each in self.parameters if id(each) not in tied_twice)
        if self.layout.pp == 1:
            return own
        total = torch.tensor([own], dtype=torch.int64, device=self.device)
        dist.all_reduce(total, group=self.ranks.group("pp"))
        return int(total)

    def token_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean over tokens of −ln p(next token)."""
        flat = logits.flatten(0, 1)
        if self.layout.tp > 1 and self.vocab is not None:
            return vocabulary_cross_entropy(flat, targets.flatten(), self.ranks.group("tp"), vocab=self.vocab)
        return F.cross_entropy(flat.float(), targets.flatten())

    vocab: int | None = None
    """Of a built-in model, whose logits are split over tp."""
    clock: Clock | None = None
    """Tells forward from backward; None in a pipeline, which does both in turn."""
    masked: bool = False
    """Some tokens are only read: a token t that is not learned comes as -1 - t. In layouts of dp and fsdp."""

    def _cut(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        inputs, targets = ids[:, :-1], ids[:, 1:]
        if self.masked:
            return masks.cut(ids)
        if self.layout.cp == 1:
            return inputs.contiguous(), targets
        part = _context(self.ranks)
        return part.cut(inputs), part.cut(targets)

    @torch.no_grad()
    def learned_loss(self, ids: Tensor) -> tuple[Tensor, int]:
        """Of masked samples: the sum over the tokens learned, and how many they are."""
        inputs, targets = self._cut(ids)
        with compat.autocast(self.device, enabled=self.precision == "bf16"):
            total = masks.loss_sum(self.model(inputs), targets)
        return total, int((targets != masks.UNLEARNED).sum())

    def _accumulated(self, inputs: Tensor, targets: Tensor) -> Tensor:
        layout = self.layout
        loss = torch.zeros((), device=self.device)
        learned = masks.learned_by_all(targets) if self.masked else None
        pieces = zip(inputs.split(layout.micro_batch), targets.split(layout.micro_batch), strict=True)
        for number, (tokens, following) in enumerate(pieces, start=1):
            waiting: Any = nullcontext()
            # Gradients travel with the last micro-batch of a step only.
            if isinstance(self.model, DistributedDataParallel) and number < layout.accumulate:
                waiting = self.model.no_sync()
            elif isinstance(self.model, FSDPModule):
                self.model.set_requires_gradient_sync(number == layout.accumulate)
            if self.clock is not None:
                self.clock.begin()
            with waiting, compat.autocast(self.device, enabled=self.precision == "bf16"):
                # The logits have no name here: they would live on through the backward pass.
                if learned is not None:
                    part = masks.loss_sum(self.model(tokens), following) / learned.to(torch.float32)
                else:
                    part = self.token_loss(self.model(tokens), following) / layout.accumulate
                if self.clock is not None:
                    self.clock.mark("forward")
                torch.autograd.backward(part)
            if self.clock is not None:
                self.clock.mark("backward")
            loss += part.detach()
        return loss


def spread(job: Job, device: torch.device) -> Parallel:
    """Build the job's model and spread it as its layout says."""
    refuse_what_is_not_built(job)
    model = _build(job)
    initial = tune.first_values(job) if job.shape is not None else None
    spread_out = parallelize(
        model, job.layout, device=device, precision=job.spec.precision, initial=initial, compiled=job.spec.compile
    )
    masked = any(each.kind == "messages" or each.boundaries for each in job.spec.data)
    return replace(spread_out, masked=masked)


def parallelize(
    model: nn.Module, layout: Layout, *, device: torch.device, precision: Precision = "fp32",
    initial: Initial | None = None, compiled: bool = False, ranks: Ranks | None = None,
    place: Callable[[nn.Module], None] | None = None,
) -> Parallel:  # fmt: skip
    """Spread `model`, the same on every rank, over the ranks of the default process group.

    A `Decoder` on the meta device is filled by `initial`; any other module keeps the values it has. `place` does both
    in another way, as a dry run does.

    Raises:
        TrainingError: the layout is none the trainer can execute for this model.
    """
    shape = model.shape if isinstance(model, Decoder) else None
    if (because := layouts.refusal(layout, shape, own_module=shape is None, compiled=compiled)) is not None:
        raise TrainingError(because, where=f"layout {layout.describe()}", fix="Plan again, or take that one.")
    ranks = ranks or Ranks.of(layout, device)
    parts: list[nn.Module] = [model]
    numbered = parts_of(model, ranks) if layout.pp > 1 and isinstance(model, Decoder) else []
    if numbered:
        parts = [part.module for part in numbered]
    _split(parts, ranks)
    for part in parts:
        if compiled:
            compile_blocks(blocks_of(part))
        recompute(blocks_of(part), what_to_recompute(layout.recompute, compiled=compiled))
        if layout.fsdp > 1:
            _shard(part, ranks, precision)
        if place is not None:
            place(part)
        else:
            _place(part, device, initial)
    whole: nn.Module = nn.ModuleList(parts) if numbered else parts[0]
    if plain_data_parallel(layout) and not ranks.pretended:
        whole = DistributedDataParallel(
            whole, device_ids=[device.index] if device.type == "cuda" else None, gradient_as_bucket_view=True
        )
    experts = {id(each) for part in parts for each in _expert_parameters(part)} if layout.ep > 1 else set()
    made = Parallel(
        model=whole, ranks=ranks, precision=precision, sums=tuple(sums_of(parts, ranks, experts)),
        counted=tuple(counted(parts, ranks)), vocab=shape.vocab if shape else None,
        clock=None if numbered else Clock(device),
    )  # fmt: skip
    if not numbered:
        return made
    half = precision == "bf16"
    schedule = Schedule(
        ranks, numbered, made.token_loss,
        stream=torch.bfloat16 if half and layout.fsdp > 1 else torch.float32,
        logits=torch.bfloat16 if half else torch.float32,
    )  # fmt: skip
    return Parallel(
        model=whole, ranks=ranks, precision=precision, sums=made.sums, counted=made.counted, vocab=made.vocab,
        schedule=schedule,
    )  # fmt: skip


def refuse_what_is_not_built(job: Job) -> None:
    """Raises TrainingError for a precision or layout this trainer cannot execute."""
    layout = job.layout
    where = f"layout {layout.describe()}"
    if job.spec.precision == "fp8":
        raise TrainingError("Hanse's trainer has no fp8", where=where, fix="Set precision: bf16.")
    because = layouts.refusal(
        layout,
        job.shape,
        own_module=job.shape is None,
        tuned=job.spec.training != "pretraining",
        compiled=job.spec.compile,
    )
    if because is not None:
        raise TrainingError(because, where=where, fix="Plan again, or take that one.")


def plain_model(job: Job) -> nn.Module:
    """The job's model on the CPU, not spread and with weights of no meaning: to be loaded into."""
    if job.shape is None:
        return entry.build(job.model, job.run.code)
    with torch.device("meta"):
        model = tune.adapt(Decoder(job.shape), job)
    return model.to_empty(device="cpu")


def mean_over_ranks(values: Tensor) -> Tensor:
    """Element-wise mean of one small tensor over all ranks."""
    dist.all_reduce(values)
    return values / dist.get_world_size()


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The repeated layers: those named, else those of the longest ModuleList, where there is one."""
    if (name := getattr(model, BLOCK, None)) is not None:
        return list(model.get_submodule(str(name)).children())
    lists = [list(each) for each in model.modules() if isinstance(each, nn.ModuleList)]
    return max(lists, key=len, default=[])


def _build(job: Job) -> nn.Module:
    if job.shape is None:
        torch.manual_seed(job.spec.seed)
        return entry.build(job.model, job.run.code)
    with torch.device("meta"):
        return tune.adapt(Decoder(job.shape), job)


def _context(ranks: Ranks) -> ContextPart:
    return ContextPart(rank=ranks.at("cp"), ranks=ranks.layout.cp, group=ranks.group("cp"))


def _split(parts: list[nn.Module], ranks: Ranks) -> None:
    """Over tp, cp and ep, in place."""
    layout = ranks.layout
    for part in parts:
        if not isinstance(part, Decoder):
            if ranks.tensors is not None:
                split_module(part, ranks.tensors)
            continue
        if ranks.tensors is not None:
            split_decoder(part, ranks.tensors, sequence=layout.sequence_parallel)
        if layout.cp > 1:
            part.context = _context(ranks)
            for block in part.blocks:
                block.attention.context = part.context
        for block in part.blocks:
            if isinstance(block.mlp, Mixture):
                _split_experts(block.mlp, ranks)


def _split_experts(mixture: Mixture, ranks: Ranks) -> None:
    """Experts over ep, and the width of each over tp."""
    layout = ranks.layout
    mesh = ranks.expert_split
    if mesh is None:
        return
    axes = mesh.mesh_dim_names or ()
    for name, parameter in list(mixture.experts.named_parameters()):
        width = Shard(2 if name == "down" else 1)
        placements = [Shard(0) if axis == "ep" else width for axis in axes]
        # On the meta device, or the same on every rank: nothing need travel.
        value = distribute_tensor(parameter.detach(), mesh, placements, src_data_rank=None)
        setattr(mixture.experts, name, nn.Parameter(value))
    if ranks.experts is not None:
        mixture.ranks = ExpertRanks(ranks=layout.ep, group=ranks.experts.get_group("ep"))


def _shard(part: nn.Module, ranks: Ranks, precision: Precision) -> None:
    layout = ranks.layout
    mesh = ranks.shards
    policy = (
        MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        if precision == "bf16"
        else MixedPrecisionPolicy()
    )
    # In a pipeline weights stay whole from a step's first micro-batch to its last.
    options: dict[str, Any] = {"mp_policy": policy} | ({"reshard_after_forward": False} if layout.pp > 1 else {})
    if ranks.experts is not None:
        options["ignored_params"] = set(_expert_parameters(part))
        if (copies := ranks.expert_copies) is not None:
            for experts in _expert_weights(part):
                _shard_experts(experts, copies, {**options, "ignored_params": None})
    for block in blocks_of(part):
        fully_shard(block, mesh=mesh, **options)
    fully_shard(part, mesh=mesh, **options)


def _shard_experts(experts: ExpertWeights, copies: DeviceMesh, options: dict[str, Any]) -> None:
    """Over the ranks that hold the same experts; along what tp does not split."""
    down = experts.down
    fully_shard(experts, mesh=copies, shard_placement_fn=lambda each: Shard(1 if each is down else 2), **options)


def _expert_weights(part: nn.Module) -> list[ExpertWeights]:
    return [each for each in part.modules() if isinstance(each, ExpertWeights)]


def _expert_parameters(part: nn.Module) -> list[nn.Parameter]:
    return [parameter for each in _expert_weights(part) for parameter in each.parameters()]


def _place(part: nn.Module, device: torch.device, initial: Initial | None) -> None:
    """Give a model without memory its first values, each rank its part; move any other to the device."""
    if initial is None or not any(each.is_meta for each in part.parameters()):
        part.to(device)
        return
    part.to_empty(device=device)
    with torch.no_grad():
        for name, parameter in part.named_parameters():
            value = initial(name, parameter.shape).to(device)
            parameter.copy_(_like(parameter, value))


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    if not isinstance(parameter, DTensor):
        return value
    # Every rank has made the same value; nothing need travel.
    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)
