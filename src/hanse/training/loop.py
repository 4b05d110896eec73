"""The training loop, on one page. Everything it calls is a short module of its own beside this one.

It is yours to copy: one step is data, forward and backward over the micro-batches, clip, optimise, report, and now
and then a checkpoint. Nothing here knows how many ranks there are.
"""

from __future__ import annotations

import time

import torch

from hanse.training.checkpoints import Checkpoints
from hanse.training.data.samples import Samples
from hanse.training.faults import Faults
from hanse.training.job import Job
from hanse.training.legs import Alone
from hanse.training.meter import Meter
from hanse.training.optimizer import learning_rate, movement, set_learning_rate
from hanse.training.parallelize import Parallel
from hanse.training.position import Position


def train(
    job: Job, parallel: Parallel, optimizer: torch.optim.Optimizer, samples: Samples, checkpoints: Checkpoints,
    meter: Meter, faults: Faults, legs: Alone, start: Position,
) -> Position:  # fmt: skip
    """Train from `start` to the last step, or to where a stop was asked for; both end with a checkpoint."""
    ranks = parallel.ranks
    parallel.model.train()
    faults.begin(start)
    position, began = legs.begin(start), time.perf_counter()
    proven = False
    while position.step < job.steps and not legs.stopped:
        step = position.step + 1
        meter.begin(step)
        # Randomness (a module's dropout) depends on the step and the tokens' rank alone: nothing of it need be saved.
        torch.manual_seed(hash((job.spec.seed, step, ranks.random_rank)))
        rate = learning_rate(step, job.steps, job.spec.optimizer, job.spec.schedule)
        set_learning_rate(optimizer, rate)
        batch = samples.batch(faults.batch(step), batch=job.batch, part=ranks.data_rank, parts=ranks.data_ranks)
        ids = torch.from_numpy(batch).to(parallel.device)
        meter.mark("data_s")

        loss = parallel.backward(ids)
        meter.mark("compute_s")

        grad_norm = parallel.clip(job.spec.optimizer.clip_norm)
        if trained := faults.allows(step, loss, grad_norm):
            with movement(parallel, required=not proven):
                optimizer.step()
            proven = True
        optimizer.zero_grad(set_to_none=True)
        meter.mark("optimiser_s")

        mean_loss, stop = meter.report(step, loss=float(loss), grad_norm=grad_norm, lr=rate)
        training_s = start.training_s + time.perf_counter() - began
        kept_loss = mean_loss if trained else position.loss
        # A leg of several machines meets the others here; it is later than `step` if it was late and has caught up.
        position = legs.after(faults.after(Position(step=step, loss=kept_loss, training_s=training_s)))
        began += legs.waited_s
        last = stop or legs.stopped or position.step == job.steps
        due = last or position.step // job.checkpoint_every > (step - 1) // job.checkpoint_every
        meter.end(step, checkpoint_s=checkpoints.save(position, wait=last) if due else 0.0, outer_s=legs.waited_s)
        if stop:
            break
    return position
