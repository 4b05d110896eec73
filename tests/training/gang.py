"""Several ranks in processes of their own, without torchrun: for tests of what ranks do together."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from hanse.contracts.layout import Layout
from hanse.contracts.telemetry import StepSummary
from hanse.training.data.prepare import prepare
from hanse.training.job import Job
from hanse.training.main import work

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["torch", "torch.distributed.fsdp", "torch.distributed.checkpoint", "torch._dynamo"])


def together(world: int, task: Callable[[], None], *, within_s: float = 60.0, code: int = 0) -> str:
    """Run `task` (picklable) on `world` ranks of one gloo group; return what they said; fail if any ends otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        ranks = [_CONTEXT.Process(target=_rank, args=(rank, world, folder, task), daemon=True) for rank in range(world)]
        for each in ranks:
            each.start()
        for each in ranks:
            each.join(within_s)
        codes = [each.exitcode for each in ranks]
        for each in ranks:
            each.kill()
        said = Path(folder, "said").read_text()
    assert codes == [code] * world, f"ranks ended with {codes}\n{said}"
    return said


def _rank(rank: int, world: int, folder: str, task: Callable[[], None]) -> None:
    log = os.open(f"{folder}/said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    timeout = timedelta(seconds=30)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world, timeout=timeout)
    task()
    dist.destroy_process_group()


class Trained:
    """A task: train each job in turn, from its last checkpoint on."""

    def __init__(self, *jobs: Job, stop_after: int | None = None) -> None:
        self.jobs, self.stop_after = jobs, stop_after

    def __call__(self) -> None:
        for job in self.jobs:
            asked = iter(range(1, 10**6))
            stop_after = self.stop_after
            stop = (lambda asked=asked, last=stop_after: next(asked) >= last) if stop_after else (lambda: False)
            work(job, torch.device("cpu"), stop)


def with_layout(job: Job, layout: Layout, *, attempt: int = 1) -> Job:
    """The same job on other ranks, its data prepared."""
    job = replace(
        job, spec=job.spec.model_copy(update={"layout": layout}), nodes=1, ranks_per_node=layout.world_size,
        attempt_number=attempt,
    )  # fmt: skip
    prepare(job)
    return job


def losses(job: Job) -> list[float]:
    return [StepSummary.from_json(line).loss for line in job.attempt.steps.read_text().splitlines()]
