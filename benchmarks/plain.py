"""The peer: a plain DistributedDataParallel loop as PyTorch's own examples write it. No telemetry, no ledger, no
checks, no checkpoints; the same model, batch, data, optimiser, schedule and clipping as Hanse's trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - the name everybody reads
from torch.nn.parallel import DistributedDataParallel

from hanse.training.data.samples import open_samples
from hanse.training.job import Job
from hanse.training.model import Decoder


def train(job: Job, steps: int, at_step: Callable[[], object]) -> None:
    """So many steps; `at_step` is called after each."""
    assert job.shape is not None
    rank, world, context = dist.get_rank(), dist.get_world_size(), job.context
    torch.manual_seed(job.spec.seed)
    model = DistributedDataParallel(Decoder(job.shape))
    given = job.spec.optimizer
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=given.lr, betas=given.betas, weight_decay=given.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=job.steps)
    tokens = _tokens(job)
    generator = np.random.default_rng(rank)
    micro_batch, accumulate = job.layout.micro_batch, job.layout.accumulate
    assert micro_batch * accumulate * world == job.batch
    for _ in range(steps):
        for number in range(accumulate):
            starts = generator.integers(0, len(tokens) - context - 1, micro_batch)
            ids = torch.from_numpy(np.stack([tokens[at : at + context + 1] for at in starts]).astype(np.int64))
            model.require_backward_grad_sync = number == accumulate - 1
            logits = model(ids[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()) / accumulate
            torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), given.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        at_step()


def _tokens(job: Job) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    """The first shard that Hanse prepared, mapped into memory."""
    samples, folder = open_samples(job)
    shard: Path = folder / samples.manifest.datasets[0].shards[0].file
    return np.memmap(shard, dtype=samples.manifest.dtype, mode="r")
