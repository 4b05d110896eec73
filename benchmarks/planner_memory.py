"""What the planner says Hanse's trainer allocates, over what it does: every allocation of the CPU's allocator counted.

The trainer's own modules build, spread and train a small model; the profiler reports each allocation and release, and
their running sum peaks where memory does. The interpreter and libraries are not in it.
"""

from __future__ import annotations

import gc
import multiprocessing
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

from benchmarks.figures import Table
from hanse.contracts.layout import Layout
from hanse.contracts.workload import ModelShape, Precision, Workload
from hanse.machines.local import local_machine
from hanse.planning import layers, memory, space
from hanse.workloads import shapes

WITHIN = 0.10
SMALL = ModelShape(layers=4, hidden=128, heads=8, kv_heads=4, ffn=344, vocab=1000, context=128)
WIDE = ModelShape(layers=3, hidden=192, heads=6, kv_heads=6, ffn=512, vocab=4096, context=64, tied_head=False)
LAYOUTS = (
    Layout(micro_batch=8),
    Layout(micro_batch=8, recompute="full"),
    Layout(micro_batch=2, accumulate=4),
    Layout(dp=2, micro_batch=8),
    Layout(fsdp=2, micro_batch=8),
    Layout(fsdp=2, micro_batch=8, recompute="full"),
    Layout(fsdp=2, micro_batch=2, accumulate=4),
)
CASES = (("4 × 128", SMALL, LAYOUTS), ("3 × 192, untied", WIDE, LAYOUTS[:2]))
REPEATS = 3
"""Of layouts with several ranks: their peak depends on when a collective lets go of its buffers, up to a tenth."""
HEADER = ("model", "precision", "layout", "predicted MB", "counted MB, median (least–most)", "predicted / counted")


def measure(scratch: Path) -> Table:
    rows, off = [], []
    for name, shape, layouts in CASES:
        for precision in ("fp32", "bf16"):
            for number, layout in enumerate(layouts):
                repeats = REPEATS if layout.world_size > 1 else 1
                stores = [scratch / f"{name}-{precision}-{number}-{repeat}" for repeat in range(repeats)]
                peaks = [counted_peak(shape, layout, precision, store) for store in stores]
                said, counted = predicted(shape, layout, precision), median(peaks)
                off.append(abs(said / counted - 1))
                spread = f" ({min(peaks) / 1e6:.2f}–{max(peaks) / 1e6:.2f})" if repeats > 1 else ""
                figures = (f"{said / 1e6:.2f}", f"{counted / 1e6:.2f}{spread}", f"**{said / counted:.3f}**")
                rows.append((name, precision, layout.describe(), *figures))
    met = sum(each <= WITHIN for each in off)
    return Table(HEADER, rows, f"Target: within {WITHIN:.0%}. {met} of {len(off)}; the worst is {max(off):.1%} off.")


def predicted(shape: ModelShape, layout: Layout, precision: Precision) -> float:
    """Bytes of tensors on the fullest rank."""
    workload = Workload(
        name="counted", shape=shape, context=shape.context, vocab=shape.vocab, global_batch=layout.global_batch,
        total_tokens=10**6, precision=precision, parameters=shapes.parameters(shape),
        embedding_parameters=shapes.embedding_parameters(shape), flops_per_token=shapes.flops_per_token(shape),
    )  # fmt: skip
    held = memory.footprint(workload, shape, local_machine(nodes=layout.world_size), space.of([layout])).at(0)
    return held.total - layers.FRAMEWORK_BYTES["cpu"]


def counted_peak(shape: ModelShape, layout: Layout, precision: Precision, store: Path) -> int:
    """Peak bytes of rank 0, each rank a process of its own."""
    context = multiprocessing.get_context("spawn")
    answers: Any = context.SimpleQueue()
    arguments = (shape.model_dump(), layout.model_dump(), precision, str(store), answers)
    ranks = [context.Process(target=_rank, args=(rank, *arguments)) for rank in range(layout.world_size)]
    for each in ranks:
        each.start()
    for each in ranks:
        each.join(180)
    if any(each.exitcode != 0 for each in ranks):
        raise RuntimeError(f"ranks ended with {[each.exitcode for each in ranks]}")
    return int(answers.get())


def _rank(rank: int, shape: dict[str, Any], layout: dict[str, Any], precision: Precision, store: str, to: Any) -> None:
    import torch.distributed as dist

    laid = Layout.model_validate(layout)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=laid.world_size)
    peak = peak_bytes(ModelShape.model_validate(shape), laid, precision)
    if rank == 0:
        to.put(peak)
    dist.destroy_process_group()


def peak_bytes(shape: ModelShape, layout: Layout, precision: Precision) -> int:
    """Of this rank of the process group, from building the model to the third step (DDP rebuilds its buckets after
    the first)."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from hanse.contracts.spec import OptimizerSpec
    from hanse.training.optimizer import make_optimizer
    from hanse.training.parallelize import spread

    torch.set_num_threads(1)  # threads that wait for one another on busy cores take ten times as long
    spec = SimpleNamespace(precision=precision, seed=0, training="pretraining", lora=None, compile=False, data=())
    job: Any = SimpleNamespace(layout=layout, shape=shape, spec=spec, model=SimpleNamespace(weights=None))
    ids = torch.randint(0, shape.vocab, (layout.micro_batch * layout.accumulate, shape.context + 1))
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        parallel = spread(job, torch.device("cpu"))
        optimizer = make_optimizer(parallel, OptimizerSpec())
        for _ in range(3):
            parallel.backward(ids)
            parallel.clip(1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    recorded = seen.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((each.start_ns(), each.nbytes()) for each in recorded if each.name() == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak
