"""Many layouts trained by one pool of processes: four ranks start once and work through them all.

Layouts of two ranks run side by side on two pairs. Every rank writes what it saw; nothing is compared here.
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from hanse.contracts.layout import Layout
from hanse.contracts.spec import OptimizerSpec
from hanse.contracts.workload import ModelShape, Precision
from hanse.training.model import Decoder, initial_value
from hanse.training.optimizer import make_optimizer
from hanse.training.parallelize import Parallel, parallelize

RANKS = 4
STEPS = 20
BATCH = 8
SEED = 3
WITHIN_S = 240.0


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    layout: Layout
    model: ModelShape | type[nn.Module]
    precision: Precision = "fp32"
    compiled: bool = False


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Of one case on one rank; `gradients` are the whole of each parameter that the rank holds a part of."""

    losses: list[float]
    norm: float
    gradients: dict[str, Tensor]
    held: int
    """Numbers of parameters in this rank's memory."""
    graphs: int
    """That were compiled and run."""


def train(cases: Sequence[Case], folder: Path) -> Mapping[str, list[Seen]]:
    """What every rank of every case saw."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch.distributed.fsdp", "torch.distributed.pipelining"])
    ranks = [context.Process(target=_pool, args=(rank, cases, folder), daemon=True) for rank in range(RANKS)]
    for each in ranks:
        each.start()
    for each in ranks:
        each.join(WITHIN_S)
    codes = [each.exitcode for each in ranks]
    for each in ranks:
        each.kill()
    said = "\n".join(path.read_text() for path in sorted(folder.glob("said-*")))
    assert codes == [0] * RANKS, f"ranks ended with {codes}\n{said}"
    return {each.name: [_read(folder, each.name, rank) for rank in range(each.layout.world_size)] for each in cases}


def _read(folder: Path, name: str, rank: int) -> Seen:
    found: Seen = torch.load(folder / f"{name}-{rank}.pt", weights_only=False)
    return found


def _pool(number: int, cases: Sequence[Case], folder: Path) -> None:
    log = os.open(folder / f"said-{number}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    for world in (1, 2, 4):
        teams = RANKS // world
        mine = [each for each in cases if each.layout.world_size == world][number // world :: teams]
        if not mine:
            continue
        store = f"file://{folder}/store-{world}-{number // world}"
        dist.init_process_group(
            "gloo", init_method=store, rank=number % world, world_size=world, timeout=timedelta(seconds=60)
        )
        for each in mine:
            try:
                torch.save(_trained(each), folder / f"{each.name}-{number % world}.pt")
            except Exception:
                print(f"case {each.name}, rank {number % world}", flush=True)  # noqa: T201 - for whoever reads the log
                traceback.print_exc()
                os._exit(1)
        dist.destroy_process_group()


def _trained(case: Case) -> Seen:
    if case.compiled:
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
    parallel = _made(case)
    optimizer = make_optimizer(parallel, OptimizerSpec(lr=0.01))
    context, vocab = (16, 64) if not isinstance(case.model, ModelShape) else (case.model.context, case.model.vocab)
    losses, norm, first = [], 0.0, {}
    for step in range(STEPS):
        ids = batch_of(step, vocab, context)
        own = ids.chunk(parallel.ranks.data_ranks)[parallel.ranks.data_rank]
        torch.manual_seed(step)
        loss = parallel.backward(own)
        if step == 0:
            first = gradients_of(parallel)
        norm = parallel.clip(1.0) if step == 0 else (parallel.clip(1.0), norm)[1]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        mean = loss.detach().double()
        dist.all_reduce(mean)
        losses.append(float(mean) / dist.get_world_size())
    held = sum((p.to_local() if isinstance(p, DTensor) else p).numel() for p in parallel.parameters)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"] if case.compiled else 0
    return Seen(losses=losses, norm=norm, gradients=first, held=held, graphs=graphs)


def _made(case: Case) -> Parallel:
    cpu = torch.device("cpu")
    if isinstance(case.model, ModelShape):
        with torch.device("meta"):
            model: nn.Module = Decoder(case.model)
        initial = partial(initial_value, layers=case.model.layers, seed=SEED)
        return parallelize(
            model, case.layout, device=cpu, precision=case.precision, initial=initial, compiled=case.compiled
        )
    torch.manual_seed(SEED)
    return parallelize(case.model(), case.layout, device=cpu, precision=case.precision, compiled=case.compiled)


def batch_of(step: int, vocab: int, context: int) -> Tensor:
    """Sequences with something to learn: each a walk of equal strides."""
    source = torch.Generator().manual_seed(step)
    start = torch.randint(0, vocab, (BATCH, 1), generator=source)
    stride = torch.randint(1, 4, (BATCH, 1), generator=source)
    return (start + stride * torch.arange(context + 1)) % vocab


def gradients_of(parallel: Parallel) -> dict[str, Tensor]:
    found = {}
    for name, parameter in parallel.named_parameters():
        gradient = parameter.grad
        assert gradient is not None, name
        found[name] = (gradient.full_tensor() if isinstance(gradient, DTensor) else gradient).clone()
    return found
