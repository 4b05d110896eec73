"""The training loop, on one page. Everything it calls is a short module of its own beside this one.

It is yours to copy: one step is data, forward and backward over the micro-batches, clip, optimise, report, and now
and then a checkpoint. Nothing here knows how many ranks there are.
"""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody reads
from torch import Tensor, nn

from hanse.training.checkpoints import Checkpoints
from hanse.training.data.samples import Samples
from hanse.training.faults import Faults
from hanse.training.job import Job
from hanse.training.meter import Meter
from hanse.training.optimizer import learning_rate, movement, set_learning_rate
from hanse.training.parallelize import Parallel, clip_gradients
from hanse.training.position import Position


def train(
    job: Job, parallel: Parallel, optimizer: torch.optim.Optimizer, samples: Samples, checkpoints: Checkpoints,
    meter: Meter, faults: Faults, start: Position,
) -> Position:  # fmt: skip
    """Train from `start` to the last step, or to where a stop was asked for; both end with a checkpoint."""
    layout, position, began = parallel.layout, start, time.perf_counter()
    parallel.model.train()
    faults.begin(start)
    proven = False
    for step in range(start.step + 1, job.steps + 1):
        meter.begin(step)
        # Randomness (a module's dropout) depends on the step and the rank alone: nothing of it need be saved.
        torch.manual_seed(hash((job.spec.seed, step, meter.rank)))
        rate = learning_rate(step, job.steps, job.spec.optimizer, job.spec.schedule)
        set_learning_rate(optimizer, rate)
        ids = torch.from_numpy(
            samples.batch(faults.batch(step), batch=job.batch, part=meter.rank, parts=layout.dp * layout.fsdp)
        )
        micro_batches = torch.split(ids.to(parallel.device), layout.micro_batch)
        meter.mark("data_s")

        loss = torch.zeros((), device=parallel.device)
        for number, micro_batch in enumerate(micro_batches, start=1):
            with parallel.micro_batch(last=number == layout.accumulate):
                part = cross_entropy(parallel.model, micro_batch) / layout.accumulate
                torch.autograd.backward(part)
            loss += part.detach()
        meter.mark("compute_s")

        grad_norm = clip_gradients(parallel, job.spec.optimizer.clip_norm)
        if trained := faults.allows(step, loss, grad_norm):
            with movement(parallel, required=not proven):
                optimizer.step()
            proven = True
        optimizer.zero_grad(set_to_none=True)
        meter.mark("optimiser_s")

        mean_loss, stop = meter.report(step, loss=float(loss), grad_norm=grad_norm, lr=rate)
        training_s = start.training_s + time.perf_counter() - began
        kept_loss = mean_loss if trained else position.loss
        position = faults.after(Position(step=step, loss=kept_loss, training_s=training_s))
        last = stop or step == job.steps
        due = last or step % job.checkpoint_every == 0
        meter.end(step, checkpoint_s=checkpoints.save(position, wait=last) if due else 0.0)
        if stop:
            break
    return position


def cross_entropy(model: nn.Module, ids: Tensor) -> Tensor:
    """Mean over tokens of −ln p(next token): ids (batch, context + 1)."""
    logits = model(ids[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
