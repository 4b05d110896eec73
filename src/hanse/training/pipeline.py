"""Pipeline parallelism: which blocks are whose, and micro-batches sent through the stages by torch's schedules.

1F1B (Narayanan et al. 2019), interleaved (Narayanan et al. 2021) and ZB-V (Qi et al. 2023), all from
torch.distributed.pipelining. Stages are as even as can be, as the planner has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleInterleaved1F1B, ScheduleZBVZeroBubble

from hanse.contracts.layout import Layout
from hanse.training import compat
from hanse.training.model import Decoder
from hanse.training.parallelize_mesh import Ranks
from hanse.workloads.layouts import even_stages

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One stage that this rank holds."""

    number: int
    module: Decoder


def held_stages(layout: Layout, rank: int) -> tuple[int, ...]:
    """Stages of pipeline rank `rank`, in the order of the model."""
    if layout.pipeline == "zero-bubble":
        # Down the ranks and up again: both ends of the model lie on the first.
        return rank, 2 * layout.pp - 1 - rank
    return tuple(chunk * layout.pp + rank for chunk in range(layout.chunks))


def owner(layout: Layout, stage: int) -> int:
    """The pipeline rank that holds `stage`."""
    return next(rank for rank in range(layout.pp) if stage in held_stages(layout, rank))


def parts_of(model: Decoder, ranks: Ranks) -> list[Part]:
    """This rank's stages, cut from the whole model, which has no memory yet."""
    layout = ranks.layout
    counts = layout.stages or even_stages(model.shape.layers, layout.pp * layout.chunks)
    parts = []
    for number in held_stages(layout, ranks.at("pp")):
        first = sum(counts[:number])
        with torch.device("meta"):
            module = Decoder(model.shape, range(first, first + counts[number]))
        parts.append(Part(number=number, module=module))
    if model.shape.tied_head and parts[0].module.first and parts[-1].module.last:
        # One tensor, so that its gradient is the sum of both uses.
        parts[-1].module.embed = parts[0].module.embed
    return parts


class Schedule:
    """One step's forward and backward passes over all stages."""

    def __init__(
        self, ranks: Ranks, parts: Sequence[Part], loss: Loss, *, stream: torch.dtype, logits: torch.dtype
    ) -> None:
        self.ranks, self.parts, self.loss, self.stream, self.logits = ranks, parts, loss, stream, logits
        self._schedules: dict[tuple[int, ...], Any] = {}

    def step(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Gradients of the mean loss over the step's micro-batches (rows of `inputs`); that loss, on every rank."""
        layout = self.ranks.layout
        found: list[Tensor] = []
        last = self.holds(layout.pp * layout.chunks - 1)
        given = (inputs,) if self.holds(0) else ()
        schedule = self._of(tuple(inputs.shape))
        compat.pipeline_step(schedule, *given, target=targets if last else None, losses=found if last else None)
        mean = torch.stack([each.detach() for each in found]).sum() if last else torch.zeros((), device=inputs.device)
        return self._from_last(mean)

    @torch.no_grad()
    def look(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of one batch without gradients, on every rank: stage after stage."""
        layout, group = self.ranks.layout, self.ranks.group("pp")
        me = self.ranks.at("pp")
        x = inputs
        loss = torch.zeros((), device=inputs.device)
        stages = layout.pp * layout.chunks
        for stage in range(stages):
            here = owner(layout, stage)
            if stage and (before := owner(layout, stage - 1)) != here:
                if me == before:
                    dist.send(x.contiguous(), group=group, group_dst=here)
                elif me == here:
                    x = self.boundary(inputs.shape[0], inputs.shape[1], inputs.device)
                    dist.recv(x, group=group, group_src=before)
            if me == here:
                x = next(part.module for part in self.parts if part.number == stage)(x)
                if stage == stages - 1:
                    loss = self.loss(x, targets).detach()
                else:
                    x = x.to(self.stream)
        return self._from_last(loss)

    def holds(self, stage: int) -> bool:
        return any(part.number == stage for part in self.parts)

    def _from_last(self, value: Tensor) -> Tensor:
        layout = self.ranks.layout
        value = value.float()
        dist.broadcast(value, group=self.ranks.group("pp"), group_src=owner(layout, layout.pp * layout.chunks - 1))
        return value

    def prepare(self, rows: int, length: int) -> None:
        """Make the schedule for steps of so many sequences; `step` does it by itself."""
        self._of((rows, length))

    def boundary(self, rows: int, length: int, device: torch.device | str = "cpu") -> Tensor:
        """What passes between stages, without meaning."""
        model = self.parts[0].module
        return torch.empty(rows, length // model.stream_parts, model.shape.hidden, dtype=self.stream, device=device)

    def _of(self, shape: tuple[int, ...]) -> Any:
        if shape not in self._schedules:
            self._schedules[shape] = self._made(shape)
        return self._schedules[shape]

    def _made(self, shape: tuple[int, ...]) -> Any:
        layout = self.ranks.layout
        micro_batches = layout.accumulate
        rows, length = shape[0] // micro_batches, shape[1]
        count = layout.pp * layout.chunks
        stages: list[Any] = []
        for part in self.parts:
            # What needs a gradient is received one for.
            boundary = self.boundary(rows, length, "meta").requires_grad_()
            first, last = part.number == 0, part.number == count - 1
            ids = torch.empty(rows, length, dtype=torch.long, device="meta")
            # Of the last stage's output nobody needs to know beforehand but torch, which checks it.
            stages.append(
                PipelineStage(
                    part.module, part.number, count, self.ranks.device, input_args=ids if first else boundary,
                    output_args=self._logits(part.module, rows, length) if last else boundary,
                    group=self.ranks.group("pp"),
                )
            )  # fmt: skip
        loss: Loss = lambda out, target: self.loss(out, target) / micro_batches  # noqa: E731
        if layout.pipeline == "zero-bubble":
            return ScheduleZBVZeroBubble(stages, micro_batches, loss_fn=loss, scale_grads=False)
        if layout.pipeline == "interleaved":
            return ScheduleInterleaved1F1B(stages, micro_batches, loss_fn=loss, scale_grads=False)
        return Schedule1F1B(stages[0], micro_batches, loss_fn=loss, scale_grads=False)

    def _logits(self, module: Decoder, rows: int, length: int) -> Tensor:
        shape = module.shape
        # A vocabulary that does not divide leaves the last ranks fewer columns.
        width = -(-shape.vocab // self.ranks.layout.tp)
        left = max(0, shape.vocab - width * self.ranks.at("tp"))
        return torch.empty(rows, length, min(width, left), dtype=self.logits, device="meta", requires_grad=True)
